"""Guards: is this picture plainly broken? Pure, so that each answer can be made again.

They see a black, flat, noisy or blurred picture, and one that was made before. They do not see
whether a picture is good, or shows what was asked for. The measurements behind the thresholds are
of 2026-11, on 592 good pictures: 17 photographs of scikit-image, 496 of BSDS500 and 79 pictures
that Stable Diffusion 2 and PixArt-alpha had made; docs/guards.md has more of them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from PIL import Image

from inference import signals
from inference.engine import Pixels
from inference.signals import View
from lightmeter.catalog import Anomaly
from lightmeter.settings import Guard


BLACK_LEVEL, BLACK_SHARE = 10, 0.999
"""Black: nearly every pixel is darker than this luma. The darkest of 592 good pictures has 39 % of
its pixels there; NaN latents decode to zeros, all of them there."""
FLAT_LEVELS = 2.0
"""Flat: no colour channel has a standard deviation of so many levels. Good pictures have 9 and more
from 32 px up; a dot of 3 % of the side on white paper has 7."""
NOISE_LEVELS, NOISE_SIDE = 20.0, 64
"""Noise: its standard deviation, levels of luma. Highest of the good pictures 16.5 at 64 px and
more; lowest with Gaussian noise of 50 levels on each channel 21.5. The guard abstains below that
shorter side, pixels, for there content is as fine as noise: 21.5 in a good picture at 32 px."""
BLUR_SHARPNESS, BLUR_SIDE, BLUR_CONTRAST = 0.03, 192, 2.0
"""Blurred: nothing in the picture has this relative sharpness. Lowest of the good ones 0.05, of the
generated among them 0.067; highest of the photographs at a blur of 1.6 % of the side 0.022. The
guard abstains below that shorter side, pixels, for there such a blur is finer than three pixels,
and below that standard deviation, levels of luma, for there rounding hides edges."""
DUPLICATE_BITS = 4
"""Bits of 64 in which two hashes of the same picture may differ: JPEG at quality 20 and noise of 8
levels change up to 4, as do the two eyes of a stereo photograph; different pictures of the same
prompt differ in 16 and more (Stable Diffusion 2 samples)."""
SPOILED = frozenset({Anomaly.NAN, Anomaly.BLACK})
"""What no client can want, so that it may be made again or refused. The others can be intended."""
SIGHTLESS = SPOILED | {Anomaly.FLAT}
"""With these there is nothing in the picture to compare with others."""
_HASH_SIDE, _HASH_BAND = 32, 8
_COSINES = np.cos(
    np.pi * np.outer(np.arange(_HASH_BAND), 2 * np.arange(_HASH_SIDE) + 1) / (2 * _HASH_SIDE)
)
"""The first rows of the DCT-II, (8, 32)."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was seen in one picture: its faults, its signals (0..1 by name) and its 64-bit hash."""

    anomalies: tuple[Anomaly, ...] = ()
    signals: Mapping[str, float] = dataclasses.field(default_factory=dict)
    phash: int | None = None

    @property
    def spoiled(self) -> bool:
        """Whether it is a picture that no client can want."""
        return not SPOILED.isdisjoint(self.anomalies)

    def with_duplicate(self) -> Finding:
        """Return the finding with the fault of having been made before."""
        return dataclasses.replace(self, anomalies=(*self.anomalies, Anomaly.DUPLICATE))

    def facts(self) -> dict[str, Any]:
        """Say it in JSON's terms, for the answer; the hash stays here."""
        told = {name: round(value, 4) for name, value in self.signals.items()}
        return {"anomalies": list(self.anomalies), "signals": told}


class Action(StrEnum):
    """What becomes of a request's pictures."""

    DELIVER = "deliver"
    RETRY = "retry"
    REJECT = "reject"


def decide(guard: Guard, findings: Sequence[Finding], *, tries: int) -> Action:
    """Say what to do with pictures that were made ``tries`` times, the last time with findings.

    ``retry`` makes spoiled ones once more and then delivers them, marked; ``reject`` refuses them.
    """
    if guard not in ("retry", "reject") or not any(finding.spoiled for finding in findings):
        return Action.DELIVER
    if guard == "reject":
        return Action.REJECT
    return Action.RETRY if tries < 2 else Action.DELIVER  # noqa: PLR2004  (made twice is retried once)


def examine(picture: Pixels, *, nan: bool) -> Finding:
    """Look at a picture (h, w, 3) uint8, each side at least 16; ``nan`` says what its tensor held."""
    view = signals.look(picture)
    fault = Anomaly.NAN if nan else _fault(view)
    return Finding(
        anomalies=(fault,) if fault else (),
        signals=signals.measure(view),
        phash=perceptual_hash(view),
    )


def _fault(view: View) -> Anomaly | None:
    """Name the first fault that explains the picture: a black one is flat too, and counts once."""
    shorter = min(view.luma.shape)
    if view.shares[:BLACK_LEVEL].sum() >= BLACK_SHARE:
        return Anomaly.BLACK
    if max(band.std() for band in view.small) < FLAT_LEVELS:
        return Anomaly.FLAT
    if shorter >= NOISE_SIDE and signals.noise(view) >= NOISE_LEVELS:
        return Anomaly.NOISE
    judgeable = shorter >= BLUR_SIDE and view.small_luma.std() >= BLUR_CONTRAST
    if judgeable and signals.relative_sharpness(view) < BLUR_SHARPNESS:
        return Anomaly.BLUR
    return None


def perceptual_hash(view: View) -> int:
    """Hash a picture in 64 bits so that near pictures have near hashes.

    pHash of Zauner, Implementation and benchmarking of perceptual image hash functions (2010),
    https://www.phash.org/docs/pubs/thesis_zauner.pdf: which of the 8 x 8 lowest coefficients of
    the DCT of the picture at 32 x 32 exceed their median.
    """
    side = (_HASH_SIDE, _HASH_SIDE)
    shrunk = np.asarray(Image.fromarray(view.small_luma).resize(side, Image.Resampling.LANCZOS))
    low = (_COSINES @ shrunk @ _COSINES.T).ravel()
    return int.from_bytes(np.packbits(low > np.median(low[1:])).tobytes(), "big")


class Duplicates:
    """Remembers the pictures of recent prompts, to see when different seeds give the same one.

    Only pictures of one prompt are compared, and only with those of other seeds: the same seed
    again is a repetition, as asked. A prompt is known by a hash under a key that is made at the
    start and never leaves, so neither it nor a guess at it can be read back. Thread-safe.
    """

    def __init__(self, *, prompts: int = 1024, pictures: int = 16) -> None:
        """Remember the last ``pictures`` of each of the last ``prompts``; 3 MB by default."""
        self._key = secrets.token_bytes(32)
        self._most = prompts, pictures
        self._seen: OrderedDict[bytes, dict[int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def seen(self, prompt: str, seed: int, phash: int) -> bool:
        """Remember a picture; tell whether another seed of its prompt gave nearly the same one."""
        digest = hashlib.blake2b(prompt.encode(), key=self._key, digest_size=16).digest()
        with self._lock:
            pictures = self._pictures(digest)
            twins = (hashed for other, hashed in pictures.items() if other != seed)
            found = any((hashed ^ phash).bit_count() <= DUPLICATE_BITS for hashed in twins)
            pictures[seed] = phash
            if len(pictures) > self._most[1]:
                del pictures[next(iter(pictures))]
        return found

    def _pictures(self, digest: bytes) -> dict[int, int]:
        pictures = self._seen.setdefault(digest, {})
        self._seen.move_to_end(digest)
        if len(self._seen) > self._most[0]:
            self._seen.popitem(last=False)
        return pictures
