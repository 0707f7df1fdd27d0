"""The page of what others read and write: routes, bodies, rows, plans, decisions; from the code that has them."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import tempfile
import textwrap
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route

from alerts.levels import Bounds
from alerts.scale import targets
from alerts.scale.app import create_app as scaler_app
from alerts.scale.audit import Audit
from alerts.scale.lease import Lease
from alerts.scale.observe import Prometheus
from alerts.scale.scaler import Scaler
from alerts.scale.watch import Latest
from alerts.webhook import Webhook
from dashboards.live.app import create_app as live_app
from docs import plan_fields
from inference.app import create_app, problem_of_job
from inference.gateway.meters import Meters
from inference.gateway.server import Gate, Ways
from inference.jobs import Jobs
from inference.parts import Parts
from lightmeter import rows, tables
from lightmeter.catalog import Term
from lightmeter.localprom.api import Api
from lightmeter.localprom.keep import Keeper
from lightmeter.localprom.store import Store
from lightmeter.scaling.decision import SCHEMA
from lightmeter.scaling.signals import NEEDED, Observations
from lightmeter.scaling.state import Settings, State
from lightmeter.settings import Serve
from lightmeter.settings_gateway import Gateway


METHODS = ("get", "post", "put", "delete")
TAKEN = ("ImageRequest", "RatingRequest", "LimitsChange")
"""Bodies that are sent; they stand before those that are answered."""


def page() -> str:
    """Tell all of it."""
    return "\n".join(["# Reference of the interfaces", "", *_page()])


def _page() -> Iterator[str]:
    yield "What other programs send, read and keep, as the code has it today. The [metrics](metrics.md), the [settings](settings.md), the [commands](commands.md), the [alerts](alert-reference.md) and the [panels](dashboards.md) have pages of their own; the exporter's three paths in [the exporter](exporter.md#tls-and-passwords).\n"
    schema = _schema()
    yield from _server(schema)
    yield from _bodies(schema)
    yield from _apps()
    yield from _columns()
    yield from _plan()
    yield from _decision()


def _table(head: Iterable[str], lines: Iterable[Iterable[object]]) -> Iterator[str]:
    titles = list(head)
    yield f"| {' | '.join(titles)} |"
    yield "|" + "---|" * len(titles)
    for line in lines:
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |"
    yield ""


@contextlib.contextmanager
def _parts() -> Iterator[Parts]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Serve.model_validate({"model": "still", "data": Path(folder)})
        with contextlib.closing(Parts.open(settings, "still", {})) as parts:
            yield parts


def _schema() -> dict[str, Any]:
    async def made(parts: Parts) -> dict[str, Any]:
        service = parts.service()
        jobs = Jobs.of(parts.settings, attic=service.store, explain=problem_of_job)
        app = create_app(service, tracer=parts.tracer, feedback=parts.feedback, jobs=jobs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # HEAD and GET of a route share an id
            return app.openapi()

    with _parts() as parts:
        return asyncio.run(made(parts))


def _server(schema: Mapping[str, Any]) -> Iterator[str]:
    yield "## The server's routes\n"
    yield "From its `/openapi.json`. [What each is for](server.md#routes), and [what the statuses mean](server.md#status-codes).\n"
    yield from _table(
        ("route", "what", "statuses"),
        (
            (f"`{method.upper()} {path}`", told["summary"], ", ".join(sorted(told["responses"])))
            for path, methods in schema["paths"].items()
            for method, told in methods.items()
            if method in METHODS
        ),
    )


def _bodies(schema: Mapping[str, Any]) -> Iterator[str]:
    yield "## The server's bodies\n"
    yield "Sent ones first. What has a default, and nearly everything that is sent, may be left out.\n"
    models = schema["components"]["schemas"]
    for name in sorted(models, key=lambda one: (one not in TAKEN, one)):
        model = models[name]
        if "properties" not in model:
            continue
        yield f"### {name}\n"
        yield f"{model.get('description', '').strip().replace('``', '`')}\n"
        needed = model.get("required", ())
        yield from _table(
            ("field", "type", "default", "meaning"),
            (
                (f"`{field}`", _kind(told), _default(told, field in needed), told.get("description", ""))
                for field, told in model["properties"].items()
            ),
        )  # fmt: skip


def _default(told: Mapping[str, Any], needed: bool) -> str:  # noqa: FBT001  (one of two words)
    if needed:
        return "needed"
    value = told.get("default")
    return "" if value in (None, "") else f"`{value}`"


def _kind(told: Mapping[str, Any]) -> str:
    """Say a JSON schema's type, its words and its bounds."""
    if "anyOf" in told:
        return " or ".join(filter(None, map(_kind, told["anyOf"])))
    if "$ref" in told:
        return str(told["$ref"]).rpartition("/")[2]
    if "enum" in told:
        return ", ".join(f"`{word}`" for word in told["enum"])
    if "const" in told:
        return f"`{told['const']}`"
    if told.get("type") == "array":
        return f"list of {_kind(told.get('items', {}))}"
    return _bounded(told)


def _bounded(told: Mapping[str, Any]) -> str:
    if told.get("type") == "null":
        return ""
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "minLength": "characters at least", "maxLength": "characters at most"}  # fmt: skip
    bounds = [f"{told[key]:,} {word}" if key.endswith("Length") else f"{word} {told[key]:,}" for key, word in words.items() if key in told]  # fmt: skip
    return ", ".join([str(told.get("type", "any")), *bounds])


def _apps() -> Iterator[str]:
    registry = CollectorRegistry()
    settings = Gateway.model_validate({"upstream": "http://127.0.0.1:7860"})

    async def gateway() -> list[BaseRoute]:
        gate = Gate.open(Ways.read(settings), Meters(registry, settings.service))
        application: Any = gate.server.config.app
        return list(application.app.routes)

    prometheus = Api(Keeper(Store())).app()
    told = (
        ("The gateway's routes", "[What becomes of each](gateway.md#jobs-pictures-ratings). `/metrics` is on a port of its own.", asyncio.run(gateway())),
        ("The scaler's routes", "[Who may](scaling.md#who-may).", _scaler().routes),
        ("The live page's routes", "Nothing that writes is passed on. [What is at each](dashboards.md#without-grafana-the-live-page).", live_app(prometheus).routes),
        ("localprom's routes", "[As far as Grafana asks](localprom.md#what-it-answers).", prometheus.routes),
    )  # fmt: skip
    for title, words, routes in told:
        yield f"## {title}\n"
        yield f"{words}\n"
        yield from _table(("path", "methods"), sorted(_paths(routes)))


def _paths(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str]]:
    found: dict[str, set[str]] = {}
    for route in routes:
        if isinstance(route, Route) and not route.path.startswith("/live/"):
            found.setdefault(route.path, set()).update((route.methods or {"any"}) - {"HEAD"})
    for path, methods in found.items():
        yield f"`{path.replace(':path', '')}`", ", ".join(sorted(methods))


def _scaler() -> Starlette:
    with tempfile.TemporaryDirectory() as name:
        folder, registry = Path(name), CollectorRegistry()
        target = targets.parse("null", "")
        with contextlib.closing(Audit(folder)) as audit, contextlib.closing(Lease(folder)) as lease:
            scaler = Scaler(target=target, source=Prometheus("http://127.0.0.1:9090", "shop", 30.0), audit=audit, lease=lease, settings=Settings(), mode="advisory", watcher=Latest(60.0), clock=time.time)  # fmt: skip
            webhook = Webhook(
                scaler, bounds=Bounds(age_seconds=360.0), token_file=None, registry=registry
            )
            return scaler_app(scaler, webhook, registry, lambda: 0.0)


def told(kind: type) -> dict[str, str]:
    """Collect what stands below each attribute of a class."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)  # noqa: S101  (what source of a class is)
    found = {}
    for line, after in zip(tree.body, [*tree.body[1:], ast.Pass()], strict=True):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            words = after.value if isinstance(after, ast.Expr) else None
            text = words.value if isinstance(words, ast.Constant) else ""
            found[line.target.id] = " ".join(str(text).replace("``", "`").split())
    return found


def _columns() -> Iterator[str]:
    yield "## Columns of the usage history\n"
    yield "[How it is kept](history.md). A column that may be null is null where the source does not know.\n"
    words = told(rows.UsageRow)
    yield from _table(
        ("column", "Parquet type", "null", "one of", "meaning"),
        (
            (f"`{field.name}`", field.type, "yes" if field.nullable else "never", _closed(field.name), words[field.name])
            for field in tables.SCHEMA
        ),
    )  # fmt: skip


def _closed(column: str) -> str:
    return ", ".join(f"`{word}`" for word in rows.CLOSED.get(column, ()))


def _plan() -> Iterator[str]:
    yield "## Fields of plan.json\n"
    yield "Of a plan with two priorities and `--held-gpus`; `--telemetry` and `--previous` add `telemetry` and `previous`. [What they mean](planner.md#planjson). A list's items are marked by `[]`.\n"
    yield from _table(("field", "is"), ((f"`{path}`", kind) for path, kind in plan_fields.fields()))


def _decision() -> Iterator[str]:
    yield "## The record of a decision\n"
    yield f"A line of `scale/decisions.jsonl`, and an item of `GET /v1/decisions`. [How it comes about](scaling.md#the-record). `schema` is {SCHEMA}; a record without it is of schema 1, and one of a later schema is refused ([upgrading](upgrading.md)).\n"
    seen, state, wished = told(Observations), told(State), told(Settings)
    yield f"`chosen_term` and the names in `votes` are: {', '.join(f'`{term}`' for term in Term)}.\n"
    yield "### observed\n"
    yield "Each with `value` (null: nobody could tell) and `age_seconds`.\n"
    needed = {name: "yes" if name in NEEDED else "" for name in Observations._fields}
    lines = ((f"`{name}`", needed[name], words) for name, words in seen.items() if name != "ages")
    yield from _table(("name", "needed", "meaning"), lines)
    yield "### state\n"
    yield "In `idle_since`, `idle_in` and `boots` a run of one value is written `[value, times]`.\n"
    yield from _table(("name", "meaning"), ((f"`{name}`", words) for name, words in state.items()))
    yield "### state.settings\n"
    values = Settings()._asdict()
    lines = ((f"`{name}`", f"`{values[name]}`", words) for name, words in wished.items())
    yield from _table(("name", "default", "meaning"), lines)
