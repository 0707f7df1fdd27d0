"""What is recorded of an error budget, and rules over the readings of other exporters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts import burn, packs, render
from alerts.objectives import Objective, Promise, Slo
from alerts.promql import series
from alerts.rule import Pack
from lightmeter import catalog
from lightmeter.catalog import Dcgm, Outcome
from support.promtool import promtool


SLO = Slo(objective=(Objective(name="availability", kind=Promise.AVAILABILITY, target=0.995),))
OF = {catalog.SLO_LABEL: "availability"}
SHOP = {"service": "shop", "model": "tiny"}
GPU = {"gpu": "0", "UUID": "GPU-1", "Hostname": "node1"}
FIRING = 'count by (alertname) (ALERTS{alertname!="LightmeterWatchdog", alertstate="firing"})'


def check(folder: Path, pack: Pack, readings: dict[str, str], expected: list[dict[str, Any]], **more: str) -> str:  # fmt: skip
    """Run a pack over readings in promtool, and hold expressions against what they should be."""
    (folder / "rules.yaml").write_text(render.prometheus(pack, SLO.links))
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in readings.items()],
        "promql_expr_test": expected,
    }
    whole = {"rule_files": ["rules.yaml"], "evaluation_interval": more.get("every", "1m"), "tests": [test]}  # fmt: skip
    (folder / "test.yaml").write_text(yaml.safe_dump(whole))
    code, printed = promtool("test", "rules", folder / "test.yaml")
    return "" if code == 0 else printed


def objectives() -> Pack:
    records, alerts, _ = burn.group(SLO)
    return Pack("slo", (records, alerts))


def sample(name: str, value: float) -> dict[str, Any]:
    full = series(name, **OF, service="shop")
    return {"expr": f"round({full}, 0.0001)", "eval_time": "600m", "exp_samples": [{"labels": '{service="shop", slo="availability"}', "value": value}]}  # fmt: skip


def test_budget(tmp_path: Path) -> None:
    """Half of the allowed failures leave half of the budget, which lasts for the period at that pace."""
    readings = {
        series(catalog.REQUESTS, **SHOP, outcome=Outcome.OK): "0+399x700",
        series(catalog.REQUESTS, **SHOP, outcome=Outcome.ERROR): "0+1x700",
    }
    expected = [
        sample(catalog.SLO_OBJECTIVE, 0.995),
        sample(catalog.SLO_BUDGET_LEFT, 0.5),
        sample(catalog.SLO_BUDGET_ENDS, 30 * 86400.0),
        sample(catalog.slo_error_ratio("1h"), 0.0025),
    ]

    assert "" == check(tmp_path, objectives(), readings, expected, every="5m")


def test_sums(tmp_path: Path) -> None:
    """Ten failures of ten requests in a quiet hour weigh little beside nine thousand good ones."""
    readings = {
        series(catalog.REQUESTS, **SHOP, outcome=Outcome.OK): "0x60 0+100x90 9000x500",
        series(catalog.REQUESTS, **SHOP, outcome=Outcome.ERROR): "0x20 0+1x10 10x600",
    }
    expected = [sample(catalog.slo_error_ratio("1d"), 0.0011)]

    assert "" == check(tmp_path, objectives(), readings, expected, every="5m")


@pytest.mark.parametrize("pack", packs.PACKS)
def test_nothing(tmp_path: Path, pack: str) -> None:
    """Where nothing is there, no rule fails and nothing fires."""
    expected = [{"expr": FIRING, "eval_time": "30m"}]

    assert "" == check(tmp_path, packs.make(pack, Slo()), {"up": "1x40"}, expected)


def test_others_exporters(tmp_path: Path) -> None:
    """On dcgm-exporter's and node_exporter's readings alone nothing fires for a healthy node."""
    node = {"instance": "node1:9100", "device": "/dev/sda1", "fstype": "ext4", "mountpoint": "/"}
    readings = {
        series(Dcgm.GPU_TEMP.value, **GPU): "50x60",
        series(Dcgm.GPU_UTIL.value, **GPU): "80x60",
        series(Dcgm.FB_USED.value, **GPU): "60x60",
        series(Dcgm.FB_FREE.value, **GPU): "40x60",
        series(Dcgm.XID.value, **GPU): "0x60",
        series(catalog.NODE_FILESYSTEM_AVAIL, **node): "50x60",
        series(catalog.NODE_FILESYSTEM_SIZE, **node): "100x60",
        series(catalog.NODE_TIME, instance="node1:9100"): "0+60x60",
    }
    silent = [{"expr": FIRING, "eval_time": "50m"}]
    broken = {
        **readings,
        series(Dcgm.XID.value, **GPU): "0x10 79x50",
        series(Dcgm.FB_USED.value, **GPU): "99x60",
        series(Dcgm.FB_FREE.value, **GPU): "1x60",
    }
    told = [{"expr": FIRING, "eval_time": "15m", "exp_samples": [
        {"labels": '{alertname="LightmeterGpuMemoryPeak"}', "value": 1},
        {"labels": '{alertname="LightmeterXidHardware"}', "value": 1},
    ]}]  # fmt: skip

    assert "" == check(tmp_path, packs.make("recommended", Slo()), readings, silent)
    assert "" == check(tmp_path, packs.make("recommended", Slo()), broken, told)
