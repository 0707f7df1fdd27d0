"""Made-up readings, and recorded ones."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from exporter import demo, frames
from exporter.demo import Demo
from exporter.replay import Recorder, Replay
from lightmeter.catalog import Dcgm
from lightmeter.errors import InputError
from support.fleet import Readings, fleet
from support.server import eventually


NOW = 1_790_000_000.0


def test_demo_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Made-up GPUs are called that: in the log, in the source, in their names."""
    with caplog.at_level(logging.WARNING):
        known = Demo(gpus=3).fleet()

    assert "made up" in caplog.text
    assert "demo" == known.source
    assert {"lightmeter demo GPU"} == {one.gpu.name for one in known.snapshots}
    assert all("demo" in one.gpu.uuid for one in known.snapshots)
    assert 3 == len(known.snapshots) == len(known.health) == known.expected


def test_demo_adds_up() -> None:
    """Its counters only grow, memory adds up, and the peak shows spikes that use seldom shows."""
    before = demo.fleet(2, NOW, NOW, 60)
    high = 0
    for step in range(1, 400):
        now = demo.fleet(2, NOW, NOW + step * 0.37, 60)
        for old, new in zip(before.snapshots, now.snapshots, strict=True):
            assert (old.busy_seconds or 0) <= (new.busy_seconds or 0) <= (new.sampled_seconds or 0)
            assert (old.energy_joules or 0) < (new.energy_joules or 0)
            gauges = new.gauges
            assert gauges[Dcgm.FB_TOTAL] == gauges[Dcgm.FB_USED] + gauges[Dcgm.FB_FREE] + gauges[Dcgm.FB_RESERVED]  # fmt: skip
            assert (new.memory_used_bytes or 0) <= (new.memory_peak_bytes or 0)
            high += gauges[Dcgm.FB_USED] > 60_000
        before = now

    assert high < 40
    assert {69_000 << 20} == {one.memory_peak_bytes for one in before.snapshots}


def test_frames() -> None:
    """Readings come out of their frame as they went in."""
    known = fleet()

    assert known == frames.to_fleet(frames.loads(frames.dumps(frames.from_fleet(known))))


def test_recording(tmp_path: Path) -> None:
    """What was recorded is shown again in its own time, then from the start."""
    path, source = tmp_path / "gpus.jsonl", Readings(fleet(1))
    recorder = Recorder(source, path, every=0.02)
    assert eventually(lambda: path.read_text().count("\n") >= 3)
    source.now = fleet(2)
    lines = path.read_text().count("\n")
    assert eventually(lambda: path.read_text().count("\n") >= lines + 5)
    recorder.close()
    assert source.closed

    passed = 0.0
    replay = Replay(path, clock=lambda: passed)
    seen = []
    for step in range(40):
        passed = step * 0.05
        seen.append(len(replay.fleet().snapshots))
    assert "replay" == replay.fleet().source
    replay.close()
    assert [1, 2] == seen[:1] + sorted(set(seen))[1:]
    assert seen.index(2) < len(seen) - seen[::-1].index(1)


def test_torn_recording(tmp_path: Path) -> None:
    """A line that was cut off is passed over."""
    path = tmp_path / "gpus.jsonl"
    recorder = Recorder(Readings(fleet(1)), path, every=0.02)
    assert eventually(lambda: path.read_text().count("\n") >= 2)
    recorder.close()
    with path.open("a") as file:
        file.write('[1790000000.0,{"snap')

    passed = 0.0
    replay = Replay(path, clock=lambda: passed)
    for _ in range(5):
        passed += 100
        assert 1 == len(replay.fleet().snapshots)
    replay.close()


@pytest.mark.parametrize("text", ["", "{}\n", "[1, {}]\n", "no\n", '["a", "b"]\n'])
def test_no_recording(tmp_path: Path, text: str) -> None:
    """A file that is no recording is refused when the exporter starts."""
    path = tmp_path / "gpus.jsonl"
    path.write_text(text)

    with pytest.raises(InputError, match="line 1 is no reading"):
        Replay(path)


def test_missing_recording(tmp_path: Path) -> None:
    """A recording that is missing, or cannot be written, is one clear line."""
    with pytest.raises(InputError, match=r"missing.jsonl does not exist"):
        Replay(tmp_path / "missing.jsonl")
    with pytest.raises(InputError, match="is a folder"):
        Recorder(Readings(), tmp_path)
