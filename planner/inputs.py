"""What a plan rests on that nobody measured on this history: each with its range and source. Pure.

An input is a row of `INPUTS`: how to read its value, how to plan with another one, over what range
it is swept, and which options mind. An option of a new kind is swept as soon as its ``minds`` are
listed here; a new input as soon as it has a row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from planner.certainty import Draws
from planner.demand import Demand
from planner.options import Option, OptionKind, Sharing, Terms


Case = tuple[Demand, Draws, Terms]
"""What an option is made from."""


@dataclass(frozen=True)
class Input:
    """An input, its unit, the range it is swept over and where that comes from.

    ``now`` is the value in use, ``put`` the case with another value, ``minds`` whether an option
    depends on it, ``breaks`` what is said of the value above which an option misses the objective;
    nothing where it breaks none.
    """

    key: str
    what: str
    unit: str
    low: float
    high: float
    source: str
    now: Callable[[Terms], float]
    put: Callable[[Case, float], Case]
    minds: Callable[[Option], bool]
    breaks: str


def _loaded(case: Case, load: float) -> Case:
    """Let the same requests come in less time: bursts get denser too, the cautious choice."""
    demand, draws, terms = case
    demand = dataclasses.replace(
        demand,
        end=demand.start + (demand.end - demand.start) / load,
        arrivals=demand.arrivals / load,
    )
    draws = dataclasses.replace(draws, edges=draws.edges / load)
    return demand, draws, terms


def _slower(case: Case, times: float) -> Case:
    """Let each request take this many times as long."""
    demand, draws, terms = case
    return dataclasses.replace(demand, seconds=demand.seconds * times), draws, terms


def _term(name: str) -> Callable[[Case, float], Case]:
    def put(case: Case, value: float) -> Case:
        demand, draws, terms = case
        changed: dict[str, Any] = {name: value}
        return demand, draws, dataclasses.replace(terms, **changed, assumed=terms.assumed - {name})

    return put


def _interfering(name: str) -> Callable[[Case, float], Case]:
    """Let every service lose this much to its neighbours, whatever is known of it."""
    put_in = _term(name)

    def put(case: Case, value: float) -> Case:
        demand, draws, terms = put_in(case, value)
        known = tuple(dataclasses.replace(one, interference=None) for one in terms.known)
        return demand, draws, dataclasses.replace(terms, known=known)

    return put


def _starting(case: Case, seconds: float) -> Case:
    """Let every service take this long to start, whatever is known of it."""
    demand, draws, terms = _term("start_seconds")(case, seconds)
    known = tuple(dataclasses.replace(one, start_seconds=None) for one in terms.known)
    return demand, draws, dataclasses.replace(terms, known=known)


def _always(_: Option) -> bool:
    return True


def _swaps(option: Option) -> bool:
    return option.sharing is Sharing.SWAP


def _sleeps(option: Option) -> bool:
    return option.sharing is Sharing.SLEEP


def _hinders(option: Option) -> bool:
    return option.sharing in {Sharing.TIME_SLICING, Sharing.GPUSHARE}


def _hinders_under_mps(option: Option) -> bool:
    return option.sharing is Sharing.MPS


def _rents(option: Option) -> bool:
    return option.kind is not OptionKind.ON_DEMAND


def _starts(option: Option) -> bool:
    return option.kind in {OptionKind.ON_DEMAND, OptionKind.HYBRID}


INPUTS = (
    Input(
        key="load",
        what="load",
        unit="times today's",
        low=0.5,
        high=2.0,
        source="half to twice: a guess at what a month may bring; the forecast says more where there is one",
        now=lambda _: 1.0,
        put=_loaded,
        minds=_always,
        breaks="load, times today's; above it these GPUs miss the objective",
    ),
    Input(
        key="gpu_seconds",
        what="GPU time of a request",
        unit="times that of the history",
        low=0.5,
        high=2.0,
        source="not measured on the planned GPU: half to twice the speed of the one in the history; 'lightmeter load' measures it",
        now=lambda _: 1.0,
        put=_slower,
        minds=_always,
        breaks="GPU time of a request, times that of the history; above it these GPUs miss the objective",
    ),
    Input(
        key="swap_seconds",
        what="time to swap a model",
        unit="seconds",
        low=1.3,
        high=79.4,
        source="shortest and longest base-model load of GenTD26",
        now=lambda terms: terms.swap_seconds,
        put=_term("swap_seconds"),
        minds=_swaps,
        breaks="seconds to swap a model; above it this pool misses the objective",
    ),
    Input(
        key="wake_seconds",
        what="time to wake a model",
        unit="seconds",
        low=0.1,
        high=22.7,
        source="vLLM publishes 0.1 to 6 s for its sleep mode, https://blog.vllm.ai/2025/10/26/sleep-mode.html; the longest is that of a load",
        now=lambda terms: terms.wake_seconds or 0.1,
        put=_term("wake_seconds"),
        minds=_sleeps,
        breaks="seconds to wake a model; above it this pool misses the objective",
    ),
    Input(
        key="interference",
        what="speed lost while services share a GPU",
        unit="ratio",
        low=0.01,
        high=0.2,
        source="nobody publishes it for few-step diffusion; measure it with 'lightmeter load' on two services at once",
        now=lambda terms: terms.interference,
        put=_interfering("interference"),
        minds=_hinders,
        breaks="share of a GPU's speed lost while services share it; above it this placement misses the objective",
    ),
    Input(
        key="mps_interference",
        what="speed lost while services share a GPU under MPS",
        unit="ratio",
        low=0.01,
        high=0.2,
        source="two processes of a language model lost 0.075; nobody publishes it for few-step diffusion",
        now=lambda terms: terms.mps_interference,
        put=_interfering("mps_interference"),
        minds=_hinders_under_mps,
        breaks="share of a GPU's speed lost under MPS; above it this placement misses the objective",
    ),
    Input(
        key="start_seconds",
        what="time to start a GPU",
        unit="seconds",
        low=30.0,
        high=600.0,
        source="a published case states 2 to 4 minutes; half a minute where image and weights are kept nearby, ten where they are fetched",
        now=lambda terms: terms.start_seconds,
        put=_starting,
        minds=_starts,
        breaks="seconds to start a GPU; above it on-demand misses the objective",
    ),
    Input(
        key="discount",
        what="share off the price of rented GPUs",
        unit="ratio",
        low=0.0,
        high=0.55,
        source="committed-use contracts of providers give 0.3 to 0.55; nobody sees yours",
        now=lambda terms: terms.discount,
        put=_term("discount"),
        minds=_rents,
        breaks="",
    ),
)
