"""Error budgets as rules: counts, ratios, their lower bounds, and who is told how fast they burn. Pure.

Ratios are sums over sums; windows above `DIRECT_SECONDS` add up five-minute counts, so that a
quiet hour weighs what it holds. At low traffic a ratio says little, so an alert also needs the
Wilson lower bound of the long window's ratio above the threshold and `FEWEST_ERRORS` bad requests.
"""

from __future__ import annotations

from collections.abc import Iterator

from alerts import burn_trial
from alerts.burn_words import FIRST, THEN, sentence
from alerts.objectives import Objective, Promise, Slo
from alerts.promql import grown, series, share
from alerts.rule import Alert, Group, Record, Rule, Severity
from alerts.windows import WINDOWS, Window
from lightmeter import catalog
from lightmeter.catalog import Outcome, Stage
from lightmeter.units import parse_duration


Z = 2.33
"""Standard deviations of the bound: true in 99 of 100 cases, one-sided.
https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval"""
FEWEST_ERRORS = 3
"""Nobody is told for less; two failures in an hour are not worth a night."""
DIRECT_SECONDS = 6 * 3600
"""Up to here counters are asked; a longer window would read too many samples each time."""
_COUNTED = 0.5
"""How far an extrapolated count may lie below the true one."""


def group(slo: Slo) -> tuple[Group, Group, tuple[str, ...]]:
    """Make the recording and the alerting rules of all objectives, and say what was left out."""
    records = tuple(rule for one in slo.objective for rule in _records(one, slo))
    alerts: list[Rule] = []
    notes = []
    for one in slo.objective:
        for window in WINDOWS[slo.period]:
            threshold = window.burn_rate(slo.period) * one.budget
            if threshold < 1:
                alerts.append(_alert(one, window, slo))
            else:
                notes.append(f"objective {one.name!r}: a target of {one.target:g} is so low that no error ratio burns its budget {window.burn_rate(slo.period):.3g} times too fast; it has no alert for {window.long}")  # fmt: skip
    return (
        Group("lightmeter-slo", "slo", records),
        Group("lightmeter-burn", "slo", tuple(alerts)),
        tuple(notes),
    )


def _records(one: Objective, slo: Slo) -> Iterator[Record]:
    label, period = {catalog.SLO_LABEL: one.name}, slo.period
    requests, errors = _selected(one)
    windows = sorted({w.long for w in WINDOWS[period]} | {w.short for w in WINDOWS[period]}, key=parse_duration)  # fmt: skip
    for window in [*windows, period]:
        if parse_duration(window) <= DIRECT_SECONDS:
            whole = " + ".join(grown(slo.by, each, window) for each in requests)
            part = _bad(one, whole, [grown(slo.by, each, window) for each in errors])
        else:
            whole, part = (f"sum_over_time({_of(one, name)}[{window}:5m])" for name in (catalog.SLO_REQUESTS, catalog.SLO_ERRORS))  # fmt: skip
        yield Record(catalog.slo_requests(window), whole, label)
        yield Record(catalog.slo_errors(window), part, label)
        yield Record(catalog.slo_error_ratio(window), share(_of(one, catalog.slo_errors(window)), _of(one, catalog.slo_requests(window))), label)  # fmt: skip
    for long in sorted({w.long for w in WINDOWS[period]}, key=parse_duration):
        yield Record(catalog.slo_error_floor(long), _wilson(one, long), label)
    yield from _budget(one, slo)


def _selected(one: Objective) -> tuple[list[str], list[str]]:
    """Select the counters of all requests and of the bad ones; with a limit, of the good ones."""
    here = (one.service,)
    if one.kind is Promise.AVAILABILITY:
        whole = series(
            catalog.REQUESTS, service=here, not_outcome=(Outcome.INVALID, Outcome.CANCELLED)
        )
        return [whole], [series(catalog.REQUESTS, service=here, outcome=tuple(one.bad))]
    if one.kind is Promise.GUARD:
        whole = series(catalog.REQUESTS, service=here, outcome=(Outcome.OK, Outcome.ANOMALOUS))
        return [whole], [series(catalog.REQUESTS, service=here, outcome=Outcome.ANOMALOUS)]
    metric, stage = {
        Promise.WAIT: (catalog.STAGE_DURATION, {"stage": Stage.QUEUE}),
        Promise.SLOWDOWN: (catalog.SLOWDOWN, {}),
        Promise.DURATION: (catalog.REQUEST_DURATION, {}),
    }[one.kind]
    good = series(metric, "_bucket", service=here, **stage, le=_bound(one.bound))
    return [series(metric, "_count", service=here, **stage)], [good]


def _bound(value: float) -> str | tuple[str, ...]:
    """Write a bucket's bound as libraries do: Prometheus 3 says 4.0 where older ones may say 4."""
    return (f"{value:g}", f"{value:.1f}") if value == int(value) else f"{value:g}"


def _bad(one: Objective, whole: str, parts: list[str]) -> str:
    part = " + ".join(parts)
    if one.kind in (Promise.AVAILABILITY, Promise.GUARD):
        return f"{part}\nor\n0 * {whole}"
    return f"clamp_min({whole} - {part}, 0)"


def _of(one: Objective, name: str) -> str:
    return series(name, **{catalog.SLO_LABEL: one.name})


def _wilson(one: Objective, long: str) -> str:
    """The lower end of Wilson's interval for the share of bad requests in a window."""
    count, ratio = _of(one, catalog.slo_requests(long)), _of(one, catalog.slo_error_ratio(long))
    return (
        f"(\n  {ratio} + {Z**2 / 2:.6g} / {count}\n"
        f"  - {Z:g} * sqrt(clamp_min({ratio} * (1 - {ratio}), 0) / {count} + {Z**2 / 4:.6g} / {count} ^ 2)\n"
        f") / (1 + {Z**2:.6g} / {count})"
    )


def _budget(one: Objective, slo: Slo) -> Iterator[Record]:
    label = {catalog.SLO_LABEL: one.name}
    period, left = parse_duration(slo.period), _of(one, catalog.SLO_BUDGET_LEFT)
    spent = f"{_of(one, catalog.slo_error_ratio(slo.period))} / {one.budget:.6g}"
    pace = f"{_of(one, catalog.slo_error_ratio('1d'))} / {one.budget:.6g}"
    yield Record(
        catalog.SLO_OBJECTIVE, f"0 * {_of(one, catalog.SLO_REQUESTS)} + {one.target:g}", label
    )
    yield Record(catalog.SLO_BUDGET_LEFT, f"1 - {spent}", label)
    yield Record(
        catalog.SLO_BUDGET_ENDS, f"clamp_min({left}, 0) * {period:.0f} / ({pace} > 0)", label
    )


def _scaling(one: Objective, window: Window) -> dict[str, str]:
    """Let what more replicas would mend keep up the scaler's floor, once it is worth a page."""
    mends = one.kind in (Promise.AVAILABILITY, Promise.WAIT, Promise.SLOWDOWN)
    wakes = window.severity is Severity.PAGE
    return {catalog.SCALING_LABEL: catalog.Scaling.RAISE} if mends and wakes else {}


def _alert(one: Objective, window: Window, slo: Slo) -> Alert:
    rate = window.burn_rate(slo.period)
    threshold = f"{rate * one.budget:.4g}"
    conditions = (
        f"{_of(one, catalog.slo_error_ratio(window.long))} > {threshold}",
        f"{_of(one, catalog.slo_error_floor(window.long))} > {threshold}",
        f"{_of(one, catalog.slo_error_ratio(window.short))} > {threshold}",
        f"{_of(one, catalog.slo_errors(window.long))} > {FEWEST_ERRORS - _COUNTED:g}",
    )
    return Alert(
        name=f"LightmeterErrorBudgetBurn{window.long}",
        severity=window.severity,
        expr="\nand\n".join(conditions),
        summary=sentence(one, window, slo.period).format(
            service="{{ $labels.service }}", ratio="{{ $value | humanizePercentage }}"
        ),
        meaning=f"Users are hurt faster than the promise allows: over {window.long} and still over the last {window.short} the error budget burned at least {rate:.3g} times too fast, and there were enough requests to be sure.",
        first=FIRST[one.kind],
        then=THEN,
        panel=catalog.BURN_RATE,
        labels={catalog.SLO_LABEL: one.name, "component": "slo", **_scaling(one, window)},
        trials=(burn_trial.trial(one, window, slo),),
    )
