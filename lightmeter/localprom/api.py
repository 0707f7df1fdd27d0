"""The HTTP API of Prometheus, as far as Grafana asks, as an ASGI application."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs

import numpy as np
from promql_parser import (
    MatrixSelector,
    ParenExpr,
    SubqueryExpr,
    VectorSelector,
    parse_duration,
)
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from lightmeter import bodies
from lightmeter.errors import QueryError
from lightmeter.localprom import answers
from lightmeter.localprom.evaluate import Options
from lightmeter.localprom.frame import Ints
from lightmeter.localprom.keep import Keeper
from lightmeter.localprom.query import MOST_STEPS, instant, parse, ranged, samples
from lightmeter.localprom.rules import Rules
from lightmeter.localprom.scrape import State
from lightmeter.localprom.selectors import conditions
from lightmeter.localprom.store import Series


VERSION = "3.0.0"
"""Of Prometheus, whose semantics are ours; Grafana chooses by it what to ask."""
BODY_BYTES = 1 << 20
QUERY_SECONDS = 60.0
"""What takes longer to evaluate is given up."""
_BAD_DATA = "bad_data"
_WRONG: dict[type[Exception], int] = {
    QueryError: 400,
    bodies.BodyTooLarge: 413,
    bodies.BodyTooSlow: 408,
    ClientDisconnect: 499,
}
_SECONDS = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
Parameters = dict[str, list[str]]
_PARTS = ("expr", "lhs", "rhs", "param", "vector_selector")
"""Where an expression has others in it, beside a call's arguments."""
T = TypeVar("T")


class Api:
    """Answers questions about a keeper, and about rules and targets where there are any."""

    def __init__(self, keeper: Keeper, *, rules: Rules | None = None, targets: Sequence[State] = (), options: Options | None = None) -> None:  # fmt: skip
        self._keeper = keeper
        self._rules = rules
        self._targets = targets
        self._given = options or Options()

    @property
    def _options(self) -> Options:
        """How the past is read, by whoever asks now."""
        return replace(self._given, until=time.monotonic() + QUERY_SECONDS)

    def app(self) -> Starlette:
        """Make the application."""
        asked: dict[str, Callable[[Parameters], Any]] = {
            "query": self._query,
            "query_range": self._query_range,
            "query_exemplars": self._exemplars,
            "series": self._series,
            "labels": self._labels,
            "metadata": self._metadata,
            "rules": self._told_rules,
            "alerts": self._told_alerts,
            "targets": self._told_targets,
            "status/buildinfo": lambda _: {"version": VERSION, "revision": "", "branch": "", "goVersion": "", "buildUser": "lightmeter", "buildDate": ""},
        }  # fmt: skip
        routes = [Route(f"/api/v1/{path}", _answering(function), methods=["GET", "POST"]) for path, function in asked.items()]  # fmt: skip
        routes += [
            Route("/api/v1/label/{name}/values", self._values, methods=["GET"]),
            Route("/-/ready", _ready),
            Route("/-/healthy", _ready),
        ]
        return Starlette(routes=routes)

    def _query(self, given: Parameters) -> Any:
        tree = parse(_one(given, "query"))
        at = _time(_one(given, "time", f"{time.time():.3f}"))
        bare = tree
        while isinstance(bare, ParenExpr):
            bare = bare.expr
        if isinstance(bare, MatrixSelector | SubqueryExpr):
            return answers.matrix(samples(self._keeper.store, bare, at, self._options))
        return answers.vector(instant(self._keeper.store, tree, at, self._options), at)

    def _query_range(self, given: Parameters) -> Any:
        steps = _steps(given)
        found = ranged(self._keeper.store, parse(_one(given, "query")), steps, self._options)
        return answers.frame(found, steps)

    def _exemplars(self, given: Parameters) -> Any:
        begin, end = _time(_one(given, "start", "0")), _time(_one(given, "end", "9e12"))
        wanted = {series.labels for text in [_one(given, "query")] for series in self._selected([text])}  # fmt: skip
        held = [(labels, each) for labels, each in list(self._keeper.exemplars) if labels in wanted and begin <= each.time_ms <= end]  # fmt: skip
        return answers.exemplars(held)

    def _selected(self, texts: Sequence[str]) -> list[Series]:
        """Find the series of all selectors in expressions, within the time that is kept."""
        found: dict[int, Series] = {}
        for text in texts:
            for selector in _selectors(text):
                found |= {id(each): each for each in self._keeper.store.select(conditions(selector))}  # fmt: skip
        return list(found.values())

    def _within(self, given: Parameters) -> list[Series] | None:
        matches = given.get("match[]", [])
        begin, end = _time(_one(given, "start", "0")), _time(_one(given, "end", "9e12"))
        if not matches:
            return None
        return [each for each in self._selected(matches) if len(each.read(begin, end)[0])]

    def _series(self, given: Parameters) -> Any:
        found = self._within(given)
        if found is None:
            raise QueryError("no match[] parameter provided")
        return _first(given, [dict(each.labels) for each in sorted(found, key=lambda each: each.labels)])  # fmt: skip

    def _labels(self, given: Parameters) -> Any:
        return _first(given, self._keeper.store.names(self._within(given)))

    async def _values(self, request: Request) -> Response:
        name = request.path_params["name"]
        found = _answering(
            lambda given: _first(given, self._keeper.store.values(name, self._within(given)))
        )
        return await found(request)

    def _metadata(self, given: Parameters) -> Any:
        wanted = _one(given, "metric", "")
        about = {name: each for name, each in list(self._keeper.about.items()) if wanted in ("", name)}  # fmt: skip
        return {name: [{"type": each.get("type", "unknown"), "help": each.get("help", ""), "unit": each.get("unit", "")}] for name, each in about.items()}  # fmt: skip

    def _told_rules(self, given: Parameters) -> Any:
        kind = {"alert": "alerting", "record": "recording"}.get(_one(given, "type", ""))
        groups = [answers.group(each) for each in (self._rules.groups if self._rules else [])]
        for group in groups:
            group["rules"] = [rule for rule in group["rules"] if kind in (None, rule["type"])]
        return {"groups": [group for group in groups if group["rules"]]}

    def _told_alerts(self, _: Parameters) -> Any:
        groups = self._rules.groups if self._rules else []
        every = [alert for group in groups for running in group.rules for alert in running.alerts.values()]  # fmt: skip
        return {"alerts": [answers.alert(each) for each in every if each.resolved_ms is None]}

    def _told_targets(self, _: Parameters) -> Any:
        return {"activeTargets": [answers.target(each) for each in self._targets], "droppedTargets": []}  # fmt: skip


def _answering(function: Callable[[Parameters], Any]) -> Callable[[Request], Awaitable[Response]]:  # fmt: skip
    async def answer(request: Request) -> Response:
        try:
            given = await _given(request)
            data = await run_in_threadpool(function, given)
        except tuple(_WRONG) as error:
            said = {"status": "error", "errorType": _BAD_DATA, "error": str(error)}
            return JSONResponse(said, _WRONG[type(error)])
        return JSONResponse({"status": "success", "data": data})

    return answer


async def _ready(_: Request) -> Response:
    return PlainTextResponse("Prometheus Server is Ready.\n")


async def _given(request: Request) -> Parameters:
    given = parse_qs(request.url.query, keep_blank_values=True)
    if request.method == "POST":
        body = await bodies.read(request, BODY_BYTES)
        for name, values in parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True).items():  # fmt: skip
            given.setdefault(name, []).extend(values)
    return given


def _one(given: Parameters, name: str, otherwise: str | None = None) -> str:
    found = given.get(name, [""])[0] or otherwise
    if found is None:
        raise QueryError(f"invalid parameter {name!r}: it is missing")
    return found


def _first(given: Parameters, found: list[T]) -> list[T]:
    """Take as many as are wanted; 0 and nothing mean all."""
    wanted = _one(given, "limit", "0")
    if not (wanted.isascii() and wanted.isdigit()):
        raise QueryError(f"invalid parameter 'limit': {wanted[:20]!r}; give a number, 0 for all")
    return found[: int(wanted[:12])] if int(wanted[:12]) else found


def _time(text: str) -> int:
    """Read Unix seconds or RFC 3339 as milliseconds."""
    try:
        seconds = float(text) if _SECONDS.fullmatch(text) else datetime.fromisoformat(text).timestamp()  # fmt: skip
    except (ValueError, OverflowError) as error:
        raise QueryError(f"invalid time {text!r}; give Unix seconds or RFC 3339") from error
    if not abs(seconds) < 1e13:  # noqa: PLR2004 (the year 318857; also refuses infinity)
        raise QueryError(f"time {text!r} is out of bounds")
    return round(seconds * 1000)


def _step(text: str) -> int:
    try:
        step = float(text) if _SECONDS.fullmatch(text) else parse_duration(text).total_seconds()
    except (ValueError, OverflowError) as error:
        raise QueryError(f"invalid step {text!r}; give seconds or a duration such as 15s") from error  # fmt: skip
    if not 0.001 <= step < 1e10:  # noqa: PLR2004 (a millisecond; some centuries)
        raise QueryError(f"zero or negative query resolution step widths are not accepted: {text!r}; give a positive one")  # fmt: skip
    return round(step * 1000)


def _steps(given: Parameters) -> Ints:
    begin, end, step = _time(_one(given, "start")), _time(_one(given, "end")), _step(_one(given, "step"))  # fmt: skip
    if end < begin:
        raise QueryError(f"end timestamp must not be before start time: {_one(given, 'end')!r}")
    if (end - begin) // step >= MOST_STEPS:
        raise QueryError(f"exceeded maximum resolution of {MOST_STEPS:,} points per timeseries; ask for a longer step or a shorter range")  # fmt: skip
    return np.arange(begin, end + 1, step, dtype=np.int64)


def _selectors(text: str) -> list[VectorSelector]:
    """Find the selectors of an expression; the parser's own ``walk`` takes minutes for a few hundred signs."""
    waiting, found = [parse(text)], list[VectorSelector]()
    while waiting:
        node = waiting.pop()
        if isinstance(node, VectorSelector):
            found.append(node)
        waiting += [part for name in _PARTS if (part := getattr(node, name, None)) is not None]
        waiting += getattr(node, "args", None) or ()
    return found
