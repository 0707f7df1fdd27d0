"""The same samples, the same questions: localprom answers as Prometheus does."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from promql_parser import VectorSelector, walk

from lightmeter.errors import QueryError
from lightmeter.localprom.evaluate import Options
from lightmeter.localprom.frame import Frame
from lightmeter.localprom.labels import pack
from lightmeter.localprom.query import parse, ranged
from lightmeter.localprom.selectors import conditions
from lightmeter.localprom.store import Store
from support.past import BEGIN_MS, SAMPLES, STEP_MS, Past, as_store, made, prometheus


RULES = Path(__file__).parents[2] / "alerts" / "generated" / "prometheus"
SHAPES = """
made_level
made_level{job="a"}
made_level{job!="a", zone=~"x|y"}
made_level{zone!~"x.*"}
made_level offset 7m
made_level @ 1790003000.5
made_level @ start()
made_level @ end() offset 3m
{__name__=~"made_(level|odd)"}
rate(made_total[5m])
rate(made_total[45s])
increase(made_total[10m] offset 4m)
increase(made_total[1h] @ 1790005000)
irate(made_total[2m])
delta(made_level[5m])
idelta(made_level[5m])
deriv(made_level[10m])
predict_linear(made_level[10m], 3600)
changes(made_odd[10m])
resets(made_total[1h])
sum_over_time(made_level[7m])
avg_over_time(made_level[7m])
min_over_time(made_level[7m])
max_over_time(made_odd[3m])
count_over_time(made_level[7m])
last_over_time(made_level[7m])
present_over_time(made_level[7m])
stddev_over_time(made_level[7m])
stdvar_over_time(made_flat[7m])
quantile_over_time(0.9, made_level[7m])
quantile_over_time(1.5, made_level[7m])
absent(made_nothing{job="a", zone=~"x", zone="y"})
absent(made_level)
absent_over_time(made_level{instance="host-1:80"}[2m])
absent(sum(made_nothing))
histogram_quantile(0.95, sum by (le) (rate(made_seconds_bucket[5m])))
histogram_quantile(0.5, rate(made_seconds_bucket[5m]))
histogram_quantile(0, sum by (le, job) (made_seconds_bucket))
histogram_quantile(1, made_seconds_bucket)
histogram_quantile(-1, made_seconds_bucket)
histogram_quantile(0.3, made_seconds_bucket{le!="+Inf"})
label_replace(made_level, "host", "$1-${2}", "instance", "(.*)-(.*):80")
label_replace(made_level, "zone", "", "zone", "x")
label_replace(made_level, "new", "q", "instance", "nothing")
label_join(made_level, "both", "/", "job", "zone")
sum(made_level)
sum by (job) (made_level)
sum without (instance) (made_level)
avg by (zone) (made_level)
min by (job, nothing) (made_level)
max(made_odd)
count by (zone) (made_level)
stddev by (job) (made_level)
stdvar(made_level)
group by (job) (made_level)
quantile by (job) (0.4, made_level)
topk(2, made_level)
bottomk by (job) (1, made_level)
count_values("value", made_odd)
count_values by (job) ("value", round(made_level))
made_level + 1
2 ^ made_level
made_level % 3
-made_level
10 - made_level > 3
made_level > bool 10
3 < made_level
made_level / on (instance) made_total
made_level > on (instance) made_total
made_level + ignoring (zone) made_total
made_level * on (job) group_left (version) made_info
made_info * on (job) group_right (version) made_level
made_level > ignoring (zone) group_left made_level
sum by (job) (made_level) / ignoring (zone) sum by (job) (made_total)
made_level and on (zone) (made_level > 10)
made_level or made_total
made_level or on () vector(1)
made_level unless made_level > 10
made_level == made_level
made_odd != made_odd
sum by (job) (made_level atan2 made_total)
max_over_time(rate(made_total[5m])[30m:1m])
avg_over_time(sum by (job) (made_level)[10m:30s] offset 2m)
rate(sum by (job) (made_total)[10m:])
sum_over_time(made_level[20m:7m] @ 1790004000)
count_over_time((made_level > 10)[10m:20s])
time()
time() - timestamp(made_level)
timestamp(made_level offset 1m)
timestamp(sum(made_level))
vector(time())
scalar(made_odd) + 1
scalar(made_level)
1 + 2 * 3 ^ 2 % 5
1 > bool 2
minute()
hour(made_total)
day_of_week() + day_of_month() * month() + year()
days_in_month(vector(1700000000))
day_of_year()
clamp(made_level, 5, 12)
clamp(made_level, 12, 5)
clamp_min(made_level, 10)
clamp_max(made_level, 10)
round(made_level, 0.25)
abs(made_level) + ceil(made_level) - floor(made_level)
sqrt(made_level)
exp(made_level / 10) + ln(made_level) + log2(made_level) + log10(made_level)
sgn(made_level)
sort(made_odd)
sum(rate(made_total{job="a"}[5m])) / sum(rate(made_total[5m]))
made_level > 5 < 15
((made_level))
1 - avg by (job) (rate(made_total[2m]))
sum(made_level) by (job) > 3 and sum(made_total) by (job) > 0
made_nothing + 1
vector(1) / 0
pi() + 0
""".strip().splitlines()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, httpx.Client]]:
    past = {**made(), **_of_rules()}
    with prometheus(past, tmp_path_factory.mktemp("past")) as client:
        yield as_store(past), client


def _expressions() -> list[str]:
    groups = [group for path in sorted(RULES.glob("*.yaml")) for group in yaml.safe_load(path.read_text())["groups"]]  # fmt: skip
    return list(dict.fromkeys(rule["expr"] for group in groups for rule in group["rules"]))


def _of_rules() -> Past:
    """Give every metric that a rule asks for two series that its conditions accept."""
    seen: list[VectorSelector] = []
    for text in _expressions():
        walk(parse(text), lambda node: seen.append(node) if isinstance(node, VectorSelector) else None)  # fmt: skip
    rng = np.random.default_rng(3)
    past: Past = {}
    times = BEGIN_MS + STEP_MS * np.arange(SAMPLES, dtype=np.int64)
    for selector in seen:
        labels = {"service": "s", "instance": "i", "gpu": "0", "UUID": "u", "le": "+Inf"}
        for match in conditions(selector):
            first = match.value.split("|")[0].strip("()").replace(".+", "s").replace(".*", "s")
            if match.kind in ("=", "=~"):
                labels[match.name] = first
        for node in ("i", "j"):
            values = np.cumsum(rng.gamma(1, 1, SAMPLES)) / 100
            past[pack({**labels, "instance": node})] = (times, values)
    return past


def _theirs(client: httpx.Client, text: str, moments: range) -> dict[str, dict[int, float]]:  # fmt: skip
    answer = client.post("/api/v1/query_range", data={"query": text, "start": moments[0] / 1000, "end": moments[-1] / 1000, "step": moments.step / 1000})  # fmt: skip
    if answer.is_error:
        raise QueryError(answer.json()["error"])
    result: list[dict[str, Any]] = answer.json()["data"]["result"]
    return {json.dumps(pack(each["metric"])): {round(at * 1000): float(value) for at, value in each["values"]} for each in result}  # fmt: skip


def _ours(frame: Frame, steps: list[int]) -> dict[str, dict[int, float]]:
    rows = zip(frame.labels, frame.values, frame.there, strict=True)
    return {json.dumps(labels): {steps[at]: float(values[at]) for at in np.flatnonzero(there)} for labels, values, there in rows}  # fmt: skip


def differences(store: Store, client: httpx.Client, text: str, step: int = 200_000) -> list[str]:
    """Ask both at some forty moments, at and between the samples; list what is not the same."""
    moments = range(BEGIN_MS + 600_000, BEGIN_MS + STEP_MS * SAMPLES + 360_000, step)
    theirs = _theirs(client, text, moments)
    steps = np.array(moments, dtype=np.int64)
    ours = _ours(ranged(store, parse(text), steps, Options(newer=False)), list(moments))
    found = [f"{text}: only one has {key}" for key in theirs.keys() ^ ours.keys()]
    for key in theirs.keys() & ours.keys():
        mine, other = ours[key], theirs[key]
        if mine.keys() != other.keys():
            found.append(f"{text}: {key} at other times: {sorted(mine.keys() ^ other.keys())}")
        found += [f"{text}: {key} at {at}: {mine[at]!r}, not {other[at]!r}" for at in mine.keys() & other.keys() if not _same(mine[at], other[at])]  # fmt: skip
    return found


def _same(ours: float, theirs: float) -> bool:
    if math.isnan(ours) or math.isnan(theirs):
        return math.isnan(ours) and math.isnan(theirs)
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)


def test_shapes(both: tuple[Store, httpx.Client]) -> None:
    """A panel shows the same numbers from localprom as from Prometheus."""
    store, client = both

    assert [] == [line for text in SHAPES for line in differences(store, client, text)]


def test_rules(both: tuple[Store, httpx.Client]) -> None:
    """Every rule that lightmeter makes has the same value in localprom as in Prometheus."""
    store, client = both

    texts = _expressions()

    assert len(texts) > 50
    assert [] == [line for text in texts for line in differences(store, client, text)]
