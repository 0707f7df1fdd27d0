"""``lightmeter dashboards check``: each rule finds the fault that it is there for."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards import check, files
from dashboards.boards import all_boards
from dashboards.expressions import parse
from dashboards.render import dashboard
from lightmeter import catalog
from lightmeter.catalog import Board
from lightmeter.errors import DashboardError


LATENCY = dashboard(all_boards()[list(Board).index(Board.LATENCY)], files.RUNBOOK)
Change = Callable[[dict[str, Any]], Any]


def panel(board: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(one for one in board["panels"] if one["type"] == kind)


def variable(board: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in board["templating"]["list"] if one["name"] == name)


def ask(expr: str, kind: str = "timeseries") -> Change:
    """Put a query in a panel's place."""
    return lambda board: panel(board, kind)["targets"][0].update(expr=expr)


def put(kind: str, /, **values: Any) -> Change:
    return lambda board: panel(board, kind).update(values)


def vary(which: str, /, **values: Any) -> Change:
    return lambda board: variable(board, which).update(values)


HERE = '{job=~"$job", instance=~"$instance"}'
COUNTER, GAUGE = catalog.REQUESTS.name, catalog.IN_FLIGHT.name
BUCKET = f"{catalog.REQUEST_DURATION.name}_bucket"
FAULTS: dict[str, tuple[str, Change]] = {
    "no data source to choose": ("template-datasource", lambda b: b["templating"]["list"].pop(0)),
    "data source of another name": ("template-datasource", vary("datasource", name="source")),
    "no job": ("template-job", lambda b: b["templating"]["list"].remove(variable(b, "job"))),
    "one job only": ("template-job", vary("job", multi=False)),
    "all is anything": ("template-instance", vary("instance", allValue=".*")),
    "instances of a fixed source": ("template-instance", vary("instance", datasource="prom")),
    "a variable in no language": ("template-label-promql", vary("model", query="show models")),
    "a variable in bad PromQL": ("template-label-promql", vary("model", query="label_values(x{, y)")),
    "a variable of what is not there": ("metric-exists", vary("model", query="label_values(gone, model)")),
    "a variable that stays": ("template-on-time-change-reload", vary("service", refresh=1)),
    "a fixed source": ("panel-datasource", put("timeseries", datasource={"uid": "abc"})),
    "no words": ("panel-title-description", put("heatmap", description="")),
    "no unit": ("panel-units", lambda b: panel(b, "heatmap")["fieldConfig"]["defaults"].pop("unit")),
    "unit as printed": ("unit-known", lambda b: panel(b, "timeseries")["fieldConfig"]["defaults"].update(unit="secs")),
    "unit of an axis": ("unit-known", lambda b: panel(b, "heatmap")["options"]["yAxis"].update(unit="currencyCNY")),
    "no query": ("panel-no-targets", put("timeseries", targets=[])),
    "bad PromQL": ("target-promql", ask("sum(")),
    "bad PromQL of a heat-map": ("target-promql", ask("sum(", "heatmap")),
    "logs": ("target-logql", lambda b: panel(b, "timeseries")["targets"][0].update(datasource={"type": "loki"})),
    "logs over a fixed range": ("target-logql-auto", lambda b: panel(b, "timeseries")["targets"][0].update(datasource={"type": "loki"})),
    "fixed range": ("target-rate-interval", ask(f"rate({COUNTER}{HERE}[5m])")),
    "no job chosen": ("target-job", ask(GAUGE + '{instance=~"$instance"}')),
    "a fixed instance": ("target-instance", ask(GAUGE + '{job=~"$job", instance="here"}', "heatmap")),
    "a counter as it stands": ("target-counter-agg", ask(COUNTER + HERE)),
    "a counter under a sum": ("target-counter-agg", ask(f"max_over_time({COUNTER}{HERE}[1h])")),
    "editable": ("uneditable-dashboard", lambda b: b.update(editable=True)),
    "renamed metric": ("metric-exists", ask(GAUGE.replace("flight", "fligth") + HERE)),
    "renamed metric in a mark": ("metric-exists", lambda b: b["annotations"]["list"][1].update(expr="gone > 0")),
    "any series": ("metric-exists", ask('{__name__="gone", job=~"$job", instance=~"$instance"}')),
    "label that it lacks": ("label-exists", ask(GAUGE + '{job=~"$job", instance=~"$instance", tenant="a"}')),
    "grouped by what is not there": ("label-exists", ask(f"sum by (tenant) ({GAUGE}{HERE})")),
    "overlap": ("grid", lambda b: panel(b, "heatmap").update(gridPos=panel(b, "timeseries")["gridPos"])),
    "beyond the grid": ("grid", put("heatmap", gridPos={"x": 20, "y": 90, "w": 8, "h": 8})),
    "nowhere": ("grid", put("heatmap", gridPos=None)),
    "the same id": ("ids", lambda b: panel(b, "heatmap").update(id=panel(b, "timeseries")["id"])),
    "no id": ("ids", put("heatmap", id=None)),
    "no uid": ("ids", lambda b: b.update(uid="")),
    "two queries of a letter": ("ids", lambda b: panel(b, "timeseries")["targets"].append(panel(b, "timeseries")["targets"][0])),
    "a link to nowhere": ("links", lambda b: b["links"][0].update(url="/d/gone")),
    "a link to no panel": ("links", put("heatmap", links=[{"url": f"/d/{Board.LATENCY}?viewPanel=99"}])),
    "a link that loses the time": ("links", lambda b: b["links"][0].update(keepTime=False)),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(fault: str) -> None:
    """Each fault is found by its rule, and the board without it is clean."""
    rule, change = FAULTS[fault]
    board = copy.deepcopy(LATENCY)
    assert [] == check.findings(board)
    change(board)

    assert rule in {found.rule for found in check.findings(board)}


def test_linter() -> None:
    """All seventeen rules of Grafana's linter are there, each with a fault that it finds."""
    theirs = {"template-datasource", "template-job", "template-instance", "template-label-promql", "template-on-time-change-reload", "panel-datasource", "panel-title-description", "panel-units", "panel-no-targets", "target-logql", "target-logql-auto", "target-promql", "target-rate-interval", "target-job", "target-instance", "target-counter-agg", "uneditable-dashboard"}  # fmt: skip

    assert 17 == len(theirs)
    assert theirs <= {rule for rule, _ in FAULTS.values()}


def test_says_what_was_meant() -> None:
    """A misspelt metric is answered with the nearest one."""
    board = copy.deepcopy(LATENCY)
    ask(GAUGE.replace("flight", "fligth") + HERE)(board)
    (found,) = check.findings(board)

    assert found.says.endswith(f"did you mean {GAUGE!r}?")
    assert "panel 20 Duration, query A" == found.where


@pytest.mark.parametrize(
    "query",
    [
        f"sum(rate({COUNTER}[$__rate_interval])) * $price",
        f"sum(rate({COUNTER}[${{__rate_interval}}] offset $before))",
        f'max({GAUGE}{{service=~"${{service:regex}}"}}) + [[limit]]',
        f"max_over_time(({GAUGE})[$__range:])",
        f"sum({BUCKET}{{le=\"$within\"}}) or {GAUGE}{{model='$x'}}",
    ],
)
def test_variables(query: str) -> None:
    """Grafana's variables may stand wherever Grafana lets them."""
    assert "" == parse(query).error


def test_folded_rows() -> None:
    """Panels in a folded row are looked at too."""
    board = copy.deepcopy(LATENCY)
    row, last = board["panels"][0], board["panels"].pop()
    row["panels"] = [last]
    assert [] == check.findings(board)
    last["targets"][0]["expr"] = "gone"

    assert "metric-exists" in {found.rule for found in check.findings(board)}


ODD: tuple[Any, ...] = (None, True, 7, "$x", [], {}, [1, None, "a"], {"uid": 1})


def spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to everything in a dashboard but the later ones of many alike."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()  # fmt: skip
    for key, each in inner:
        yield from spots(each, (*path, key))


def test_any_shape() -> None:
    """Whatever stands in the place of whatever in a dashboard, there is no traceback."""
    chance = random.Random(7)
    small = copy.deepcopy(LATENCY) | {"panels": LATENCY["panels"][1:3]}
    paths = [path for path in spots(small) if path]
    for path in chance.sample(paths, min(150, len(paths))):
        board = copy.deepcopy(small)
        holder: Any = board
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = chance.choice(ODD)
        check.findings(board)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "has no list of panels"),
        ('{"panels": {}}', "has no list of panels"),
        ('{"elements": {}, "layout": {}}', "(not v2)"),
        ("[" * 100_000, "is no JSON"),
        ("\udcff", "is no JSON"),
    ],
)
def test_no_dashboard(tmp_path: Path, text: str, said: str) -> None:
    """What is no dashboard is refused with the file's name and the reason."""
    path = tmp_path / "x.json"
    path.write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(DashboardError, match=r"x[.]json") as caught:
        check.read(path)
    assert said in str(caught.value)


def test_wrapped(tmp_path: Path) -> None:
    """What Grafana's API wraps is read as well."""
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"dashboard": LATENCY, "overwrite": True}))

    assert LATENCY == check.read(path)
