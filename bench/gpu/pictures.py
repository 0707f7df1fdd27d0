"""One whole picture, and the rate of the arithmetic in it."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator

from bench.gpu import flop
from bench.gpu.place import GIB, Line, Place, figure, missed
from inference import pictures as files
from lightmeter.catalog import LoadPhase, Stage


PICTURE_SECONDS, LEAST_SHARE = 1.0, 0.6
"""Goals on a card like the H100 or H200: a whole picture, and the share of the matrix rate."""


def picture(place: Place) -> Iterator[Line]:
    """Make the model and pictures of 1024x1024, from the prompt to the PNG."""
    place.need_memory(22)
    began = time.perf_counter()
    loaded = place.loaded
    yield figure("libraries imported, model made", time.perf_counter() - began, "s")
    yield figure("of it the weights, drawn on the device", loaded.phases[LoadPhase.WEIGHTS], "s")
    if loaded.memory_base_bytes:
        yield figure("weights on the device", loaded.memory_base_bytes / GIB, "GiB")
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    yield figure("most of the host's memory so far", host, "GiB")
    job = place.job(place.side(1024))
    yield figure("first picture of 1024x1024", place.seconds(lambda: place.make(job)), "s")
    made = [place.make(job) for _ in range(place.rounds(5))]
    for stage in made[0].stages:
        seconds = statistics.median(result.stages[stage] for result in made)
        yield figure(f"stage {stage.value}", seconds, "s")
    pixels = made[0].pixels
    png = place.seconds(lambda: files.encode(pixels, "png"), place.rounds(5))
    yield figure("PNG", png, "s")
    whole = place.seconds(lambda: files.encode(place.make(job).pixels, "png"), place.rounds(5))
    yield figure("prompt to PNG, median", whole, "s")
    if place.cuda and whole > PICTURE_SECONDS:
        yield missed(
            f"{whole:.2f} s for a picture of 1024x1024, {PICTURE_SECONDS:.0f} s is the goal"
        )


def matrix(place: Place) -> Iterator[Line]:
    """Measure what the card reaches, then what of it the denoise stage does."""
    place.need_memory(0)
    size = 8192 if place.cuda else 256
    rate = _product(place, size)
    yield figure(f"product of {size}x{size} random matrices", rate / 1e12, "TFLOP/s")
    yield figure("device-to-device copy, read and written", _copy(place) / 1e9, "GB/s")
    best = 0.0
    for nominal, images in ((512, 8), (1024, 1))[: 2 if place.cuda else 1]:
        side = place.side(nominal)
        job = place.job(side, images)
        made = [place.make(job) for _ in range(place.rounds(3))][-2:]
        seconds = statistics.median(result.stages[Stage.DENOISE] for result in made)
        work = images * job.steps * flop.forward_flop(place.pipe.transformer.config, side, _caption(place))  # fmt: skip
        best = max(best, work / seconds / rate)
        what = f"denoise stage, {images} of {side}x{side}"
        yield figure(what, work / seconds / 1e12, "TFLOP/s")
        yield figure(f"{what}: share of the product's rate", work / seconds / rate, "ratio")
    if place.cuda and best < LEAST_SHARE:
        yield missed(
            f"{best:.2f} of the matrix rate in the denoise stage, {LEAST_SHARE} is the goal"
        )


def _caption(place: Place) -> int:
    """Count the tokens of the prompt as the transformer gets it."""
    found = place.pipe.encode_prompt([place.job(64).prompt], do_classifier_free_guidance=False)
    return len(found[0][0])


def _product(place: Place, size: int) -> float:
    """Multiply matrices of random numbers, not zeros, which some chips multiply faster; FLOP/s."""
    import torch

    kind = torch.bfloat16 if place.cuda else torch.float32
    one, other = (torch.randn(size, size, device=place.torch_device, dtype=kind) for _ in range(2))
    for _ in range(3):
        torch.mm(one, other)
    several = 10  # so that waiting for the device at the end counts for nothing
    seconds = place.seconds(lambda: [torch.mm(one, other) for _ in range(several)], 3)
    return several * 2 * size**3 / seconds


def _copy(place: Place) -> float:
    """Copy far more than the caches hold; bytes/s, those read and those written."""
    import torch

    size = 4 * GIB if place.cuda else 2**20
    source = torch.ones(size, dtype=torch.uint8, device=place.torch_device)
    target = torch.empty_like(source)
    return 2 * size / place.seconds(lambda: target.copy_(source), 5)
