"""Other histories made of the days of this one, and options replayed on them. Pure.

The intervals of a plan draw days and keep the waits that each request had. Here the drawn days are
put one after the other and replayed as a whole, so that what a day leaves to the next is that of
the days that now follow each other.
"""

from __future__ import annotations

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lightmeter.replay import Floats, Integers
from planner.certainty import Draws
from planner.demand import Demand
from planner.options import Option, Terms


T = TypeVar("T", bound=np.generic)


def order(draws: Draws, resample: int, seed: int) -> Integers:
    """Blocks of the history in the order in which a resample plays them."""
    days = np.repeat(np.arange(draws.weights.shape[1]), draws.weights[resample].astype(np.int64))
    return np.random.default_rng([seed, resample]).permutation(days)


def resampled(demand: Demand, draws: Draws, days: Integers) -> tuple[Demand, Integers]:
    """Put these blocks one after the other; returns the demand and each request's index in the old."""
    bounds = np.searchsorted(draws.block, np.arange(len(draws.edges)))
    parts = [slice(bounds[day], bounds[day + 1]) for day in days]

    def drawn(values: npt.NDArray[T]) -> npt.NDArray[T]:
        return np.concatenate([values[part] for part in parts])  # quicker than by index

    rows = drawn(np.arange(len(demand.arrivals)))
    lengths = draws.lengths[days]
    begins = np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    shift = np.repeat(begins - draws.edges[days], (bounds[1:] - bounds[:-1])[days])
    found = dataclasses.replace(
        demand,
        end=demand.start + (demand.end - demand.start) * (lengths.sum() / demand.span_seconds),
        arrivals=drawn(demand.arrivals) + shift,
        seconds=drawn(demand.seconds),
        owner=drawn(demand.owner),
        images=drawn(demand.images),
        ranks=None if demand.ranks is None else drawn(demand.ranks),
    )
    return found, rows


def attainment(option: Option, demand: Demand, draws: Draws, terms: Terms, *, seed: int) -> Floats:
    """Share of requests that keep the limit in each resample, (resamples,), replayed on its trace.

    Raises:
        ValueError: the option cannot be replayed.
    """
    again = option.again
    if again is None:
        raise ValueError(f"{option.title} cannot be replayed")

    def one(resample: int) -> float:
        other, rows = resampled(demand, draws, order(draws, resample, seed))
        limits = terms.slo.limits
        slo = dataclasses.replace(terms.slo, limits=None if limits is None else limits[rows])
        here = dataclasses.replace(terms, slo=slo)
        return float(slo.within(again(other, here))[other.judged].mean())

    with ThreadPoolExecutor(
        min(4, os.cpu_count() or 1)
    ) as threads:  # compiled kernels let others run
        return np.array(list(threads.map(one, range(len(draws.weights)))))
