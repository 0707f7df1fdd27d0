"""What burn-rate alerts say. Pure."""

from __future__ import annotations

from alerts.objectives import Objective, Promise
from alerts.windows import Window
from lightmeter.units import SECONDS_PER_HOUR, parse_duration


_SAYS = {
    Promise.AVAILABILITY: "were not answered",
    Promise.WAIT: "waited longer than {bound:g} s for a GPU",
    Promise.SLOWDOWN: "took more than {bound:g} times what their shape takes alone",
    Promise.DURATION: "took longer than {bound:g} s",
    Promise.GUARD: "gave a picture with a fault",
}
_HOURS_TO_READ = 72
"""From here on days read better."""


def sentence(one: Objective, window: Window, period: str) -> str:
    """Make the summary, with places for ``service`` and ``ratio``."""
    fault = _SAYS[one.kind].format(bound=one.bound if one.within else 0)
    rate = window.burn_rate(period)
    return (
        f"{{service}}: {{ratio}} of the requests of the last {window.long} {fault}; {one.budget * 100:.3g}% may. "
        f"{_pace(rate)} the error budget of {period} lasts {_spoken(parse_duration(period) / rate)}."
    )


def _pace(rate: float) -> str:
    return "At its pace" if f"{rate:.3g}" == "1" else f"At {rate:.3g} times its pace"


def _spoken(seconds: float) -> str:
    hours = seconds / SECONDS_PER_HOUR
    return f"{hours:.0f} hours" if hours < _HOURS_TO_READ else f"{hours / 24:.0f} days"


FIRST = {
    Promise.AVAILABILITY: "Open the panel and see which outcome grows: shed means too little capacity, error and oom mean broken workers, timeout means slow ones.",
    Promise.WAIT: "Look at the queue and the number of ready workers: add replicas, or lower what batch jobs may queue at /admin/limits.",
    Promise.SLOWDOWN: "See in the stages where the time goes; where it is the queue, add replicas, where it is denoise, look at clocks and neighbours of the GPU.",
    Promise.DURATION: "See in the stages where the time goes; where it is the queue, add replicas, where it is denoise, look at clocks and neighbours of the GPU.",
    Promise.GUARD: "See which fault grows; black or NaN pictures on one GPU mean that GPU or a new model version: drain that worker at /admin/workers.",
}
THEN = (
    "If a deployment, a model or a LoRA changed when the burn began, go back to the one before.",
    "Alerts of causes that fire for the same service say where to look next.",
)
