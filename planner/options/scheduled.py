"""GPUs that are switched off at the hours at which nobody comes. Pure.

The hours come from the demand's profile alone, quietest first: of the week where the history has
four weeks and more, else of the day. Replay then says how many of them may be off.
"""

from __future__ import annotations

import numpy as np

from lightmeter import replay
from lightmeter.replay import Floats, Integers, Timed, Timetable
from lightmeter.units import SECONDS_PER_HOUR
from planner.certainty import DAY, MIN_JUDGED, Draws
from planner.demand import Demand
from planner.options.base import Option, OptionKind, Placement, Terms, judged, kept, p95
from planner.options.elastic import billed
from planner.options.rented import size_own


WEEK = 7 * DAY
WEEKS_FOR_WEEKS = 4
LEAST_DAYS = 7
QUIET = 0.1
"""An hour that may be off has less than this share of the mean hour's requests."""


def scheduled(demand: Demand, draws: Draws, terms: Terms) -> list[Option]:
    """Give each service its own GPUs, off at its quietest hours as far as the objective allows."""
    if demand.span_seconds < LEAST_DAYS * DAY:
        return []
    gpus, _ = size_own(demand, draws, terms)
    tables = [
        _table(demand, draws, terms, (service, int(count))) for service, count in enumerate(gpus)
    ]
    if all((table.counts > 0).all() for table in tables):
        return []
    waits = np.empty(len(demand.arrivals))
    starts, stops = [], []
    for service, table in enumerate(tables):
        rows = demand.rows(service)
        found = _timed(demand, rows, table)
        waits[rows] = found.waits
        on = _lives(demand, rows, table, found=found, start=terms.start_of(service))
        starts.append(on[0])
        stops.append(on[1])
    started, stopped = np.concatenate(starts), np.concatenate(stops)
    option = Option(
        OptionKind.ON_DEMAND,
        int(gpus.sum()),
        tuple(
            Placement((name,), int(gpus[index]), p95(waits[demand.rows(index)]))
            for index, name in enumerate(demand.services)
        ),
        waits=waits,
        billed=billed(started, stopped, draws, terms.price) / SECONDS_PER_HOUR,
        cold_starts=len(started),
        name="dedicated GPUs, off at quiet hours",
        facts=(
            (
                "hours that GPUs are off",
                _said(demand, tables),
                "the quietest of the history, as many as replay allows",
            ),
        ),
        again=lambda other, _: _again(other, tables),
    )
    return [judged(option, demand, draws, terms)]


def _again(demand: Demand, tables: list[Timetable]) -> Floats:
    waits = np.empty(len(demand.arrivals))
    for service, table in enumerate(tables):
        rows = demand.rows(service)
        waits[rows] = _timed(demand, rows, table).waits
    return waits


def _timed(demand: Demand, rows: Integers, table: Timetable) -> Timed:
    ranks = demand.ranks_of(rows)
    return replay.timed(demand.arrivals[rows], demand.seconds[rows], table, ranks=ranks)


def profile(demand: Demand, rows: Integers) -> tuple[Floats, float]:
    """Requests in each hour of the cycle, and how far into it the history begins, in seconds."""
    weeks = demand.span_seconds >= WEEKS_FOR_WEEKS * WEEK
    begin = demand.start
    offset = float(begin.hour * 3600 + begin.minute * 60 + begin.second) + begin.microsecond / 1e6
    if weeks:
        offset += begin.weekday() * DAY
    hours = int((WEEK if weeks else DAY) // SECONDS_PER_HOUR)
    # a request that arrives early in an hour may still be at work from the hour before
    at = ((demand.arrivals[rows] + offset) // SECONDS_PER_HOUR).astype(np.int64) % hours
    return np.bincount(at, minlength=hours).astype(np.float64), offset


def _table(demand: Demand, draws: Draws, terms: Terms, size: tuple[int, int]) -> Timetable:
    service, gpus = size
    rows = demand.rows(service)
    counts, offset = profile(demand, rows)
    quiet = np.argsort(counts, kind="stable")
    asked = demand.judged[rows]

    def off(hours: int) -> Timetable:
        found = np.full(len(counts), gpus)
        found[quiet[:hours]] = 0
        return Timetable(found, offset)

    def keeps(hours: int) -> bool:
        waits = _timed(demand, rows, off(hours)).waits
        within = terms.slo.within_at(waits, rows)
        return kept(draws, rows[asked], within[asked], terms.slo.target)

    if len(rows) < MIN_JUDGED:
        return off(int((counts == 0).sum()))
    low, high = 0, int((counts < QUIET * counts.mean()).sum())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if keeps(middle) else (low, middle - 1)
    return off(low)


def _lives(
    demand: Demand, rows: Integers, table: Timetable, *, found: Timed, start: float
) -> tuple[Floats, Floats]:
    """When each GPU was ordered and let go: ready at the hour, kept until its last picture is done."""
    hours = np.arange(int((demand.span_seconds + table.offset) // SECONDS_PER_HOUR) + 1)
    ends = demand.arrivals[rows] + found.waits + demand.seconds[rows]
    begins = demand.arrivals[rows] + found.waits
    started, stopped = [], []
    for gpu in range(int(table.counts.max())):
        on = table.counts[hours % len(table.counts)] > gpu
        edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
        opens = edges[::2] * SECONDS_PER_HOUR - table.offset
        closes = edges[1::2] * SECONDS_PER_HOUR - table.offset
        own = found.server == gpu
        last = np.full(len(opens), -np.inf)
        if len(opens):
            which = np.clip(np.searchsorted(opens, begins[own], "right") - 1, 0, len(opens) - 1)
            np.maximum.at(last, which, ends[own])
        started.append(np.maximum(opens - start, 0.0))
        stopped.append(np.minimum(np.maximum(closes, last), demand.span_seconds))
    return np.concatenate(started), np.maximum(np.concatenate(stopped), np.concatenate(started))


def _said(demand: Demand, tables: list[Timetable]) -> str:
    off = [int((table.counts == 0).sum()) for table in tables]
    cycle = "week" if len(tables[0].counts) > 24 else "day"  # noqa: PLR2004  (hours of a day)
    if len(off) == 1:
        hours = np.flatnonzero(tables[0].counts == 0)
        return f"{off[0]} of each {cycle}" + (
            f": {', '.join(map(str, hours))}" if cycle == "day" else ""
        )
    return f"{min(off)} to {max(off)} of each {cycle}, by service; {sum(count > 0 for count in off)} of {len(demand.services)} services"
