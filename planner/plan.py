"""From history rows to a plan: the room's front desk. Pure."""

from __future__ import annotations

import calendar
import dataclasses
from collections.abc import Callable, Mapping
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
from planner import certainty, document, rightsizing, sensitivity, services, slo, steady
from planner import options as ways
from planner.certainty import DAY
from planner.demand import Demand, Window, from_frame, month_window
from planner.limits import breaking_points
from planner.options import Terms
from planner.prices import Price, pick
from planner.recommend import recommend
from planner.services import with_known
from planner.telemetry import Telemetry


Tell = Callable[[str], None]


def make(
    frame: pd.DataFrame,
    settings: Plan,
    prices: Mapping[str, Price],
    *,
    month: str | None,
    window: Window = (None, None),
    generated_from: Mapping[str, Any],
    tell: Tell,
    telemetry: Telemetry | None = None,
) -> dict[str, Any]:
    """Replay the history under every option and return the plan document.

    ``frame`` holds `demand.COLUMNS`, ordered by arrival and within the month where one is named;
    ``window`` is what the history covers; ``tell`` is told what is being done, for a progress
    line; ``telemetry`` is what pods held and used.

    Raises:
        PlanError: no demand, a service that fits no GPU, or an objective that is not understood.
        PriceError: an unknown SKU.
    """
    terms = _terms(settings, prices, month)
    frame, window, skipped = _steady(frame, window, settings)
    demand = from_frame(frame, window)
    demand, terms, notes = with_known(demand, terms, services.load(settings.services))
    _check_fit(demand, terms)
    draws = certainty.draw(demand, resamples=settings.resamples, seed=settings.seed)
    families = []
    for way in ways.WAYS:
        tell(f"replaying {len(demand.arrivals):,} requests on {way.doing}")
        families.append(way.options(demand, draws, terms))
    options = [option for family in families for option in family]
    advice = recommend(options, draws, terms, demand)
    swept = sensitivity.block(
        sensitivity.Sweep(ways.WAYS, families, (demand, draws, terms)),
        settings.sweep_points if advice.option is not None else 0,
        tell,
    )
    if advice.option is not None:
        tell("looking how far the assumptions may be off")
        found = breaking_points(options[advice.option], (demand, draws, terms))
        advice = dataclasses.replace(
            advice, flips_when=advice.flips_when + found + sensitivity.flips(swept)
        )
    said = [*generated_from.get("notes", ()), *skipped, *notes, *_notes(demand, terms, month)]
    built = document.build(
        demand,
        draws,
        terms,
        options=options,
        advice=advice,
        generated_from={**generated_from, "notes": said},
        month=month,
    )
    sizes = rightsizing.block(frame, (demand, draws, terms), telemetry)
    return built | {"sensitivity": swept, "rightsizing": sizes}


def _terms(settings: Plan, prices: Mapping[str, Price], month: str | None) -> Terms:
    """Put together what the options depend on besides the history."""
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
    )


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
    for index, (name, peak) in enumerate(zip(demand.services, demand.peak_vram_bytes, strict=True)):
        stated = terms.of(index).vram_bytes
        need = peak if stated is None else stated
        if need is not None and need > terms.price.vram_bytes:
            how = "peaked at" if stated is None else "is said to need"
            raise PlanError(
                f"service {name!r} {how} {show_bytes(need)}, more than the {terms.price.vram_gib:g} GiB of {terms.price.sku!r}; name a larger --sku"
            )
