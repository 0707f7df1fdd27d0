"""What each service could do with less: VRAM slice, batch, a shorter start. Pure.

Everything here comes from measured peaks, measured batches and the replay; what was not measured is
left out, or said to be assumed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lightmeter.units import cents
from planner.demand import Demand
from planner.inputs import Case
from planner.options import OptionKind, cost, on_demand
from planner.telemetry import Telemetry


GIB = 1024**3
CONTEXT_BYTES = GIB // 2
"""Memory of a process on the GPU beside its tensors, where only these were measured: CUDA's own.
Usual sizes lie between 0.3 and 0.6 GiB; not measured on this history."""
MIG: dict[str, tuple[tuple[str, float], ...]] = {
    "A30": (("1g.6gb", 6), ("2g.12gb", 12), ("4g.24gb", 24)),
    "A100-40": (("1g.5gb", 5), ("2g.10gb", 10), ("3g.20gb", 20), ("7g.40gb", 40)),
    "A100-80": (("1g.10gb", 10), ("2g.20gb", 20), ("3g.40gb", 40), ("7g.80gb", 80)),
    "H100-80": (("1g.10gb", 10), ("2g.20gb", 20), ("3g.40gb", 40), ("7g.80gb", 80)),
    "H200-141": (("1g.18gb", 18), ("2g.35gb", 35), ("3g.71gb", 71), ("7g.141gb", 141)),
}
"""Profiles and their memory in GB, which the slices keep a few percent less of:
https://docs.nvidia.com/datacenter/tesla/mig-user-guide/supported-mig-profiles.html"""
MIG_USABLE = 0.95
SHAPE = ("width", "height", "forwards", "images")
COLUMNS = ("batch_size", "gpu_uuid", *SHAPE)
"""History columns that are wanted beside `demand.COLUMNS`."""
LEAST_ROWS = 20
"""Requests behind the time of a batch size."""
GAIN = 0.05
"""A larger batch is advised if it makes so many more pictures in the same time."""
SHORTER_STARTS = (0.5, 0.1)
"""Shares of the present start time that are replayed."""
MOST_SERVICES = 200


def block(frame: pd.DataFrame, case: Case, telemetry: Telemetry | None) -> dict[str, Any]:
    """Return the ``rightsizing`` of plan.json.

    ``frame`` holds history rows with `demand.COLUMNS` and, where they are known, `COLUMNS`.
    """
    demand, _, terms = case
    sampled = _sampled(telemetry, demand)
    batches = _batches(frame)
    busiest = np.argsort(-_gpu_seconds(demand), kind="stable")[:MOST_SERVICES]
    services = [
        {
            "name": demand.services[index],
            "vram": _slice(demand.peak_vram_bytes[index], sampled.get(demand.services[index]), terms.headroom, case),
            "batch": batches.get(demand.services[index]),
        }
        for index in busiest.tolist()
    ]  # fmt: skip
    return {"services": services, "cold_start": _cold_start(case)}


def _gpu_seconds(demand: Demand) -> Any:
    return np.bincount(demand.owner, weights=demand.seconds, minlength=len(demand.services))


def _sampled(telemetry: Telemetry | None, demand: Demand) -> Mapping[str, int]:
    """Most VRAM of a pod, by the service whose name its own is, or begins with and a hyphen."""
    if telemetry is None:
        return {}
    peaks = telemetry.samples.dropna(subset=["vram_bytes"]).groupby("pod")["vram_bytes"].max()
    found: dict[str, int] = {}
    known = set(demand.services)
    for pod, peak in peaks.items():
        parts = str(pod).rpartition("/")[2].split("-")
        names = ("-".join(parts[:count]) for count in range(len(parts), 0, -1))
        service = next((name for name in names if name in known), None)
        if service is not None:
            found[service] = max(found.get(service, 0), int(peak))
    return found


def _slice(
    rows: int | None, pods: int | None, headroom: float, case: Case
) -> dict[str, Any] | None:
    """Size a service's share of a card: measured peak, context where it was not measured, headroom."""
    if rows is None and pods is None:
        return None
    price = case[2].price
    with_context = 0 if rows is None else rows + CONTEXT_BYTES
    most = max(with_context, pods or 0)
    wanted = most * (1 + headroom)
    gib = math.ceil(wanted / GIB)
    mig = next((name for name, size in _profiles(price.gpu, price.vram_gib) if wanted <= size * 1e9 * MIG_USABLE), None)  # fmt: skip
    fits = int(price.vram_bytes * MIG_USABLE // (gib * GIB)) if gib else 0
    return {
        "peak_bytes": max(rows or 0, pods or 0),
        "source": "pods" if (pods or 0) >= with_context else "rows, and 0.5 GiB for the process",
        "headroom_ratio": headroom,
        "gpushare_gib": gib,
        "mig_profile": mig,
        "fits_per_gpu": fits,
        "unused_bytes": max(0, int(price.vram_bytes) - gib * GIB),
    }


def _profiles(gpu: str, vram_gib: float) -> tuple[tuple[str, float], ...]:
    name = gpu.upper().removeprefix("NVIDIA ")
    for key, profiles in MIG.items():
        family, _, size = key.partition("-")
        if name.startswith(family) and (not size or abs(float(size) - vram_gib) <= 0.1 * float(size)):  # fmt: skip
            return profiles
    return ()


def _batches(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Tell for each service which of the batch sizes it has seen makes most, for its usual picture."""
    if not {"batch_size", *SHAPE} <= set(frame.columns):
        return {}
    known = frame.dropna(subset=["service", "batch_size", "service_seconds"])
    known = known[(known["service_seconds"] > 0) & (known["batch_size"] > 0)]
    found = {}
    for service, rows in known.groupby("service"):
        usual: Any = rows.groupby(list(SHAPE), dropna=False).size().idxmax()
        same = np.ones(len(rows), dtype=bool)
        for name, value in zip(SHAPE, usual, strict=True):
            same &= (rows[name].isna() if pd.isna(value) else rows[name] == value).to_numpy()
        advice = _batch(rows[same])
        if advice is not None:
            found[str(service)] = advice
    return found


def _batch(rows: pd.DataFrame) -> dict[str, Any] | None:
    sizes = rows.groupby("batch_size")["service_seconds"].agg(["median", "count"])
    sizes = sizes[sizes["count"] >= LEAST_ROWS]
    if sizes.empty:
        return None
    made = {int(row["batch_size"]): row["batch_size"] / row["median"] for row in sizes.reset_index().to_dict("records")}  # fmt: skip
    most: Any = sizes["count"].idxmax()
    usual = int(most)
    best = usual
    for size in sorted(made):
        if made[size] > made[best] * (1 + GAIN):
            best = size
    return {
        "usual": usual,
        "best": best,
        "requests_per_second": {str(size): round(rate, 6) for size, rate in sorted(made.items())},
        "gain_ratio": round(made[best] / made[usual] - 1, 6),
        "seconds": round(float(sizes["median"][best]), 6),
        "says": _advice(usual, best, made, len(made)),
    }


def _advice(usual: int, best: int, made: Mapping[int, float], seen: int) -> str:
    if seen == 1:
        return f"only batches of {usual} were seen often enough; others may be better"
    if best == usual:
        return f"batches of {usual} are the best of those seen"
    return f"batches of {best} make {made[best] / made[usual] - 1:.0%} more than those of {usual}; let {best} requests onto a GPU at once"  # fmt: skip


def _cold_start(case: Case) -> list[dict[str, Any]]:
    """Replay on-demand GPUs that start sooner: what it costs, and how many requests are in time."""
    demand, draws, terms = case
    found = []
    for share in (1.0, *SHORTER_STARTS):
        known = tuple(dataclasses.replace(one, start_seconds=one.start_seconds * share) if one.start_seconds is not None else one for one in terms.known)  # fmt: skip
        sooner = dataclasses.replace(terms, start_seconds=terms.start_seconds * share, known=known)
        option = on_demand(demand, draws, sooner)
        hours = option.monthly_hours(draws, sooner).value
        found.append(
            {
                "start_seconds": sooner.start_seconds,
                "kind": OptionKind.ON_DEMAND.value,
                "monthly_cost": float(cents(cost(hours, terms.price))),
                "slo_attainment": round(option.attainment, 6),
                "meets_slo": option.meets_slo,
                "idle_seconds": option.idle_seconds,
                "starts": option.cold_starts,
            }
        )
    return found
