"""Right sizes: slices from measured peaks, batches that were seen, starts that are replayed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lightmeter.rows import UsageRow
from planner import rightsizing, telemetry
from planner.telemetry import Telemetry
from support import rows
from support.plans import demand_of, draws_of, price, terms
from support.rows import row


GIB = 1024**3


def block(usage: list[UsageRow], found: Telemetry | None = None, **changes: Any) -> dict[str, Any]:
    demand = demand_of(usage)
    return rightsizing.block(rows.frame(usage), (demand, draws_of(demand), terms(**changes)), found)


def vram(usage: list[UsageRow], found: Telemetry | None = None, **changes: Any) -> Any:
    return block(usage, found, **changes)["services"][0]["vram"]


def busy(count: int = 200, **more: Any) -> list[UsageRow]:
    return [row(400.0 * index, **more) for index in range(count)]


def test_slice() -> None:
    """A peak of 5 GiB, half a GiB for the process and a tenth of headroom are 7 GiB in whole ones."""
    found = vram(busy(peak_vram_bytes=5 * GIB), price=price(gpu="A100-80G", vram_gib=80.0))

    assert (7, "1g.10gb", 10) == (found["gpushare_gib"], found["mig_profile"], found["fits_per_gpu"])  # fmt: skip
    assert 0.1 == found["headroom_ratio"]


def test_mig_by_card() -> None:
    """The profile is the smallest that holds it on that card; a card without MIG has none."""
    usage = busy(peak_vram_bytes=14 * GIB)

    assert "2g.20gb" == vram(usage, price=price(gpu="H100", vram_gib=80.0))["mig_profile"]
    assert "3g.20gb" == vram(usage, price=price(gpu="A100-40G", vram_gib=40.0))["mig_profile"]
    assert vram(usage, price=price(gpu="L40S", vram_gib=48.0))["mig_profile"] is None


def test_pods_count() -> None:
    """What a pod of the service held is all of it; the larger of both measures is taken."""
    samples = pd.DataFrame([{"at": 0.0, "pod": "ns/a-7f9c-x2", "busy": 0.1, "vram_bytes": 9.0 * GIB}, {"at": 0.0, "pod": "ns/ab-1", "busy": 0.1, "vram_bytes": 20.0 * GIB}])  # fmt: skip
    found = vram(busy(peak_vram_bytes=5 * GIB), telemetry.of_samples([samples], "t"))

    assert (9 * GIB, 10, "pods") == (found["peak_bytes"], found["gpushare_gib"], found["source"])


def test_unknown_peak() -> None:
    """What was not measured is not sized."""
    assert vram(busy()) is None


def test_batches() -> None:
    """Of batches that were seen, the one that makes clearly more is advised; few rows say nothing."""
    rng = np.random.default_rng(1)
    seconds = {1: 2.0, 2: 2.4, 4: 4.7, 8: 1.0}
    counts = {1: 200, 2: 50, 4: 50, 8: 5}
    usage = [row(400.0 * index, seconds[size] * float(rng.uniform(0.98, 1.02)), batch_size=size, width=512, height=512) for index, size in enumerate(np.repeat(list(counts), list(counts.values())).tolist())]  # fmt: skip
    found = block(usage)["services"][0]["batch"]

    assert (1, 2, ["1", "2", "4"]) == (found["usual"], found["best"], list(found["requests_per_second"]))  # fmt: skip
    assert 0.667 == pytest.approx(found["gain_ratio"], abs=0.05)
    assert "let 2 requests onto a GPU at once" in found["says"]


def test_sizes_are_not_mixed() -> None:
    """Larger pictures in larger batches do not make batches look slow."""
    small = [row(400.0 * index, 2.0, batch_size=1, width=512) for index in range(60)]
    large = [row(100_000 + 400.0 * index, 9.0, batch_size=2, width=1024) for index in range(40)]

    assert "only batches of 1 were seen" in block(small + large)["services"][0]["batch"]["says"]


def test_cold_start() -> None:
    """Shorter starts are replayed: more requests are in time."""
    found = block([row(7000.0 * index) for index in range(200)])["cold_start"]

    assert [180.0, 90.0, 18.0] == [one["start_seconds"] for one in found]
    assert found[0]["slo_attainment"] <= found[2]["slo_attainment"]
    assert (False, True) == (found[0]["meets_slo"], found[2]["meets_slo"]) or found[0]["monthly_cost"] >= found[2]["monthly_cost"]  # fmt: skip
