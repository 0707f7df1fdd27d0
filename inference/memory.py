"""What a batch needs of a device's memory, learnt from what batches needed.

A batch's peak above the weights has a part for each picture's area (activations, and the decoder
where it takes all at once), a part for the area alone (the decoder where it takes one picture at a
time), a part for each picture (the encoded prompt) and a fixed part. None of them shrinks as a
batch grows, so the prediction is a least-squares fit with no negative part, of relative errors, and
raised until it lies above everything that was seen: monotone, and wrong on the safe side.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from lightmeter.units import STEP_OF_SIDE, show_bytes


LARGEST_SIDE = 16_384
"""Pixels; no side beyond it is looked for."""
MOST_IMAGES = 1024
MOST_SHAPES = 128
"""Shapes that are remembered; beyond them the oldest is forgotten."""
_PARTS = 4
_LEAST_NEED = 2**20
"""Bytes; less is the allocator's rounding, and teaches nothing beside larger needs."""
_Floats = npt.NDArray[np.float64]


class Shape(NamedTuple):
    """What a batch's memory depends on: pixels of a picture, and pictures in a forward."""

    pixels: int
    rows: int

    @classmethod
    def of(cls, width: int, height: int, images: int, *, guided: bool = False) -> Self:
        """Describe a batch; under guidance each picture is taken through the model twice."""
        return cls(width * height, images * (2 if guided else 1))

    def holds(self, other: Shape) -> bool:
        """Tell whether this shape is at least as large in both ways."""
        return self.pixels >= other.pixels and self.rows >= other.rows


class MemoryModel:
    """Predicts peaks on one device and says what fits it.

    ``total_bytes`` is what a batch and the weights may take together, ``base_bytes`` what the
    weights take.
    """

    def __init__(self, total_bytes: int, base_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.base_bytes = base_bytes
        self._peaks: dict[Shape, int] = {}
        self._too_large: set[Shape] = set()
        self._parts: _Floats | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self | None:
        """Build the model of a worker from its ready message; None where it has no device memory."""
        if facts.get("memory_total_bytes") is None:
            return None
        model = cls(facts["memory_total_bytes"], facts["memory_base_bytes"])
        for pixels, rows, peak in facts["memory_seen"]:
            model.saw(Shape(pixels, rows), peak)
        return model

    @property
    def seen(self) -> list[tuple[int, int, int]]:
        """Observations as (pixels, rows, peak bytes), as a ready message carries them."""
        return [(*shape, peak) for shape, peak in self._peaks.items()]

    def saw(self, shape: Shape, peak_bytes: int) -> None:
        """Take in what a batch needed; a batch that once had not fitted fits now."""
        known = self._peaks.pop(shape, 0)
        self._too_large = {large for large in self._too_large if not shape.holds(large)}
        self._peaks[shape] = max(known, peak_bytes)
        if len(self._peaks) > MOST_SHAPES:
            del self._peaks[next(iter(self._peaks))]
        if peak_bytes > known:
            self._parts = None

    def ran_out(self, shape: Shape) -> None:
        """Take in that a batch did not fit: nor does one that is larger, until one has.

        Where as large a one has fitted before, something else had the memory: that is no lesson.
        """
        if not any(seen.holds(shape) for seen in self._peaks):
            self._too_large.add(shape)

    def predict(self, shape: Shape) -> int:
        """Predict the peak of a batch, bytes; where nothing was seen yet, the weights alone."""
        if self._parts is None:
            self._parts = _fit(self._peaks, self.base_bytes)
        return self.base_bytes + round(float(_features(shape) @ self._parts))

    def fits(self, shape: Shape) -> bool:
        """Tell whether a batch fits."""
        if any(shape.holds(large) for large in self._too_large):
            return False
        return self.predict(shape) <= self.total_bytes

    def largest_side(self, images: int, *, guided: bool = False) -> int:
        """Find the side, pixels, of the largest square pictures that fit; 0 where none do."""
        steps = _last(
            LARGEST_SIDE // STEP_OF_SIDE,
            lambda step: self.fits(
                Shape.of(step * STEP_OF_SIDE, step * STEP_OF_SIDE, images, guided=guided)
            ),
        )
        return steps * STEP_OF_SIDE

    def most_images(self, width: int, height: int, *, guided: bool = False) -> int:
        """Find how many pictures of a size fit in one batch; 0 where not even one does."""
        return _last(
            MOST_IMAGES, lambda images: self.fits(Shape.of(width, height, images, guided=guided))
        )

    def explain(self, width: int, height: int, images: int, *, guided: bool = False) -> str:
        """Say what a batch would need, what there is, and what would fit."""
        shape = Shape.of(width, height, images, guided=guided)
        need = max(self.predict(shape), self.total_bytes + 1)
        side = self.largest_side(images, guided=guided)
        fewer = self.most_images(width, height, guided=guided)
        ways = [f"n={fewer} at this size"] if fewer else []
        ways += [f"{side}x{side} at n={images}"] if side else []
        advice = f"; what fits is {' or '.join(ways)}" if ways else ""
        return f"{width}x{height} at n={images} needs about {show_bytes(need)} of the device's memory, and {show_bytes(self.total_bytes)} are there{advice}"


def _features(shape: Shape) -> _Floats:
    """What each part is multiplied by; areas in megapixels, so that all are of one size."""
    area = shape.pixels / 1e6
    return np.array([area * shape.rows, area, shape.rows, 1.0])


def _fit(peaks: Mapping[Shape, int], base_bytes: int) -> _Floats:
    """Find the parts, bytes, none negative, with the least sum of squared relative errors.

    With so few parts every choice of them can be tried. Of choices that explain the peaks equally
    well the first counts: fewest parts, and those that grow fastest.
    """
    if not peaks:
        return np.zeros(_PARTS)
    needs = {shape: peak - base_bytes for shape, peak in peaks.items()}
    telling = {shape: need for shape, need in needs.items() if need >= _LEAST_NEED}
    needs = telling or dict.fromkeys(needs, _LEAST_NEED)
    needed = np.array(list(needs.values()), dtype=np.float64)
    features = np.array([_features(shape) for shape in needs]) / needed[:, None]
    best, least = np.zeros(_PARTS), np.inf
    for size in range(1, _PARTS + 1):
        for chosen in itertools.combinations(range(_PARTS), size):
            some = np.linalg.lstsq(features[:, chosen], np.ones(len(needed)), rcond=None)[0]
            error = float(np.square(features[:, chosen] @ some - 1).sum())
            if (some >= 0).all() and error < least - 1e-9:
                best, least = np.zeros(_PARTS), error
                best[list(chosen)] = some
    raised: _Floats = best / min(1.0, float((features @ best).min()))
    return raised


def _last(most: int, holds: Callable[[int], bool]) -> int:
    """Find the last of 1..most for which something holds that ceases to hold once; 0 for none."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low
