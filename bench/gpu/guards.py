"""Guards where the model runs, and how far a picture depends on what is made beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from bench.gpu.place import Line, Place, figure, missed
from inference import sameness as independence
from inference.engine import Job, Pixels
from inference.guards import examine
from lightmeter.catalog import Anomaly


def guards(place: Place) -> Iterator[Line]:
    """Let weights overflow, see that it is told, and measure what looking costs."""
    import torch

    place.need_memory(2)
    job = place.job(place.side(512), forwards=2)
    before = place.make(job)
    weight = next(iter(place.pipe.transformer.all_final_layer.values())).linear.weight
    with _changed(weight, lambda: weight.mul_(torch.finfo(weight.dtype).max)):
        broken = place.make(job)
    bias = place.pipe.vae.decoder.conv_out.bias
    with _changed(bias, lambda: bias.sub_(1000)):
        dark = place.make(job)
    told = {
        what: examine(made.pixels[0], nan=made.nan[0]).anomalies
        for what, made in (("as drawn", before), ("that overflow", broken), ("that make it black", dark))
    }  # fmt: skip
    for what, found in told.items():
        yield {"weights": what, "told": ", ".join(found) or "nothing"}
    if [(), (Anomaly.NAN,), (Anomaly.BLACK,)] != list(told.values()):
        yield missed("broken pictures are not told from sound ones")
    if not np.array_equal(before.pixels, place.make(job).pixels):
        yield missed("with the weights as they were the picture is another")
    yield from _half(place)
    yield from _cost(place)


def _half(place: Place) -> Iterator[Line]:
    """Run the transformer in FP16, as this model must not be, with weights that grow until it overflows."""
    import torch

    job, kind = place.job(place.side(512), forwards=2), place.pipe.transformer.dtype
    place.pipe.transformer.to(torch.float16)
    try:
        yield {"weights": "in FP16", "told": _told(place, job)}
        weight = next(iter(place.pipe.transformer.all_final_layer.values())).linear.weight
        for power in (4, 8, 12, 16):
            with _changed(weight, partial(weight.mul_, 2.0**power)):
                told = _told(place, job)
            yield {"weights": f"in FP16, the last layer's times 2^{power}", "told": told}
            if Anomaly.NAN in told:
                return
        yield missed("FP16 never overflowed")
    finally:
        place.pipe.transformer.to(kind)


def _told(place: Place, job: Job) -> str:
    made = place.make(job)
    return ", ".join(examine(made.pixels[0], nan=made.nan[0]).anomalies) or "nothing"


@contextlib.contextmanager
def _changed(weight: Any, change: Callable[[], object]) -> Iterator[None]:
    """Change a weight for a while."""
    import torch

    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            change()
        yield
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def _cost(place: Place) -> Iterator[Line]:
    import torch

    side = place.side(1024)
    kind = torch.bfloat16 if place.cuda else torch.float32
    decoded = torch.randn(1, 3, side, side, device=place.torch_device, dtype=kind)

    def look() -> Any:
        return decoded.float().sum(dim=(1, 2, 3)).isfinite()

    look()
    looks = 100
    seconds = place.seconds(lambda: [look() for _ in range(looks)]) / looks
    yield figure(f"looking at one picture of {side}x{side} on the device", seconds * 1e6, "us")


def sameness(place: Place) -> Iterator[Line]:
    """Make pictures in batches of several sizes, and look how they differ from those made alone."""
    place.need_memory(2)
    yield from _differences(place, "as served")
    independence.make_independent(place.pipe, one_by_one=True, by_own_length=False)
    place.pipe.vae.enable_slicing()
    worst = 0
    for line in _differences(place, "one by one, as serve.deterministic does"):
        worst = max(worst, line["greatest difference, levels of 255"])
        yield line
    if worst:
        yield missed(f"made one by one, pictures differ by {worst} levels with their batch")


def _differences(place: Place, how: str) -> Iterator[Line]:
    jobs = [place.job(place.side(512), seed=seed) for seed in range(8)]
    alone = [place.make(job).pixels[0] for job in jobs]
    for size in place.few(2, 4, 8):
        together = _together(place, jobs[:size])
        apart = np.abs(together.astype(np.int16) - np.stack(alone[:size]))
        yield {
            "made": how,
            "batch": size,
            "pictures that differ": int(apart.any(axis=(1, 2, 3)).sum()),
            "values that differ, %": 100 * float((apart > 0).mean()),
            "greatest difference, levels of 255": int(apart.max()),
        }


def _together(place: Place, jobs: list[Job]) -> Pixels:
    pixels: Pixels = place.engine.generate(jobs, lambda: False).pixels
    return pixels
