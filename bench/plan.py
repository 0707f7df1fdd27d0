"""``lightmeter plan`` as a whole process, on the requests of GenTD26; and a million made-up ones.

The trace is read from $LIGHTMETER_TRACES/gentd26/requests.csv.gz; without it, made-up requests of
the same number and shape stand in.

The million: 20 options at their sizes, each replayed once and judged on 200 resamples of days, and
the two cheapest replayed on every one of the 200 resampled histories.

The ten thousand: services of a month whose shares of the requests fall as in Zipf's law, most of them
asked for a few times, planned as a whole process on one core.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import resource
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench import common
from lightmeter import history, tables
from lightmeter.replay import Floats
from planner import certainty, demand, options, prices, retrace, slo
from planner.options.base import judged


MOST_SECONDS, MOST_GIB = 20.0, 1.0
MILLION, DAYS, SERVICES, OPTIONS = 1_000_000, 30, 8, 20
FINALISTS, HISTORIES = 2, 200
MOST_MILLION_SECONDS, MOST_MILLION_GIB = 60.0, 2.0
MANY, MANY_REQUESTS = 10_000, 300_000
MOST_MANY_SECONDS, MOST_MANY_GIB, MOST_PAGE_KIB = 120.0, 2.0, 512.0
ROUNDS = 3


def main() -> None:
    """Import once, then plan a few times."""
    args = common.arguments(__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, said = _source(folder)
        history = folder / "history"
        imported, _ = common.run(
            common.LIGHTMETER, "history", "import", "gentd26", source, "--out", history
        )
        planned = [_plan(history, folder / "report") for _ in range(ROUNDS)]
        requests = json.loads((folder / "report" / "plan.json").read_text(encoding="utf-8"))[
            "generated_from"
        ]["requests"]
    seconds = statistics.median(planned)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2  # of KiB
    row = {
        "requests": requests,
        "import s": imported,
        "plan, median s": seconds,
        "plan, worst s": max(planned),
        "peak memory of either, GiB": peak,
    }
    failures = []
    if max(planned) > MOST_SECONDS:
        failures.append(f"a plan took {max(planned):.1f} s, the limit is {MOST_SECONDS:g} s")
    if peak > MOST_GIB:
        failures.append(f"the peak was {peak:.2f} GiB, the limit is {MOST_GIB:g} GiB")
    big = _million()
    if big["seconds"] > MOST_MILLION_SECONDS:
        failures.append(f"the million took {big['seconds']:.1f} s, the limit is {MOST_MILLION_SECONDS:g} s")  # fmt: skip
    if big["peak GiB"] > MOST_MILLION_GIB:
        failures.append(f"the million took {big['peak GiB']:.2f} GiB, the limit is {MOST_MILLION_GIB:g} GiB")  # fmt: skip
    many = _many()
    for name, most in {"s": MOST_MANY_SECONDS, "peak GiB": MOST_MANY_GIB, "page KiB": MOST_PAGE_KIB}.items():  # fmt: skip
        if many[name] > most:
            failures.append(f"{MANY:,} services: {name} {many[name]:.1f}, the limit is {most:g}")
    about = common.machine("numpy", "numba", "pandas", "pyarrow") | {"data": said}
    row |= {f"million: {name}": value for name, value in big.items()}
    row |= {f"{MANY:,} services: {name}": value for name, value in many.items()}
    common.finish(args, about, [row], failures)


def _source(folder: Path) -> tuple[Path, str]:
    traces = os.environ.get("LIGHTMETER_TRACES")
    path = Path(traces or "") / "gentd26" / "requests.csv.gz"
    if traces and path.is_file():
        return path, "the requests of GenTD26"
    common.support()
    from support import gentd26

    made = gentd26.write(folder / "made-up.csv.gz", gentd26.log(15_630, days=16.0))
    return made, "made-up requests (LIGHTMETER_TRACES names no folder with GenTD26)"


def _demand() -> demand.Demand:
    """Make a month of a million requests of eight services, with nights and uneven services."""
    rng = np.random.default_rng(1)
    at = rng.uniform(0, DAYS * 86_400, 2 * MILLION)
    at = at[rng.random(len(at)) < 0.55 + 0.45 * np.sin(2 * np.pi * at / 86_400)]
    arrivals = np.sort(rng.choice(at, MILLION, replace=False))
    start = datetime(2026, 10, 1, tzinfo=UTC)
    return demand.Demand(
        start=start,
        end=start + timedelta(days=DAYS),
        arrivals=arrivals,
        seconds=rng.lognormal(0.0, 0.5, MILLION),
        owner=rng.choice(SERVICES, MILLION, p=rng.dirichlet(np.full(SERVICES, 2.0))),
        images=np.ones(MILLION),
        services=tuple(f"service {name}" for name in range(SERVICES)),
        peak_vram_bytes=tuple((6 + 2 * (name % 5)) * 2**30 for name in range(SERVICES)),
        left_out=0,
        refused=0,
        shared_time=MILLION,
    )


def _million() -> dict[str, Any]:
    """Size the options, which is not timed; then replay and judge 20, and the finalists on histories of drawn days."""
    table = prices.builtin()
    terms = options.Terms(
        slo=slo.parse("p95_wait=30s"),
        price=table["aws-g6e-l40s"],
        month_hours=730.0,
        start_seconds=180.0,
        swap_seconds=22.7,
        max_gpus=512,
        wake_seconds=6.0,
        interference=0.095,
        mps_interference=0.075,
        others=(table["aws-g6-l4"],),
    )
    made = _demand()
    draws = certainty.draw(made, resamples=200, seed=1)
    sizing = time.perf_counter()
    known = [option for way in options.WAYS for option in way.options(made, draws, terms)]
    begin = time.perf_counter()
    for option in itertools.islice(itertools.cycle(known), OPTIONS):
        if option.again is not None:
            judged(option_with(option, option.again(made, terms)), made, draws, terms)
    judging = time.perf_counter()
    keeping = [option for option in known if option.meets_slo]
    few = dataclasses.replace(draws, weights=draws.weights[:HISTORIES])
    for option in sorted(keeping, key=lambda one: float(one.billed.sum()))[:FINALISTS]:
        retrace.attainment(option, made, few, terms, seed=1)
    end = time.perf_counter()
    return {
        "families sized in s": begin - sizing,
        "20 options s": judging - begin,
        f"finalists x {HISTORIES} histories s": end - judging,
        "seconds": end - begin,
        "peak GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
    }


def _many() -> dict[str, Any]:
    """Plan a month of ten thousand services, as a user does, on one core."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "report"
        history.write(_sparse(), Path(name) / "history", "made")
        begin = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = (common.LIGHTMETER, "plan", "--history", Path(name) / "history", "--out", out)
        seconds = common.run("taskset", "-c", str(min(os.sched_getaffinity(0))), *command)[0]
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "s": seconds,
            "processor s": end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime,
            "peak GiB": end.ru_maxrss / 1024**2,  # of any plan here; this one is the largest
            "page KiB": (out / "report.html").stat().st_size / 1024,
            "plan.json MiB": (out / "plan.json").stat().st_size / 1024**2,
        }


def _sparse() -> pa.Table:
    rng = np.random.default_rng(1)
    share = 1 / np.arange(1, MANY + 1) ** 1.1
    rest = rng.choice(MANY, MANY_REQUESTS - MANY, p=share / share.sum())
    owner = np.concatenate([np.arange(MANY), rest])
    at = rng.uniform(0, DAYS * 86_400, 3 * MANY_REQUESTS)
    at = at[rng.random(len(at)) < 0.55 + 0.45 * np.sin(2 * np.pi * at / 86_400)][:MANY_REQUESTS]
    begin = np.datetime64("2026-10-01T00:00:00", "us")
    seconds = rng.lognormal(1.2, 0.8, MANY)[owner] * rng.lognormal(0, 0.3, MANY_REQUESTS)
    vram = rng.choice([4, 6, 8, 10, 13, 18, 24], MANY)[owner] * 2**30
    made = {
        "request_id": [f"request-{number}" for number in range(MANY_REQUESTS)],
        "arrived_at": pa.array(begin + (at * 1e6).astype("timedelta64[us]"), pa.timestamp("us", tz="UTC")),
        "service": [f"service-{number:05d}" for number in owner],
        "service_seconds": seconds,
        "outcome": ["ok"] * MANY_REQUESTS,
        "peak_vram_bytes": vram,
    }  # fmt: skip
    return tables.fitted(pa.table(made), "made")


def option_with(option: options.Option, waits: Floats) -> options.Option:
    """Return the option with waits that were replayed again."""
    return dataclasses.replace(option, waits=waits)


def _plan(history: Path, out: Path) -> float:
    return common.run(
        common.LIGHTMETER, "plan", "--history", history, "--slo", "p95_wait=30s", "--out", out
    )[0]


if __name__ == "__main__":
    main()
