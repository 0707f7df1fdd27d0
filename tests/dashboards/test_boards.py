"""The five boards: whole, stable, linked, and in words that people can use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import promql_parser as grammar
import pytest
import yaml

from dashboards import expressions, files
from dashboards.boards import all_boards
from dashboards.check import findings
from dashboards.expressions import parse
from dashboards.names import labels_of, mentioned
from dashboards.panel import Dashboard, Kind, Panel
from dashboards.query import quantile
from dashboards.render import dashboard
from dashboards.units import is_known
from lightmeter import catalog
from lightmeter.catalog import CATALOG, Board


BOARDS = all_boards()
MADE = [dashboard(one, files.RUNBOOK) for one in BOARDS]
EACH = pytest.mark.parametrize("one", BOARDS, ids=lambda one: one.board)
LINKED = [value for value in vars(catalog).values() if isinstance(value, catalog.Panel)]


def panels() -> list[Panel]:
    return [panel for one in BOARDS for panel in one.panels]


def test_all_there() -> None:
    """There is a board for each uid that the catalogue promises."""
    assert list(Board) == [one.board for one in BOARDS]


@pytest.mark.parametrize("made", MADE, ids=lambda made: made["uid"])
def test_clean(made: dict[str, Any]) -> None:
    """No rule of the check finds fault with a board; none is switched off."""
    assert [] == findings(made, MADE)


@pytest.mark.parametrize("place", LINKED, ids=lambda place: place.title)
def test_links_of_alerts(place: catalog.Panel) -> None:
    """What an alert links to is there, under its number and title."""
    assert place in [panel.place for panel in panels()]


@EACH
def test_own_place(one: Dashboard) -> None:
    """Each panel stands on the board that its place names."""
    assert {one.board} == {panel.place.board for panel in one.panels}


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel.place.title)
def test_words(panel: Panel) -> None:
    """Each panel says what it shows, what is normal and what to do, in sentences, and its metric."""
    for words in (panel.shows, panel.normal, panel.act):
        assert words.endswith((".", "?"))
    assert panel.empty
    assert mentioned(panel)


def test_every_metric_is_somewhere() -> None:
    """Each metric of the server and of the scaler is on a panel."""
    shown = {name for panel in panels() for name in mentioned(panel)}
    missing = [
        metric.name
        for metric in CATALOG
        if metric.room in ("server", "scaler", "gateway") and not any(name.startswith(metric.name) for name in shown)
    ]  # fmt: skip

    assert [] == missing


@EACH
def test_links(one: Dashboard) -> None:
    """Each board links to the four others and keeps the time."""
    made = MADE[BOARDS.index(one)]

    assert {str(other) for other in Board} - {str(one.board)} == {
        link["url"].removeprefix("/d/").partition("?")[0] for link in made["links"]
    }
    assert all(link["keepTime"] for link in made["links"])


def test_links_keep_choices() -> None:
    """Servers' jobs and instances stay behind on the way to the GPUs; service and model do not."""
    to_fleet, to_cost = (
        next(link for link in MADE[0]["links"] if link["url"].startswith(f"/d/{board}"))
        for board in (Board.FLEET, Board.COST)
    )

    assert not to_fleet["includeVars"]
    assert "${service:queryparam}" in to_fleet["url"]
    assert "instance" not in to_fleet["url"]
    assert to_cost["includeVars"]


def test_exemplars() -> None:
    """Latency panels ask for the traces behind them, and the data source says where those are."""
    asking = [panel.place.title for panel in panels() if any(t.exemplar for t in panel.targets)]
    source = yaml.safe_load(files.generate(("provisioning",))["provisioning/datasources/lightmeter.yaml"])  # fmt: skip
    destinations = source["datasources"][0]["jsonData"]["exemplarTraceIdDestinations"]

    assert {"Duration", "Durations", "Slowdown"} == set(asking)
    assert ["trace_id"] == [one["name"] for one in destinations]


def test_choices() -> None:
    """What a choice starts with is one of its values, or the query that uses it would find nothing."""
    for one in BOARDS:
        for choice in one.choices:
            assert choice.default in (choice.values or (choice.default,))
            assert any(f"${choice.name}" in t.expr for panel in one.panels for t in panel.targets)


def test_marks() -> None:
    """Alerts, model loads, restarts and scaling are drawn over all panels."""
    marks = MADE[0]["annotations"]["list"]

    assert ["Alerts", "Model loads", "Restarts", "Scaling"] == [mark["name"] for mark in marks]
    assert [""] * 4 == [parse(mark["expr"]).error for mark in marks]


def divisors(node: Any) -> Iterator[Any]:
    """Yield what a parsed query divides by, without parentheses."""
    if isinstance(node, grammar.BinaryExpr) and str(node.op) == "/":
        found = node.rhs
        while isinstance(found, grammar.ParenExpr):
            found = found.expr
        yield found
    for inner in expressions._children(node):
        yield from divisors(inner)


def test_no_division_by_nothing() -> None:
    """Whatever is divided by is above nothing, so no traffic is no value and not NaN."""
    found = [
        (one, target.expr)
        for panel in panels()
        for target in panel.targets
        for one in divisors(grammar.parse(expressions._filled(target.expr)))
    ]

    assert len(found) > 20
    for one, query in found:
        above = isinstance(one, grammar.BinaryExpr) and str(one.op) == ">"
        assert above or isinstance(one, grammar.NumberLiteral), query


def test_colours_are_judgements() -> None:
    """A tile without a threshold has no colour of its own."""
    made = [panel for one in MADE for panel in one["panels"] if panel["type"] == Kind.STAT]
    judged = [one for one in made if one["fieldConfig"]["defaults"]["color"]["mode"] == "thresholds"]  # fmt: skip

    assert {"Failed requests", "Workers that can serve"} == {one["title"] for one in judged}


def test_configmaps() -> None:
    """Each board fits in a ConfigMap that the sidecar finds."""
    made = files.generate(("configmap",))

    together = yaml.safe_load(made.pop("configmap/kustomization.yaml"))

    assert {f"configmap/{name}" for name in together["resources"]} == set(made)
    assert len(BOARDS) == len(made)
    for text in made.values():
        one = yaml.safe_load(text)
        assert {"grafana_dashboard": "1"} == one["metadata"]["labels"]
        assert len(text.encode()) < 2**20


def test_units() -> None:
    """Grafana's units and the forms of one's own are known; what it would print is not."""
    assert all(map(is_known, ("s", "percentunit", "suffix: img/s", "currency:¥", "count:GPUs")))
    assert not any(map(is_known, ("secs", "currencyCNY", "suffix:", "")))


def test_names() -> None:
    """A histogram is known by its samples, a recorded series by its window, and nothing by a guess."""
    duration = catalog.REQUEST_DURATION.name

    assert "le" in (labels_of(f"{duration}_bucket") or ())
    assert labels_of(duration) is None
    assert catalog.SLO_LABEL in (labels_of(catalog.slo_error_ratio("90m")) or ())
    assert labels_of(catalog.slo_error_ratio("soon")) is None


def test_no_buckets() -> None:
    """A quantile of what is no histogram is refused when the boards are made."""
    with pytest.raises(ValueError, match="has no buckets"):
        quantile(0.5, "", catalog.QUEUE_DEPTH)
