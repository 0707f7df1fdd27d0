"""What pods held of GPUs and used of them: a second kind of evidence beside the request rows. Pure.

A sample says of a moment and a pod how many GPUs it held, how many of these were busy on average,
and the VRAM it used. Held and busy are means over the moments at which anything was sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lightmeter.errors import HistoryError
from lightmeter.units import show_ratio
from planner.demand import Demand, busy_between


COLUMNS = ("at", "pod", "gpus", "busy", "vram_bytes")
OVERLAP = 0.5
"""Rows and telemetry are held against each other where they share this part of the shorter one."""
AGREES = 0.25
"""Busy GPUs of both kinds that differ by less agree."""
MOST_PODS = 100


@dataclass(frozen=True)
class Telemetry:
    """Samples, ordered by time: ``at`` Unix seconds, ``pod``, ``gpus`` held, ``busy`` GPUs, ``vram_bytes``.

    ``busy`` or ``vram_bytes`` is NaN where it was not sampled; ``step`` is the usual distance of
    moments, seconds.
    """

    samples: pd.DataFrame
    source: str
    step: float
    notes: list[str] = field(default_factory=list)

    @property
    def begin(self) -> float:
        """First moment, Unix seconds."""
        return float(self.samples["at"].iloc[0])

    @property
    def end(self) -> float:
        """End of the last step, Unix seconds."""
        return float(self.samples["at"].iloc[-1]) + self.step

    def within(self, begin: float, end: float) -> pd.DataFrame:
        """Return the samples of a time."""
        at = self.samples["at"]
        return self.samples[(at >= begin) & (at < end)]


def of_samples(parts: Sequence[pd.DataFrame], source: str, notes: Sequence[str] = ()) -> Telemetry:
    """Put samples of one or several kinds together; what is said twice of a moment counts once.

    Raises:
        HistoryError: there are none, or one cannot be.
    """
    whole = pd.concat([part.reindex(columns=list(COLUMNS)) for part in parts], ignore_index=True)
    whole = whole[whole["pod"].notna() & (whole["pod"] != "")]
    if whole.empty:
        raise HistoryError(f"telemetry {source!r} holds no samples of a pod; is it the whole file?")
    for name in ("gpus", "busy", "vram_bytes"):
        bad = (whole[name] < 0) | np.isinf(whole[name])
        if bad.any():
            raise HistoryError(f"telemetry {source!r}: {name} is {whole[name][bad].iloc[0]:g}; it must be 0 or more")  # fmt: skip
    count = len(whole)
    merged = whole.groupby(["at", "pod"], as_index=False)[["gpus", "busy", "vram_bytes"]].max()
    said = list(notes)
    if count > len(merged) and len(parts) == 1:
        said.append(f"{count - len(merged)} of {count} samples are there twice and count once")
    merged["gpus"] = merged["gpus"].fillna(1.0)
    moments = np.diff(np.unique(merged["at"]))
    step = float(np.median(moments)) if len(moments) else 60.0
    gaps = moments[moments > 2.5 * step]
    if len(gaps):
        said.append(f"no samples in {len(gaps)} gaps of {gaps.sum() / 3600:.1f} h in all; they count as if they had not been")  # fmt: skip
    return Telemetry(merged.sort_values(["at", "pod"], ignore_index=True), source, step, said)


def held_and_busy(samples: pd.DataFrame) -> tuple[float, float | None]:
    """Mean number of GPUs held, and of those busy, over the moments sampled; busy may be unknown."""
    known = samples.dropna(subset=["busy"])
    seen = known if len(known) else samples
    moments = max(1, seen["at"].nunique())
    held = float(seen["gpus"].sum()) / moments
    return held, float(known["busy"].sum()) / moments if len(known) else None


def block(found: Telemetry, demand: Demand) -> dict[str, Any]:
    """Return the ``telemetry`` of plan.json."""
    held, busy = held_and_busy(found.samples)
    vram = found.samples["vram_bytes"].dropna()
    known = found.samples["busy"].dropna()
    return {
        "source": found.source,
        "first": _iso(found.begin),
        "last": _iso(found.end),
        "step_seconds": round(found.step, 3),
        "pods": int(found.samples["pod"].nunique()),
        "gpus_held_mean": round(held, 6),
        "gpus_busy_mean": None if busy is None else round(busy, 6),
        "idle_ratio": None if busy is None else round(1 - busy / held, 6) if held else 0.0,
        "samples_at_zero_ratio": round(float((known == 0).mean()), 6) if len(known) else None,
        "vram_p50_bytes": int(vram.quantile(0.5)) if len(vram) else None,
        "vram_p95_bytes": int(vram.quantile(0.95)) if len(vram) else None,
        "by_pod": _pods(found),
        "check": check(found, demand),
        "notes": found.notes,
    }


def _iso(at: float) -> str:
    return pd.Timestamp(at, unit="s", tz="UTC").isoformat()


def _pods(found: Telemetry) -> list[dict[str, Any]]:
    """Tell of the pods that cost most for nothing: idle GPU-hours first."""
    samples = found.samples.assign(idle=(found.samples["gpus"] - found.samples["busy"]).fillna(0.0))
    groups = samples.groupby("pod")
    table = groups.agg(gpus=("gpus", "sum"), busy=("busy", "sum"), known=("busy", "count"), idle=("idle", "sum"), vram=("vram_bytes", "max"))  # fmt: skip
    hours = found.step / 3600
    return [
        {
            "pod": str(name),
            "gpu_hours_held": round(float(row.gpus) * hours, 3),
            "busy_ratio": round(float(row.busy) / float(row.gpus), 6) if row.known and row.gpus else None,
            "vram_peak_bytes": None if pd.isna(row.vram) else int(row.vram),
        }
        for name, row in table.sort_values("idle", ascending=False, kind="stable").head(MOST_PODS).iterrows()
    ]  # fmt: skip


def check(found: Telemetry, demand: Demand) -> dict[str, Any]:
    """Hold the busy GPUs of the telemetry against those of the request rows, where both were there."""
    begin, end = max(found.begin, demand.start.timestamp()), min(found.end, demand.end.timestamp())
    shorter = min(found.end - found.begin, demand.span_seconds)
    if end - begin < OVERLAP * shorter:
        return {"rows_busy_gpus": None, "telemetry_busy_gpus": None, "agrees": None, "says": "rows and telemetry are of different times; they cannot be held against each other"}  # fmt: skip
    _, busy = held_and_busy(found.within(begin, end))
    edges = np.array([begin, end]) - demand.start.timestamp()
    rows = float(busy_between(demand.arrivals, demand.arrivals + demand.seconds, edges)[0]) / (end - begin)  # fmt: skip
    if busy is None:
        return {"rows_busy_gpus": round(rows, 6), "telemetry_busy_gpus": None, "agrees": None, "says": "the telemetry does not say how busy the GPUs were"}  # fmt: skip
    differ = abs(rows - busy) / max(rows, busy, 1e-9)
    agrees = differ <= AGREES
    says = f"rows say {rows:.3g} busy GPUs, telemetry {busy:.3g}"
    if not agrees:
        more = "work that left no row, or time at which the GPU was held by a request and did nothing else"  # fmt: skip
        says += f": {show_ratio(differ)} apart; {more if busy > rows else 'rows whose GPU time holds waiting, or GPUs that were not sampled'}"  # fmt: skip
    return {"rows_busy_gpus": round(rows, 6), "telemetry_busy_gpus": round(busy, 6), "agrees": agrees, "says": says}  # fmt: skip
