"""Who would have been woken, and for how little: three ways to alert, on a production trace.

The request log of GenTD26 (`LIGHTMETER_TRACES` names its folder; research only, it is never
committed; without it a log of the same form is made up, and that is said) becomes a server's counters, minute by minute; a real
Prometheus evaluates over them the recommended pages, plain multi-window pages in the form that
sloth generates, and the classic thresholds. "Rest on": bad requests in the long window when a page
begins.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from alerts import burn, packs
from alerts.objectives import Objective, Promise, Slo
from alerts.promql import series as select
from alerts.rule import Alert, Severity
from alerts.windows import WINDOWS
from bench import common
from bench.series import Floats, Past, begins, held, prometheus, written_out
from lightmeter import catalog
from lightmeter.catalog import Dcgm, Outcome, Priority
from lightmeter.units import parse_duration


STEP = 60.0
MOST_OF_SLOTH = 0.4
FEW = 3
SECONDS = {"1h": 3600, "6h": 6 * 3600}
OBJECTIVES = (
    Objective(name="availability-995", kind=Promise.AVAILABILITY, target=0.995),
    Objective(name="availability-99", kind=Promise.AVAILABILITY, target=0.99),
    Objective(name="duration", kind=Promise.DURATION, target=0.95, within=60),
)


def main() -> None:
    """Print the table; end with 1 where the recommended pages are too many or rest on too little."""
    args = common.arguments(__doc__)
    log, about = requests()
    times, counters, bad = _counters(log)
    with prometheus(times, counters, STEP) as past:
        rows = [row for one in OBJECTIVES for row in _burning(past, one, bad[one.kind])]
        rows += _classic(past, bad[Promise.AVAILABILITY])
    rows += _telemetry()
    sloth = sum(row["pages"] for row in rows if row["rule"] == "multi-window")
    ours = [row for row in rows if row["rule"] == "recommended"]
    failures = []
    if sum(row["pages"] for row in ours) > MOST_OF_SLOTH * sloth:
        failures.append(f"{sum(row['pages'] for row in ours)} pages, multi-window {sloth}; at most {MOST_OF_SLOTH} of them is asked for")  # fmt: skip
    if any(row["rest on 2 or fewer"] for row in ours):
        failures.append("a recommended page rests on fewer than three bad requests")
    common.finish(args, common.machine() | about, rows, failures)


def requests() -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the ends of requests: their times, durations and outcomes."""
    from planner import importers

    folder = os.environ.get("LIGHTMETER_TRACES")
    if folder:
        table = importers.read("gentd26", Path(folder) / "gentd26" / "requests.csv.gz").table
    else:
        common.support()
        from support import gentd26

        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "log.csv"
            gentd26.log(15_000, 16).to_csv(path, index=False)
            table = importers.read("gentd26", path).table
    frame = table.select(["arrived_at", "total_seconds", "outcome"]).to_pandas().dropna()
    frame["ended"] = frame["arrived_at"].astype("int64") / 1e6 + frame["total_seconds"]
    return frame.sort_values("ended"), {"requests": len(frame), "data": "GenTD26" if folder else "made up"}  # fmt: skip


def _counters(frame: pd.DataFrame) -> tuple[Floats, dict[str, Floats], dict[Promise, Floats]]:
    """Count what a server would have: times, series, and when requests were bad by promise."""
    ended, seconds = frame["ended"].to_numpy(), frame["total_seconds"].to_numpy()
    ok = (frame["outcome"] == Outcome.OK).to_numpy()
    begin = np.floor(ended[0] / STEP) * STEP - STEP
    times: Floats = np.arange(begin, ended[-1] + STEP, STEP)
    bound = OBJECTIVES[-1].bound

    def count(mask: npt.NDArray[np.bool_]) -> Floats:
        return np.searchsorted(ended[mask], times, side="right").astype(float)

    base = {"service": "images", "model": "images"}
    whole = {**base, "priority": Priority.INTERACTIVE}
    sums = np.concatenate([[0.0], np.cumsum(seconds)])
    every = np.ones(len(ended), bool)
    series = {
        select(catalog.REQUESTS, **base, outcome=Outcome.OK): count(ok),
        select(catalog.REQUESTS, **base, outcome=Outcome.ERROR): count(~ok),
        select(catalog.REQUEST_DURATION, "_count", **whole): count(every),
        select(catalog.REQUEST_DURATION, "_bucket", **whole, le=f"{bound:g}"): count(seconds <= bound),
        select(catalog.REQUEST_DURATION, "_sum", **whole): sums[count(every).astype(int)],
    }  # fmt: skip
    return (
        times,
        series,
        {Promise.AVAILABILITY: ended[~ok], Promise.DURATION: ended[seconds > bound]},
    )


def _burning(past: Past, one: Objective, bad: Floats) -> list[dict[str, Any]]:
    slo = Slo(objective=(one,))
    records, alerts, _ = burn.group(slo)
    label = f'{{{catalog.SLO_LABEL}="{one.name}"}}'
    meanings = {f"{rule.name}{label}": rule.expr for rule in records.rules}
    ours = {
        window: _any(past.where(written_out(alert.expr, meanings)))
        for window, alert in zip(("1h", "6h"), alerts.rules, strict=False)
        if isinstance(alert, Alert) and alert.severity is Severity.PAGE
    }
    plain = {
        window.long: _any(past.where(written_out(_multi_window(one, window.long, window.short, window.burn_rate("30d") * one.budget), meanings)))
        for window in WINDOWS["30d"]
        if window.severity is Severity.PAGE
    }  # fmt: skip
    return [
        _row(past, one, plain, rule="multi-window", bad=bad),
        _row(past, one, ours, rule="recommended", bad=bad),
    ]


def _multi_window(one: Objective, long: str, short: str, threshold: float) -> str:
    ratios = [f'{catalog.slo_error_ratio(window)}{{{catalog.SLO_LABEL}="{one.name}"}}' for window in (short, long)]  # fmt: skip
    return " and ".join(f"{ratio} > {threshold:.6g}" for ratio in ratios)


def _any(masks: Mapping[str, npt.NDArray[np.bool_]]) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.logical_or.reduce(list(masks.values())) if masks else np.zeros(1, bool)  # fmt: skip
    return found


def _row(
    past: Past,
    one: Objective,
    fired: Mapping[str, npt.NDArray[np.bool_]],
    *,
    rule: str,
    bad: Floats,
) -> dict[str, Any]:
    masks = {window: mask if len(mask) > 1 else np.zeros(len(past.times), bool) for window, mask in fired.items()}  # fmt: skip
    together = np.logical_or.reduce(list(masks.values()))
    rests = [
        max(_bad_before(past.times[at], SECONDS[window], bad) for window, mask in masks.items() if mask[at])
        for at in begins(together)
    ]  # fmt: skip
    return {
        "objective": f"{one.kind} {one.target:.1%}" + (f", {one.bound:g} s" if one.within else ""),
        "rule": rule,
        "pages": len(rests),
        "rest on 2 or fewer": sum(rest < FEW for rest in rests),
        "minutes": int(together.sum()),
    }


def _bad_before(at: float, seconds: float, bad: Floats) -> int:
    return int(np.searchsorted(bad, at, side="right") - np.searchsorted(bad, at - seconds, side="right"))  # fmt: skip


def _classic(past: Past, failed: Floats) -> list[dict[str, Any]]:
    rows = []
    for alert in packs.make("classic", Slo()).alerts:
        if alert.labels["component"] in ("server", "scaling") and "ScaleDown" not in alert.name:
            steps = int(parse_duration(alert.hold) / STEP)
            fired = held(_any(past.where(alert.expr)), steps) if past.where(alert.expr) else np.zeros(1, bool)  # fmt: skip
            rests = [_bad_before(past.times[at], 300, failed) for at in begins(fired)]
            rows.append({
                "objective": "",
                "rule": alert.name,
                "pages": len(rests),
                "rest on 2 or fewer": sum(rest < FEW for rest in rests) if "Success" in alert.name else "",
                "minutes": int(fired.sum()),
            })  # fmt: skip
    return rows


def _telemetry() -> list[dict[str, Any]]:
    """What the classic thresholds make of the trace's day of GPU readings, one GPU a container."""
    folder = os.environ.get("LIGHTMETER_TRACES")
    if not folder:
        return []
    duty, memory = (_readings(Path(folder) / "gentd26" / f"pod_gpu_{name}.csv.gz") for name in ("duty_cycle", "memory_used_bytes"))  # fmt: skip
    begin = min(min(table.index) for table in (duty, memory))
    times: Floats = begin + np.arange(0, 24 * 3600, STEP)
    rows = []
    for card in (24, 48):
        series: dict[str, Floats] = {}
        for gpu in duty.columns:
            series[select(Dcgm.GPU_UTIL.value, gpu=gpu, Hostname="node")] = _on(times, duty[gpu])
        for gpu in memory.columns:
            used = _on(times, memory[gpu]) / 2**20
            series[select(Dcgm.FB_USED.value, gpu=gpu, Hostname="node")] = used
            series[select(Dcgm.FB_FREE.value, gpu=gpu, Hostname="node")] = np.maximum(card * 1024 - used, 0)  # fmt: skip
        with prometheus(times, series, STEP) as past:
            rows += [_share(past, alert, card) for alert in packs.make("classic", Slo()).alerts if "GpuMemory" in alert.name or (card == 24 and ("Gpu" in alert.name or "ScaleDown" in alert.name))]  # fmt: skip
    return rows


def _readings(path: Path) -> pd.DataFrame:
    """Read one quantity by container; the file's clock runs at 0.95 of the real one."""
    table = pd.read_csv(path)
    table["at"] = table["timestamp_anon"].min() + (table["timestamp_anon"] - table["timestamp_anon"].min()) / 0.95  # fmt: skip
    return table.pivot_table(index="at", columns="container_ip", values="value")


def _on(times: Floats, column: pd.Series[float]) -> Floats:
    """Take the last reading before each time, of the two minutes before it."""
    known = column.dropna()
    at = np.searchsorted(known.index.to_numpy(), times, side="right") - 1
    fresh = (at >= 0) & (times - known.index.to_numpy()[np.maximum(at, 0)] < 2 * STEP)
    return np.where(fresh, known.to_numpy()[np.maximum(at, 0)], np.nan)


def _share(past: Past, alert: Alert, card: int) -> dict[str, Any]:
    steps = int(parse_duration(alert.hold) / STEP)
    masks = [held(mask, steps) for mask in past.where(alert.expr).values()]
    return {
        "objective": f"cards of {card} GiB" if "Memory" in alert.name else "one day of GPUs",
        "rule": alert.name,
        "pages": sum(len(begins(mask)) for mask in masks),
        "rest on 2 or fewer": "",
        "minutes": int(sum(mask.sum() for mask in masks)),
    }


if __name__ == "__main__":
    main()
