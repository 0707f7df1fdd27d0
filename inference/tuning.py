"""Which batch size and how much concurrency: recommended from what was measured here. Pure.

A batch of b pictures of one shape takes about ``fixed + each * b`` seconds; both are fitted. A
request that arrives while a batch runs waits for it and rides in the next one, so with a batch
bound of b its latency is at most about twice the batch's seconds, plus whatever is queued before.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from inference.engine import Job
from inference.tickets import Batch
from lightmeter.units import show_duration


WORTH_IT = 0.97
"""A larger batch is taken only until this share of the best throughput is reached."""
_WEIGHT = 0.2
_MOST_SHAPES = 64
_KEPT = 0.99
"""What is kept of the counts after each batch: the last hundred say which shape is the busiest."""


@dataclass(frozen=True)
class Fit:
    """Seconds of a batch of one shape: ``fixed + each * pictures``."""

    fixed: float
    each: float

    def seconds(self, images: int) -> float:
        """Seconds that a batch of so many pictures takes."""
        return self.fixed + self.each * images

    def rate(self, images: int) -> float:
        """Pictures a second of one worker with batches of that size."""
        return images / self.seconds(images)


def fit(points: Mapping[int, float]) -> Fit:
    """Fit seconds by pictures in the batch, with neither part below zero.

    Raises:
        ValueError: there are no points.
    """
    if not points:
        raise ValueError("nothing was measured")
    if len(points) == 1:
        ((images, seconds),) = points.items()
        return Fit(0.0, seconds / images)
    sizes, seconds_ = np.array(list(points)), np.array(list(points.values()))
    each, fixed = np.polyfit(sizes, seconds_, 1)
    if each <= 0:
        return Fit(float(seconds_.mean()), 0.0)
    if fixed < 0:
        return Fit(0.0, float((seconds_ / sizes).mean()))
    return Fit(float(fixed), float(each))


@dataclass(frozen=True)
class Advice:
    """A recommendation: pictures in a batch, requests open at once, and why."""

    batch: int
    concurrency: int
    reason: str


def recommend(found: Fit, *, target: float, most: int, workers: int) -> Advice:
    """Choose the batch bound for a latency target in seconds (0: none), at most ``most`` pictures.

    Among the sizes that keep the target, it is the smallest with nearly the best throughput.
    ``concurrency`` is how many requests may be open at once, all workers together, without the
    last of them missing the target.
    """
    sizes = range(1, most + 1)
    kept = [b for b in sizes if not target or 2 * found.seconds(b) <= target]
    if not kept:
        alone = show_duration(2 * found.seconds(1))
        reason = f"even single pictures take up to {alone} with one ahead, beyond the target of {show_duration(target)}"
        return Advice(1, workers, reason)
    best = max(found.rate(b) for b in kept)
    batch = next(b for b in kept if found.rate(b) >= WORTH_IT * best)
    seconds, rate = found.seconds(batch), found.rate(batch)
    rounds = max(1, int(target / seconds) - 1) if target else 2
    reason = f"batches of {batch} take {show_duration(seconds)}: {rate * workers:.3g} pictures/s, {rate / found.rate(1):.2f} times single ones"
    if target:
        reason += f"; a request waits for one and rides in the next, {show_duration(2 * seconds)} of {show_duration(target)}"
    return Advice(batch, batch * workers * rounds, reason)


class Observed:
    """Seconds of real batches by shape and size, moving averages; the busiest of late is tuned for."""

    def __init__(self) -> None:
        self._points: dict[Hashable, dict[int, float]] = {}
        self._counts: dict[Hashable, float] = {}

    def saw(self, batch: Batch, seconds: float) -> None:
        """Take one finished batch into the averages."""
        key, images = batch.job.batch_key, batch.images
        if key not in self._points and len(self._points) >= _MOST_SHAPES:
            rarest = min(self._counts, key=lambda known: self._counts[known])
            del self._points[rarest], self._counts[rarest]
        points = self._points.setdefault(key, {})
        last = points.get(images)
        points[images] = seconds if last is None else last + _WEIGHT * (seconds - last)
        self._counts = {known: count * _KEPT for known, count in self._counts.items()}
        self._counts[key] = self._counts.get(key, 0.0) + images

    def alone(self, job: Job) -> float | None:
        """Seconds that a batch of this job alone takes, as measured, else as fitted to other sizes.

        None where no batch of its shape was made yet.
        """
        points = self._points.get(job.batch_key)
        if points is None:
            return None
        return points.get(job.images) or fit(points).seconds(job.images)

    @property
    def busiest(self) -> Mapping[int, float]:
        """Seconds by pictures, of the shape of which the most pictures were made lately."""
        if not self._counts:
            return {}
        return self._points[max(self._counts, key=lambda known: self._counts[known])]
