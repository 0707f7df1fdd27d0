"""From history rows to a plan: the room's front desk. Pure."""

from __future__ import annotations

import calendar
import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pandas as pd

from lightmeter.errors import PlanError, PriceError
from lightmeter.settings_plan import Plan
from lightmeter.units import (
    HOURS_PER_MONTH,
    SECONDS_PER_HOUR,
    counted,
    show_bytes,
    show_duration,
    show_ratio,
)
from planner import (
    calibration,
    certainty,
    document,
    doubt,
    outlook,
    plausible,
    previous,
    profile,
    quality,
    rightsizing,
    sensitivity,
    services,
    slo,
    steady,
    vendors,
)
from planner import options as ways
from planner.certainty import DAY
from planner.demand import COLUMNS as DEMAND_COLUMNS
from planner.demand import Demand, Window, from_frame, month_window
from planner.forecast import Forecast
from planner.inputs import Case
from planner.limits import breaking_points
from planner.options import Option, Terms
from planner.prices import Price, pick
from planner.recommend import Recommendation, recommend, withheld
from planner.services import with_known
from planner.steady import newcomers
from planner.telemetry import Telemetry


Tell = Callable[[str], None]
COLUMNS = tuple(dict.fromkeys((*DEMAND_COLUMNS, *calibration.COLUMNS, *quality.COLUMNS)))
"""Columns of the history that a plan is made from."""
COMING_DAYS = 30
MOST_SWEPT = 500
"""Services up to which every option is sized anew at other values of the inputs: more take an hour."""


def make(  # noqa: PLR0913  (the history, the wishes, and what is known of both, each by its name)
    frame: pd.DataFrame,
    settings: Plan,
    prices: Mapping[str, Price],
    *,
    month: str | None,
    window: Window = (None, None),
    now: datetime | None = None,
    generated_from: Mapping[str, Any],
    tell: Tell,
    telemetry: Telemetry | None = None,
) -> dict[str, Any]:
    """Replay the history under every option and return the plan document.

    ``frame`` holds `COLUMNS`, ordered by arrival and within the month where one is named;
    ``window`` is what the history covers; ``now`` the present, if rows of the future are to be found
    out; ``tell`` is told what is being done, for a progress line; ``telemetry`` is what pods held and
    used.

    Raises:
        PlanError: no demand, a service that fits no GPU, or an objective that is not understood.
        PriceError: an unknown SKU.
    """
    terms = terms_of(settings, prices, month)
    before = None if settings.previous is None else previous.load(settings.previous)
    frame, odd = plausible.only(frame, now)
    frame, window, skipped = _steady(frame, window, settings)
    demand = from_frame(frame, window)
    graded = quality.judge(frame, span=(demand.start, demand.end), now=now, before=odd)
    tell("forecasting the load of the coming month")
    coming = outlook.look_ahead(demand, days=COMING_DAYS, seed=settings.seed)
    demand, ahead = _coming(demand, coming, settings)
    held = _calibrated(frame, terms, settings)
    demand, terms, notes = with_known(demand, terms, services.load(settings.services))
    _check_fit(demand, terms)
    draws = certainty.draw(demand, resamples=settings.resamples, seed=settings.seed)
    case = demand, draws, terms
    families = _families(case, tell)
    options = [option for family in families for option in family]
    tell("holding against the objective what nobody measured")
    advice = withheld(recommend(options, draws, terms, demand), held)
    few = len(demand.services) <= MOST_SWEPT
    advice, swept = _questioned(
        advice, families, case, points=settings.sweep_points * few, tell=tell
    )
    notes = [*generated_from.get("notes", ()), *skipped, *notes, *newcomers(demand), *_notes(demand, terms, month), *ahead]  # fmt: skip
    notes += [] if advice.option is None else doubt.of_interval(options[advice.option], case)
    source = {**generated_from, "notes": notes}
    found = document.build(*case, options=options, advice=advice, generated_from=source, month=month)  # fmt: skip
    found |= {"sensitivity": swept, "calibration": held.block(), "quality": graded, "profile": profile.block(demand, settings.discount)}  # fmt: skip
    found["rightsizing"] = rightsizing.block(frame, case, telemetry)
    if advice.option is not None:
        tell("looking at the coming month")
        expected = Forecast("planned for it already") if settings.next_month else coming
        found["outlook"] = outlook.block(options[advice.option], case, expected, days=COMING_DAYS)
    return found if before is None else _since(before, found, frame, (terms, settings))


def _since(
    before: Mapping[str, Any],
    found: dict[str, Any],
    frame: pd.DataFrame,
    wishes: tuple[Terms, Plan],
) -> dict[str, Any]:
    """Add what has changed since the plan before."""
    terms, settings = wishes
    hours = previous.held_gpu_hours(frame, settings.held_gpus or None, terms.month_hours)
    price = float(terms.price.price_per_gpu_hour) * (1 - terms.discount)
    return found | {
        "previous": previous.compare(before, found, gpu_hours=hours, price_per_hour=price)
    }


def terms_of(settings: Plan, prices: Mapping[str, Price], month: str | None) -> Terms:
    """Return what a plan rests on besides the history, as the settings say.

    Raises:
        PlanError: an objective that is not understood, or no month.
        PriceError: an unknown SKU.
    """
    return Terms(
        slo=slo.parse(settings.slo),
        price=pick(prices, settings.sku),
        month_hours=_month_hours(month),
        start_seconds=settings.start_seconds,
        swap_seconds=settings.swap_seconds,
        max_gpus=settings.max_gpus,
        wake_seconds=settings.wake_seconds,
        discount=settings.discount,
        headroom=settings.headroom,
        interference=settings.interference,
        mps_interference=settings.mps_interference,
        policy=settings.policy,
        others=_others(prices, settings),
        vendors=vendors.named(prices, settings.on_demand, pick(prices, settings.sku)),
        assumed=doubt.assumed(settings.model_fields_set),
    )


def _calibrated(frame: pd.DataFrame, terms: Terms, settings: Plan) -> calibration.Calibration:
    return calibration.calibrate(
        frame,
        terms.slo,
        limit=settings.calibration_limit,
        swap_seconds=terms.swap_seconds,
        gpus=max(1, round(settings.held_gpus)) if settings.held_gpus else None,
    )


def _families(case: Case, tell: Tell) -> list[list[Option]]:
    """Size and judge the options of every way to serve."""
    families = []
    for way in ways.WAYS:
        tell(f"replaying {len(case[0].arrivals):,} requests on {way.doing}")
        families.append(way.options(*case))
    return families


def _questioned(
    advice: Recommendation, families: list[list[Option]], case: Case, *, points: int, tell: Tell
) -> tuple[Recommendation, list[dict[str, Any]]]:
    """Look how far the inputs may be off before the advice changes."""
    options = [option for family in families for option in family]
    advised = advice.option is not None
    sweep = sensitivity.Sweep(ways.WAYS, families, case)
    swept = sensitivity.block(sweep, points if advised else 0, tell)
    if advice.option is None:
        return advice, swept
    tell("looking how far the assumptions may be off")
    found = breaking_points(options[advice.option], case) + sensitivity.flips(swept)
    return dataclasses.replace(advice, flips_when=advice.flips_when + found), swept


def _coming(demand: Demand, coming: Forecast, settings: Plan) -> tuple[Demand, list[str]]:
    """Scale the demand to the forecast where that is asked for and may be used; say what was done."""
    if not settings.next_month:
        return demand, []
    if coming.factor is None:
        return demand, [f"planned for the load of the history, not for the coming month's: {coming.reason}"]  # fmt: skip
    note = f"planned for {coming.factor:.2f} times the load of the history, as forecast for the coming {COMING_DAYS} days: {coming.reason}"
    return outlook.scaled(demand, coming.factor, seed=settings.seed)[0], [note]


def _notes(demand: Demand, terms: Terms, month: str | None) -> list[str]:
    """Say what the reader must know of the history: refusals, and months covered in part."""
    notes = []
    if demand.refused:
        share = show_ratio(demand.refused / len(demand.arrivals))
        notes.append(
            f"{counted(demand.refused, 'request')} ({share}) ended refused or given up, unserved; they count as demand"
        )
    if month is None or demand.span_seconds > terms.month_hours * SECONDS_PER_HOUR - DAY:
        return notes
    covered = show_duration(demand.span_seconds)
    return [*notes, f"the history covers {covered} of {month}; the rest is taken to be like it"]


def _steady(
    frame: pd.DataFrame, window: Window, settings: Plan
) -> tuple[pd.DataFrame, Window, list[str]]:
    """Leave out the first days of a service that nobody used yet, and say so."""
    begin = None if settings.keep_ramp_up else steady.since(frame)
    if begin is None:
        return frame, window, []
    rest = frame[frame["arrived_at"] >= begin]
    note = f"{counted(len(frame) - len(rest), 'request')} before {begin:%Y-%m-%d} are left out: days with less than {show_ratio(steady.RAMP_SHARE)} of the usual work; --keep-ramp-up counts them"
    return rest, (begin.to_pydatetime(), window[1]), [note]


def _others(prices: Mapping[str, Price], settings: Plan) -> tuple[Price, ...]:
    """Pick the further SKUs.

    Raises:
        PriceError: one is unknown, or of another currency.
    """
    main = pick(prices, settings.sku)
    names = dict.fromkeys(name.strip() for name in settings.other_skus.split(","))
    found = tuple(pick(prices, name) for name in names if name and name != settings.sku)
    for price in found:
        if price.currency != main.currency:
            raise PriceError(
                f"SKU {price.sku!r} is in {price.currency} and {main.sku!r} in {main.currency}; a plan has one currency"
            )
    return found


def _month_hours(month: str | None) -> float:
    if month is None:
        return HOURS_PER_MONTH
    first, _ = month_window(month)
    return float(calendar.monthrange(first.year, first.month)[1] * 24)


def _check_fit(demand: Demand, terms: Terms) -> None:
    vendors.check_fit(demand, terms)
    for index, (name, peak) in enumerate(zip(demand.services, demand.peak_vram_bytes, strict=True)):
        stated = terms.of(index).vram_bytes
        need = peak if stated is None else stated
        if need is not None and need > terms.price.vram_bytes:
            how = "peaked at" if stated is None else "is said to need"
            raise PlanError(
                f"service {name!r} {how} {show_bytes(need)}, more than the {terms.price.vram_gib:g} GiB of {terms.price.sku!r}; name a larger --sku"
            )
