"""How far an unmeasured input may be off before the recommended option breaks. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from planner.inputs import INPUTS, Case, Input
from planner.options import Option, OptionKind, Replay, keeps_objective
from planner.recommend import Flip


_DOUBLINGS, _HALVINGS, _FEW_HALVINGS = 4, 7, 3
"""The search goes up to 16 times today's value, and ends within 1 % of the answer, or below it by an
eighth of the last step where a replay takes seconds."""


def breaking_points(option: Option, case: Case) -> tuple[Flip, ...]:
    """Find the value of each input above which the option, held at its size, misses the objective.

    On-demand GPUs grow with the load, so it breaks nothing there.
    """
    return tuple(flip for one in INPUTS for flip in _breaking_point(one, option, case))


def _breaking_point(one: Input, option: Option, case: Case) -> Iterator[Flip]:
    grows = option.kind in {OptionKind.ON_DEMAND, OptionKind.HYBRID} and one.key in {
        "load",
        "gpu_seconds",
    }
    if option.again is None or grows or not one.breaks or not one.minds(option):
        return
    now = one.now(case[2])
    low, high = now, max(2 * now, 1.0)
    for _ in range(_DOUBLINGS):
        if not _keeps(one, option.again, case, high):
            break
        low, high = high, 2 * high
    else:
        return
    for _ in range(_FEW_HALVINGS if option.slow else _HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _keeps(one, option.again, case, middle) else (low, middle)
    yield Flip(one.breaks, round(low, 3))


def _keeps(one: Input, again: Replay, case: Case, value: float) -> bool:
    demand, draws, terms = one.put(case, value)
    return keeps_objective(demand, draws, again(demand, terms), terms.slo)
