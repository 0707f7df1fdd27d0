"""The same samples, the same questions: localprom answers as Prometheus does."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from lightmeter.errors import QueryError
from lightmeter.localprom.evaluate import Options
from lightmeter.localprom.frame import Floats, Ints
from lightmeter.localprom.labels import pack
from lightmeter.localprom.query import parse, ranged
from lightmeter.localprom.store import Store
from support.past import BEGIN_MS, SAMPLES, STEP_MS, as_store, made, prometheus
from support.shapes import every
from support.shipped import asked_for, panels, rules


RULES, PANELS = (
    rules(),
    list(dict.fromkeys(query for queries in panels().values() for query in queries)),
)
MOMENTS = range(BEGIN_MS + 600_000, BEGIN_MS + STEP_MS * SAMPLES + 360_000, 6960)
"""A thousand, until after the last sample has become old."""
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
    past = {**made(), **asked_for([*RULES, *PANELS])}
    with prometheus(past, tmp_path_factory.mktemp("past")) as client:
        yield as_store(past), client


def _theirs(client: httpx.Client, text: str) -> dict[str, tuple[Ints, Floats]]:
    span = {"start": MOMENTS[0] / 1000, "end": MOMENTS[-1] / 1000, "step": MOMENTS.step / 1000}
    answer = client.post("/api/v1/query_range", data={"query": text, **span})
    if answer.is_error:
        raise QueryError(answer.json()["error"])
    found = {}
    for each in answer.json()["data"]["result"]:
        times, values = zip(*each["values"], strict=True)
        found[json.dumps(pack(each["metric"]))] = (np.rint(np.array(times) * 1000).astype(np.int64), np.array(values, dtype=np.float64))  # fmt: skip
    return found


def _ours(store: Store, text: str) -> dict[str, tuple[Ints, Floats]]:
    steps = np.array(MOMENTS, dtype=np.int64)
    frame = ranged(store, parse(text), steps, Options(newer=False))
    rows = zip(frame.labels, frame.values, frame.there, strict=True)
    return {json.dumps(labels): (steps[there], values[there]) for labels, values, there in rows if there.any()}  # fmt: skip


def differences(store: Store, client: httpx.Client, text: str) -> list[str]:
    """Ask both at a thousand moments, at and between the samples; list what is not the same."""
    theirs, ours = _theirs(client, text), _ours(store, text)
    found = [f"{text}: only one has {key}" for key in theirs.keys() ^ ours.keys()]
    for key in theirs.keys() & ours.keys():
        (our_times, mine), (their_times, others) = ours[key], theirs[key]
        if not np.array_equal(our_times, their_times):
            found.append(f"{text}: {key} at other times: {sorted(set(our_times) ^ set(their_times))[:5]}")  # fmt: skip
            continue
        other = ~np.isclose(mine, others, rtol=1e-9, atol=1e-12, equal_nan=True)
        found += [f"{text}: {key} at {at}: {a!r}, not {b!r}" for at, a, b in zip(our_times[other][:3], mine[other], others[other], strict=False)]  # fmt: skip
    return found


@pytest.mark.parametrize("text", list(dict.fromkeys([*SHAPES, *every()])))
def test_shapes(both: tuple[Store, httpx.Client], text: str) -> None:
    """A panel shows the same numbers from localprom as from Prometheus."""
    assert [] == differences(*both, text)


@pytest.mark.parametrize("text", [*RULES, *PANELS])
def test_shipped(both: tuple[Store, httpx.Client], text: str) -> None:
    """Every rule and panel that lightmeter makes has the same value in localprom as in Prometheus."""
    assert [] == differences(*both, text)


def test_enough() -> None:
    """What is compared is what is shipped, and some hundred expressions beside it."""
    assert len({*SHAPES, *every()}) > 300
    assert len(RULES) > 150
    assert len(PANELS) > 100
