"""What an option is: GPUs held in some way, replayed on every request, and judged. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from lightmeter.replay import Floats, Integers
from lightmeter.units import SECONDS_PER_HOUR
from planner import certainty
from planner.certainty import Draws, Estimate
from planner.demand import Demand
from planner.prices import Price
from planner.slo import Slo


class OptionKind(StrEnum):
    """The ways to hold GPUs."""

    DEDICATED = "dedicated"
    SHARED = "shared"
    ON_DEMAND = "on_demand"
    HYBRID = "hybrid"


NAMES = {
    OptionKind.DEDICATED: "dedicated GPUs for each service",
    OptionKind.SHARED: "one shared pool",
    OptionKind.ON_DEMAND: "on-demand GPUs",
    OptionKind.HYBRID: "hybrid: rented GPUs, on-demand ones beside them",
}
"""What a person calls the plainest option of each kind; the name it has unless it is told another."""


class Sharing(StrEnum):
    """How the services of one GPU share it."""

    NONE = "none"
    SWAP = "swap"
    TIME_SLICING = "time_slicing"
    MPS = "mps"
    MIG = "mig"
    GPUSHARE = "gpushare"
    SLEEP = "sleep"


@dataclass(frozen=True)
class Known:
    """What is known of a service besides its history, or None: memory in bytes, times in seconds.

    ``interference`` is the share of a GPU's speed that is lost where it works beside others;
    ``speed`` holds measured speeds by GPU, over the GPU of the history; ``share`` says whether it
    may share a GPU.
    """

    vram_bytes: float | None = None
    interference: float | None = None
    start_seconds: float | None = None
    wait_seconds: float | None = None
    batch: bool | None = None
    share: bool = True
    speed: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Vendor:
    """Another price that GPUs may be started at, and how long that takes; None is the plan's time."""

    price: Price
    start_seconds: float | None = None


@dataclass(frozen=True)
class Terms:
    """Everything outside the history that an option depends on. Times in seconds.

    ``known`` is by service, empty where nothing is known; ``others`` are prices of further GPUs
    that may be used, ``vendors`` what may be started besides; ``discount`` is the share off the price of a GPU that is rented around the
    clock; ``headroom`` the share of a GPU's memory that is kept free.
    """

    slo: Slo
    price: Price
    month_hours: float
    start_seconds: float
    swap_seconds: float
    max_gpus: int
    wake_seconds: float | None = None
    discount: float = 0.0
    headroom: float = 0.1
    interference: float = 0.0
    mps_interference: float = 0.0
    policy: str = ""
    others: tuple[Price, ...] = ()
    vendors: tuple[Vendor, ...] = ()
    known: tuple[Known, ...] = ()
    assumed: frozenset[str] = frozenset()
    """Inputs that nobody measured, by name: see `planner.doubt`."""

    def of(self, service: int) -> Known:
        """What is known of one service."""
        return self.known[service] if self.known else Known()

    def start_of(self, service: int) -> float:
        """Seconds to start a GPU for one service."""
        own = self.of(service).start_seconds
        return self.start_seconds if own is None else own


Replay = Callable[[Demand, Terms], Floats]
"""Replays an option at its size on another demand or other terms; returns the waits (n,)."""


@dataclass(frozen=True)
class Placement:
    """Some services on some GPUs, and the wait they get there."""

    services: tuple[str, ...]
    gpus: int
    wait_p95_seconds: float
    sku: str = ""
    """Where it is not the plan's."""
    slice: str = ""
    """The part of a GPU that each has, where GPUs are cut: a MIG profile, or GiB."""


@dataclass(frozen=True)
class Option:
    """One way to serve, replayed on every request of the history.

    ``waits`` (n,) is each request's wait in seconds; ``billed`` (blocks,) what each block of the
    history is billed, for the bootstrap, in GPU-hours of the plan's SKU at its price: a GPU-hour of
    another price counts for as many of them as it costs. ``held`` (blocks,) are the GPU-hours
    themselves, where they differ. ``cold_starts`` counts model swaps and starts in the window.
    ``name`` is what a person calls it; ``idle_seconds`` the timeout chosen, for on-demand alone;
    ``facts`` are assumptions of this option alone: what, value, source. ``again`` replays it, as it
    stands, on another demand or other terms; ``asked`` (n,) masks the requests that the objective is
    about. The last three say how it is kept.
    """

    kind: OptionKind
    gpus: int
    placement: tuple[Placement, ...]
    waits: Floats
    billed: Floats
    cold_starts: int = 0
    idle_seconds: float | None = None
    name: str = ""
    sharing: Sharing = Sharing.NONE
    held: Floats | None = None
    facts: tuple[tuple[str, float | str, str], ...] = ()
    again: Replay | None = None
    asked: npt.NDArray[np.bool_] | None = None
    slow: bool = False
    """Whether ``again`` takes seconds, so that fewer values are tried."""
    under: Terms | None = None
    """The terms that it stands under where they are not the plan's: another price, another start."""
    meets_slo: bool = False
    attainment: float = 0.0
    attainment_ci: tuple[float, float] = (0.0, 0.0)

    @property
    def title(self) -> str:
        """Its name, or that of its kind."""
        return self.name or NAMES[self.kind]

    @property
    def asked_waits(self) -> Floats:
        """Waits of the requests that the objective is about, seconds."""
        return self.waits if self.asked is None else self.waits[self.asked]

    @property
    def held_hours(self) -> float:
        """GPU-hours held within the history."""
        return float((self.billed if self.held is None else self.held).sum())

    def monthly_hours(self, draws: Draws, terms: Terms) -> Estimate:
        """GPU-hours of a month, at the plan's price, with their interval."""
        return monthly(self.billed, draws, terms)


def monthly(billed: Floats, draws: Draws, terms: Terms) -> Estimate:
    """Hours of a month like the history, whose blocks are billed these hours, shape (blocks,)."""
    found = certainty.ratio(draws, billed, draws.lengths / SECONDS_PER_HOUR)
    # rounded, so that what is equal in arithmetic is equal in floats too
    return Estimate(*(round(value * terms.month_hours, 6) for value in dataclasses.astuple(found)))


def fewest(keeps: Callable[[int], bool], low: int, most: int) -> int:
    """Smallest number in [low, most] that keeps; ``most`` where none does. Doubles, then halves."""
    high = low = min(low, most)
    while high < most and not keeps(high):
        low, high = high + 1, min(high * 2, most)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(middle) else (middle + 1, high)
    return low


def quantile(waits: Floats, q: float) -> float:
    """Smallest wait that at least a share ``q`` of the requests does not exceed."""
    return float(np.quantile(waits, q, method="inverted_cdf"))


def p95(waits: Floats) -> float:
    """95th percentile, the one that the objective is about."""
    return quantile(waits, 0.95)


def round_up(on_seconds: Floats, price: Price) -> Floats:
    """Billed seconds of GPUs that were on for these seconds: minimum, then granularity."""
    grain = price.granularity_seconds
    whole: Floats = np.ceil(np.maximum(on_seconds, price.minimum_seconds) / grain - 1e-9) * grain
    return whole


def cost(hours: float, price: Price) -> Decimal:
    """Price of GPU-hours."""
    return Decimal(str(hours)) * price.price_per_gpu_hour


def keeps_objective(demand: Demand, draws: Draws, waits: Floats, slo: Slo) -> bool:
    """Tell whether everyone together, and each group that can be judged, surely keeps it."""
    judged = demand.judged
    within = slo.within(waits)
    blocks, services = len(draws.edges) - 1, len(demand.services)
    cell = demand.owner * blocks + draws.block
    shape = (services, blocks)
    asked = np.bincount(cell[judged], minlength=services * blocks).reshape(shape)
    kept = np.bincount(cell[judged & within], minlength=services * blocks).reshape(shape)
    large = certainty.large(demand)
    asked, kept = (
        np.vstack([table[large], table[~large].sum(axis=0), table.sum(axis=0)])
        for table in (asked, kept)
    )
    # who keeps it always need not be drawn for
    unsure = (kept < asked).any(axis=1)
    return surely(draws, asked[unsure], kept[unsure], slo.target)


def surely(draws: Draws, asked: Integers, kept: Integers, target: float) -> bool:
    """Tell whether the lower bound of each row's share reaches the target; rows are (n, blocks)."""
    chunk = 1000  # rows at a time, to bound the memory
    for first in range(0, len(asked), chunk):
        rows = slice(first, first + chunk)
        over, under = kept[rows].astype(np.float64), asked[rows].astype(np.float64)
        if any(share.low < target for share in certainty.ratios(draws, over, under)):
            return False
    return True


def kept(draws: Draws, rows: Integers, within: npt.NDArray[np.bool_], target: float) -> bool:
    """Tell whether the requests at these rows surely keep the objective; ``within`` (rows,)."""
    if within.all():
        return True
    blocks = len(draws.edges) - 1
    asked = np.bincount(draws.block[rows], minlength=blocks)[None]
    good = np.bincount(draws.block[rows[within]], minlength=blocks)[None]
    return surely(draws, asked, good, target)


def judged(option: Option, demand: Demand, draws: Draws, terms: Terms) -> Option:
    """Return the option with what its waits say about the objective."""
    everyone = demand.judged
    within = terms.slo.within(option.waits)
    keeps = keeps_objective(demand, draws, option.waits, terms.slo)
    share = certainty.share(draws, everyone, within)
    return dataclasses.replace(
        option,
        meets_slo=keeps and option.gpus <= terms.max_gpus,
        asked=everyone,
        attainment=share.value,
        attainment_ci=(share.low, share.high),
    )
