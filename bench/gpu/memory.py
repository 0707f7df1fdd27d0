"""What the server's memory model foretells from its three lessons, against what each shape took."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.gpu.place import GIB, Line, Place, Waiting, figure, missed
from inference import vram, warmup
from inference.engine import OutOfMemory
from inference.memory import MemoryModel, Shape


MOST_ERROR = 0.05
SIDES, IMAGES = (512, 1024, 2048), (1, 2, 4, 8)


def memory(place: Place) -> Iterator[Line]:
    """Foretell and measure every shape, then run out of memory on purpose."""
    place.need_memory(2)
    loaded = place.loaded
    if loaded.memory_base_bytes is None:
        raise Waiting("the device's memory is not counted")
    model = MemoryModel(vram.usable_bytes(place.torch_device, ""), loaded.memory_base_bytes)
    for pixels, rows, peak in warmup.warm_up(place.engine, warmup.lessons(loaded.default_side)):
        model.saw(Shape(pixels, rows), peak)
    for side in SIDES:
        for images in IMAGES:
            yield from _shape(place, model, side, images)
    yield from _too_large(place, loaded.memory_base_bytes)
    yield from _slices(place, model)


def _shape(place: Place, model: MemoryModel, side: int, images: int) -> Iterator[Line]:
    shape = Shape.of(side, side, images)
    line: Line = {"side": side, "batch": images, "foretold, GiB": model.predict(shape) / GIB}
    if not model.fits(shape):
        yield line | {"peak, GiB": "refused"}
        return
    try:
        peak = place.make(place.job(side, images, 1)).peak_vram_bytes or 0
    except OutOfMemory:
        yield line | {"peak, GiB": "out of memory"}
        yield missed(f"{images} of {side}x{side} were said to fit and did not")
        return
    error = model.predict(shape) / peak - 1
    above = (model.predict(shape) - model.base_bytes) / max(peak - model.base_bytes, 1) - 1
    yield line | {
        "peak, GiB": peak / GIB,
        "error, %": 100 * error,
        "error of what is above the weights, %": 100 * above,
    }
    if abs(error) > MOST_ERROR:
        yield missed(f"{images} of {side}x{side}: foretold {error:+.1%} from the peak")


def _slices(place: Place, model: MemoryModel) -> Iterator[Line]:
    """Give the process as much of the device as the model foretells for a shape, and make it there."""
    import torch

    _, total = torch.cuda.mem_get_info()
    for side in SIDES:
        slice_bytes = round(model.predict(Shape.of(side, side, 1)) * (1 + MOST_ERROR))
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, slice_bytes / total))
        line: Line = {"side": side, "batch": 1, "slice, GiB": slice_bytes / GIB, "slices on this card": total // slice_bytes}  # fmt: skip
        try:
            place.make(place.job(side, forwards=1))
            yield line | {"peak, GiB": "fits its slice"}
        except OutOfMemory:
            yield line | {"peak, GiB": "does not fit its slice"}
            yield missed(f"{side}x{side} does not fit a slice of {slice_bytes / GIB:.1f} GiB")
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)


def _too_large(place: Place, base: int) -> Iterator[Line]:
    """Make the device small, ask for too much, and see that all is as before."""
    import torch

    small = place.job(512, forwards=2)
    before = place.make(small)
    _, total = torch.cuda.mem_get_info()
    room = max(before.peak_vram_bytes or 0, base) + GIB
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        place.make(place.job(2048, 4, 1))
        yield missed(f"4 of 2048x2048 fitted into {room / GIB:.0f} GiB")
    except OutOfMemory:
        held = torch.cuda.memory_allocated()
        yield figure(
            "out of memory provoked; still held above the weights", (held - base) / GIB, "GiB"
        )
    again = place.make(small)
    torch.cuda.set_per_process_memory_fraction(1.0)
    if not np.array_equal(before.pixels, again.pixels):
        yield missed("a picture after running out of memory differs from the one before")
