"""What pods held and used: the fleet's idle share, the cross-check, and samples that cannot be."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lightmeter.errors import HistoryError
from planner import from_telemetry, telemetry
from planner.telemetry import Telemetry
from support import rows
from support.cli import inside
from support.plans import demand_of
from support.rows import START, every


BEGIN = START.timestamp()


def fleet(pods: int = 10, hours: int = 4, busy: float = 0.1, *, gap: bool = False) -> pd.DataFrame:
    """Make pods that hold a GPU each and are this busy, a sample a minute."""
    minutes = [minute for minute in range(hours * 60) if not (gap and 60 <= minute < 120)]
    return pd.DataFrame([{"at": BEGIN + 60.0 * minute, "pod": f"ns/a-{pod}", "busy": busy, "vram_bytes": 8e9 + pod} for minute in minutes for pod in range(pods)])  # fmt: skip


def read(*parts: pd.DataFrame) -> Telemetry:
    return telemetry.of_samples(parts, "test")


def test_held_and_busy() -> None:
    """Ten pods a tenth busy hold ten GPUs for one; their memory is told too."""
    found = telemetry.block(read(fleet()), demand_of(every(100.0, 144, seconds=100.0)))

    assert (10.0, 1.0, 0.9, 10) == (found["gpus_held_mean"], found["gpus_busy_mean"], found["idle_ratio"], found["pods"])  # fmt: skip
    assert (4.0, 0.1, 8_000_000_009) == tuple(found["by_pod"][-1][key] for key in ("gpu_hours_held", "busy_ratio", "vram_peak_bytes"))  # fmt: skip
    assert found["check"]["agrees"] is True


def test_disagreement() -> None:
    """Rows that explain half of the busy GPUs are told, with what may be the cause."""
    found = telemetry.check(read(fleet(busy=0.2)), demand_of(every(100.0, 144, seconds=100.0)))

    assert found["agrees"] is False
    assert "50.0 % apart; work that left no row" in found["says"]


def test_other_time() -> None:
    """Telemetry of another day is not held against the rows."""
    late = fleet().assign(at=lambda table: table["at"] + 40 * 86_400)

    assert telemetry.check(read(late), demand_of(every(100.0, 144)))["agrees"] is None


def test_gaps_and_repeats() -> None:
    """Gaps are told and do not dilute; a sample that is there twice counts once."""
    whole = fleet(gap=True)
    found = read(pd.concat([whole, whole.head(5)]))

    assert 10.0 == telemetry.held_and_busy(found.samples)[0]
    assert ["5 of 1805 samples are there twice and count once", "no samples in 1 gaps of 1.0 h in all; they count as if they had not been"] == found.notes  # fmt: skip


def test_one_sample() -> None:
    """One sample is a fleet of one."""
    found = read(fleet(pods=1).head(1))

    assert (1.0, 0.1) == telemetry.held_and_busy(found.samples)


@pytest.mark.parametrize("bad", [{"busy": -1.0}, {"vram_bytes": float("inf")}, {"pod": ""}])
def test_impossible(bad: dict[str, Any]) -> None:
    """Negative or infinite samples, and a file without any pod, are refused."""
    with pytest.raises(HistoryError, match="telemetry 'test'"):
        read(fleet(pods=1).assign(**bad))


def write_gentd26(folder: Path) -> Path:
    """Write the two files as their publisher does: percent, bytes, a clock that runs at 0.95."""
    folder.mkdir()
    samples = fleet()
    for name, values in (("pod_gpu_duty_cycle", samples["busy"] * 100), ("pod_gpu_memory_used_bytes", samples["vram_bytes"])):  # fmt: skip
        table = pd.DataFrame({"timestamp_anon": samples["at"] * 0.95, "value": values, "container_ip": samples["pod"]})  # fmt: skip
        other = pd.DataFrame([{"timestamp_anon": BEGIN, "value": 1.0, "container_ip": "NULL"}])
        table = pd.concat([table, other])
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(table.to_csv(index=False).encode()))
    return folder


def test_gentd26(tmp_path: Path) -> None:
    """The public trace's two files are told apart by what they hold, and its clock is set right."""
    folder = write_gentd26(tmp_path / "trace")
    found = from_telemetry.read([str(folder)], since=0, until=0, token=None)

    assert (10.0, 1.0) == tuple(round(value or 0, 6) for value in telemetry.held_and_busy(found.samples))  # fmt: skip
    assert 60.0 == pytest.approx(found.step)
    assert 8e9 + 9 == found.samples["vram_bytes"].max()


def test_own_file(tmp_path: Path) -> None:
    """A CSV of one's own needs a time, a pod and how busy it was; other columns are refused by name."""
    path = tmp_path / "pods.csv"
    path.write_text("at,pod,busy,gpus\n2026-10-01T00:00:00Z,a,0.5,2\n2026-10-01T00:01:00Z,a,1.5,2\n")  # fmt: skip
    found = from_telemetry.read([str(path)], since=0, until=0, token=None)

    assert (2.0, 1.0) == telemetry.held_and_busy(found.samples)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(HistoryError, match="lacks the column"):
        from_telemetry.read([str(path)], since=0, until=0, token=None)
    with pytest.raises(HistoryError, match="holds no pod_gpu_"):
        from_telemetry.read([str(tmp_path)], since=0, until=0, token=None)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The plan tells what pods held, what was spent, and what is idle; the report too."""
    folder = rows.folder(tmp_path / "h", every(100.0, 144, seconds=100.0))
    write_gentd26(tmp_path / "trace")

    assert 0 == inside("plan", "--history", folder, "--telemetry", tmp_path / "trace", "--focus", tmp_path / "focus.csv", "--out", tmp_path / "r")  # fmt: skip
    plan = json.loads((tmp_path / "r" / "plan.json").read_text())
    assert (10.0, 0.9) == (plan["telemetry"]["gpus_held_mean"], round(plan["actual"]["idle_ratio"], 2))  # fmt: skip
    page = (tmp_path / "r" / "report.html").read_text()
    assert "10 pods held 10 GPUs on average, of which 1 were busy" in page
    assert "What was spent" in page
    assert "Right sizes" in (tmp_path / "r" / "report.md").read_text()
    assert 0 == inside("plan", "focus", tmp_path / "focus.csv")
    assert "keeps to FOCUS 1.2" in capsys.readouterr().out
