"""How a model is laid out over the memory there is, decided before a byte of it is loaded.

What a picture needs besides the weights is computed from the model's own widths, for BF16; none of
it was measured on a GPU. The warm-ups measure it (see `inference.memory`); this only has to tell a
card that holds the model from one that does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inference.setup import Setup
from lightmeter.units import show_bytes


DENOISE_BYTES_PER_PIXEL = 420
"""14 tensors of the transformer's width at once (residual, norm, q, k, v, attention, the two halves
of the gated 8/3-wide layer): 14 x 3840 channels x 2 bytes, for a token of 16 x 16 pixels."""
DECODE_BYTES_PER_PIXEL = 2048
"""4 tensors of the decoder's widest full-size layer at once: 4 x 256 channels x 2 bytes."""
FIXED_BYTES = 512 * 2**20
"""The text encoder's 37 kept states of 512 tokens (97 MB for a prompt), and small things."""
TILE = 512
"""Side, pixels, of the tiles of a tiled decoder."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a pipeline asks for: bytes of each component on the device, and the usual picture."""

    components: Mapping[str, int]
    largest_file: int
    side: int

    @property
    def weights(self) -> int:
        """Bytes of all components."""
        return sum(self.components.values())

    @property
    def largest(self) -> int:
        """Bytes of the largest component."""
        return max(self.components.values(), default=0)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the parts of a pipeline go.

    ``offload`` says what waits in the host's memory: nothing (``none``), the components that are
    not at work (``model``), or every layer that is not (``sequential``). ``vae`` says how pictures
    are decoded: a batch at once (``whole``), one by one (``sliced``), or in tiles (``tiled``).
    ``direct`` reads the weights onto the device without a copy in the host's memory.
    """

    offload: str
    vae: str
    direct: bool
    compile: bool
    reason: str


def choose(setup: Setup, needs: Needs, usable_bytes: int | None) -> Placement:
    """Decide for a device with so many bytes for us, or for the CPU (None)."""
    if usable_bytes is None:
        vae = "sliced" if setup.vae == "auto" else setup.vae
        reason = f"on the CPU, {show_bytes(needs.weights)} of weights, vae {vae}"
        return Placement(offload="none", vae=vae, direct=False, compile=_compiled(setup, "none"), reason=reason)  # fmt: skip
    offload = _offload(setup, needs, usable_bytes)
    vae = _vae(setup, needs, usable_bytes - _resident(needs, offload))
    reason = f"{show_bytes(needs.weights)} of weights, {show_bytes(usable_bytes)} to use, pictures of {needs.side} px: offload {offload}, vae {vae}"
    return Placement(
        offload=offload,
        vae=vae,
        # A file may hold more bytes than its tensors will take: float32 that becomes BF16.
        direct=offload == "none" and needs.weights + needs.largest_file <= usable_bytes,
        compile=_compiled(setup, offload),
        reason=reason,
    )


def _offload(setup: Setup, needs: Needs, usable: int) -> str:
    if setup.gpus_per_worker > 1:  # the weights are spread instead
        return "none"
    if setup.offload != "auto":
        return setup.offload
    tile = min(needs.side, TILE) ** 2
    work = max(needs.side**2 * DENOISE_BYTES_PER_PIXEL, tile * DECODE_BYTES_PER_PIXEL)
    if needs.weights + FIXED_BYTES + work <= usable:
        return "none"
    return "model" if needs.largest + FIXED_BYTES + work <= usable else "sequential"


def _resident(needs: Needs, offload: str) -> int:
    """Bytes of weights that are there while the decoder works."""
    if offload == "none":
        return needs.weights
    return needs.components.get("vae", 0)


def _vae(setup: Setup, needs: Needs, room: int) -> str:
    if setup.vae != "auto":
        return setup.vae
    picture = needs.side**2 * DECODE_BYTES_PER_PIXEL
    if FIXED_BYTES + picture > room:
        return "tiled"
    crowded = FIXED_BYTES + picture * setup.batch > room
    return "sliced" if setup.deterministic or crowded else "whole"


def _compiled(setup: Setup, offload: str) -> bool:
    """Compile where it is asked for; layers that come and go cannot be."""
    return setup.compile == "blocks" and offload != "sequential"
