"""Readings that prove a burn-rate alert. Pure."""

from __future__ import annotations

from alerts.burn_words import sentence
from alerts.objectives import Objective, Promise, Slo
from alerts.promql import series
from alerts.rule import Trial
from alerts.windows import Window
from lightmeter import catalog
from lightmeter.catalog import Outcome, Stage


_PER_MINUTE = 1000
_OVER = {"5m": "75m", "30m": "100m", "2h": "190m", "6h": "440m"}
"""When the short window holds no bad request any more."""


def trial(one: Objective, window: Window, slo: Slo) -> Trial:
    """A thousand requests a minute: too many bad ones for an hour, then none."""
    threshold = window.burn_rate(slo.period) * one.budget
    bad = max(1, round(_PER_MINUTE * min(1.0, 1.25 * threshold)))
    return Trial(
        bad=_load(one, bad),
        calm=_load(one, int(_PER_MINUTE * 0.96 * threshold)),
        fires="40m",
        over=_OVER[window.short],
        says=sentence(one, window, slo.period).format(
            service="shop", ratio=f"{bad / _PER_MINUTE * 100:.4g}%"
        ),
        labels=dict.fromkeys(slo.group_by, "shop") | {"service": "shop"},
        every="5m",
    )


def _load(one: Objective, bad: int) -> dict[str, str]:
    """Readings of a service with so many bad requests a minute, and then none for nine hours."""
    good, minutes, rest = _PER_MINUTE - bad, 60, 540
    whole = f"0+{_PER_MINUTE}x{minutes + rest}"
    fine = f"0+{good}x{minutes} {good * minutes + _PER_MINUTE}+{_PER_MINUTE}x{rest}"
    faulty = f"0+{bad}x{minutes} {bad * minutes}x{rest}"
    if one.kind is Promise.AVAILABILITY:
        return {_shop(catalog.REQUESTS, outcome=Outcome.OK): fine, _shop(catalog.REQUESTS, outcome=one.bad[-1]): faulty}  # fmt: skip
    if one.kind is Promise.GUARD:
        return {_shop(catalog.REQUESTS, outcome=Outcome.OK): fine, _shop(catalog.REQUESTS, outcome=Outcome.ANOMALOUS): faulty}  # fmt: skip
    metric, more = {
        Promise.WAIT: (catalog.STAGE_DURATION, {"stage": str(Stage.QUEUE)}),
        Promise.SLOWDOWN: (catalog.SLOWDOWN, {}),
        Promise.DURATION: (catalog.REQUEST_DURATION, {}),
    }[one.kind]
    return {
        _shop(metric, "_count", **more): whole,
        _shop(metric, "_bucket", **more, le=f"{one.bound:g}"): fine,
    }


def _shop(metric: catalog.Metric, suffix: str = "", **labels: str) -> str:
    return series(metric, suffix, service="shop", model="tiny", **labels)
