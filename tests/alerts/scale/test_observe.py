"""Readings from Prometheus: what an answer means, and what no answer means."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest

from alerts.scale.observe import Prometheus, questions
from lightmeter import catalog
from lightmeter.errors import ServerError
from lightmeter.scaling.signals import NEEDED, Observations
from support.promapi import Api
from support.promtool import promtool


@pytest.fixture
def api() -> Iterator[Api]:
    one = Api()
    yield one
    one.close()


def look(api: Api) -> Observations:
    return Prometheus(api.url, "shop", 30.0).look()


def test_read(api: Api) -> None:
    """Each reading has its value and its age."""
    api.value = "2.5"
    seen = look(api)

    assert {2.5} == {getattr(seen, name) for name in NEEDED}
    assert {3.0} == set(seen.ages.values())


def test_zero(api: Api) -> None:
    """A zero that is told is a zero."""
    api.value = "0"

    assert 0.0 == look(api).in_flight


@pytest.mark.parametrize("case", ["empty", "nan", "infinite", "several", "error", "nothing of Prometheus", "no number"])  # fmt: skip
def test_no_reading(api: Api, case: str) -> None:
    """An empty answer, NaN, two series or an error is no reading, and never 0."""
    match case:
        case "empty":
            api.result = []
        case "nan":
            api.value = "NaN"
        case "infinite":
            api.value = "+Inf"
        case "several":
            api.result = [{"metric": {}, "value": [0, "1"]}] * 2
        case "error":
            api.status = 500
        case "nothing of Prometheus":
            api.result = [{"metric": {}}]
        case _:
            api.value = "many"

    seen = look(api)
    assert {None} == {getattr(seen, name) for name in NEEDED}


def test_old(api: Api) -> None:
    """Readings of half an hour ago say so."""
    api.age = "1800"

    assert {1800.0} == set(look(api).ages.values())


def test_ageless(api: Api) -> None:
    """Where nobody knows how old a reading is, it is as old as can be."""
    api.age = "NaN"

    assert {math.inf} == set(look(api).ages.values())


def test_down() -> None:
    """A Prometheus that is not there has seen nothing; at the start that is an error."""
    source = Prometheus("http://127.0.0.1:9", "shop", 30.0)
    seen = source.look()

    assert {None} == {getattr(seen, name) for name in NEEDED}
    with pytest.raises(ServerError, match="cannot be reached"):
        source.check()


def test_told(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """The log tells a Prometheus that is away from one that knows nothing of the service, each once."""
    away = Prometheus("http://127.0.0.1:9", "shop", 30.0)
    away.look()
    away.look()
    api.result = []
    look(api)
    first, second = (one.getMessage() for one in caplog.records if one.name.endswith("observe"))

    assert "127.0.0.1:9 cannot be reached" in first
    assert "tells nothing of service 'shop'" in second


def test_spread(api: Api) -> None:
    """How service times vary comes from the buckets of an hour; it is not known from one number."""
    api.value = "30"
    assert None is look(api).service_scv
    counts = {"1": 0, "2": 50, "4": 100, "+Inf": 100}
    api.result = [{"metric": {"le": bound}, "value": [0, str(count)]} for bound, count in counts.items()]  # fmt: skip

    assert pytest.approx(5 / 3 * math.log(2) - 1) == look(api).service_scv


def test_questions() -> None:
    """Each question is PromQL, about metrics of the catalogue, and gives a reading that there is."""
    known = {metric.name for metric in catalog.CATALOG}
    for name, expr in questions("shop", 30.0).items():
        promql_parser.parse(expr)
        assert name in Observations._fields
        assert any(metric in expr for metric in known)


@pytest.mark.parametrize(("demand", "expected"), [("", 0.25), ("gateway", 0.15)])
def test_late(tmp_path: Path, demand: str, expected: float) -> None:
    """Of 200 that a gateway passed on 5 waited too long there and 25 of 100 at the servers: 15 %, none twice."""
    name, of = catalog.STAGE_DURATION.name, 'stage="queue"'
    counts = {
        f'{name}_count{{service="zimage",{of}}}': 100,
        f'{name}_bucket{{service="zimage",{of},le="39.3"}}': 75,
        f'{name}_count{{service="gateway",{of}}}': 200,
        f'{name}_bucket{{service="gateway",{of},le="39.3"}}': 195,
    }
    series = [{"series": one, "values": f"0 {count}x2880"} for one, count in counts.items()]
    expr = f"round({questions('zimage', 30.0, demand=demand)['violation_ratio']}, 0.01)"
    wanted = [{"expr": expr, "eval_time": "2d", "exp_samples": [{"labels": "{}", "value": expected}]}]  # fmt: skip
    test = {"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": wanted}]}
    (tmp_path / "test.yml").write_text(json.dumps(test))

    code, said = promtool("test", "rules", tmp_path / "test.yml")
    assert 0 == code, said
