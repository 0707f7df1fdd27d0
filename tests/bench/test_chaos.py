"""What ``bench.chaos`` calls a broken promise, and what it lets pass."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from bench.chaos import judge, monitoring, parts  # noqa: E402  (bench is in no package)
from bench.chaos.__main__ import arguments  # noqa: E402  (bench is in no package)
from bench.chaos.clients import GONE, Answer  # noqa: E402  (bench is in no package)
from bench.chaos.judge import MIB, Firing, Sample, Struck, Trend, trend  # noqa: E402


def lived(minutes: float, *, mib_hour: float = 0.0, sockets: tuple[int, int] = (3, 3), name: str = "gateway") -> Trend | None:  # fmt: skip
    """Follow a process that grows evenly, whose memory jumps by 40 MiB for every tenth look."""
    seconds = round(minutes * 60)
    samples = []
    for at in range(seconds):
        size = 100 * MIB + mib_hour * MIB * at / 3600 + (40 * MIB if at % 10 == 0 else 0)
        open_ = sockets[0] + (sockets[1] - sockets[0]) * at // seconds
        samples.append(Sample(float(at), round(size), 10 + open_, open_))
    return trend(name, samples)


def test_flat() -> None:
    """Memory that jumps up and down and comes back does not count as growing."""
    found = lived(10)
    assert found is not None
    assert "" == found.broken
    assert found.low <= 0 <= found.high


def test_leak() -> None:
    """Memory that grows by 100 MiB an hour is named with its interval, whatever jumps beside it."""
    found = lived(10, mib_hour=100)
    assert found is not None
    assert pytest.approx(100, rel=0.05) == found.slope
    assert found.broken.startswith("gateway grows by 100 MiB/h (")


def test_warm() -> None:
    """Eight MiB are what caches take: a slope of which minutes make no more is let pass."""
    found = lived(3, mib_hour=100)
    assert found is not None
    assert "" == found.broken


def test_not_ours() -> None:
    """The memory of a Prometheus that keeps more every minute is listed, and nobody's fault."""
    found = lived(10, mib_hour=500, name="prometheus")
    assert found is not None
    assert ("", True) == (found.broken, found.slope > 400)


def test_sockets() -> None:
    """Connections that are never closed are named."""
    found = lived(10, sockets=(3, 60))
    assert found is not None
    assert "gateway had" in found.broken


def test_brief() -> None:
    """A process that lived for a minute says nothing about growth."""
    assert lived(1.5) is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a", "ok"), ("b", "ok"), ("c", "cancelled")], []),
        ([("a", "ok")], ["1 answered requests are not in the history: ['b']"]),
        ([("a", "ok"), ("b", "error")], ["1 answered requests are not in the history: ['b']"]),
        ([("a", "ok"), ("b", "ok"), ("b", "ok")], ["1 requests are in the history more than once: ['b']"]),
    ],
)  # fmt: skip
def test_lost(rows: list[tuple[str, str]], said: list[str]) -> None:
    """What was answered has to be in the history, as answered, once."""
    assert said == judge.lost(["a", "b"], rows)


def test_twice_given() -> None:
    """Two answers under one id are noticed, although the history has one row."""
    assert ["1 ids were given to two requests: ['a']"] == judge.lost(["a", "a"], [("a", "ok")])


STRUCK = [Struck("cable pulled", "r1", began=100.0, healed=110.0, healthy=115.0, served=101.0, over=120.0)]  # fmt: skip


@pytest.mark.parametrize(("name", "began", "called"), [("A", 105.0, True), ("A", 140.0, True), ("A", 160.0, False), ("A", 90.0, False), ("B", 105.0, False)])  # fmt: skip
def test_uncalled(name: str, began: float, called: bool) -> None:  # noqa: FBT001  (a case)
    """An alert is explained by a fault that may set it off, while that lasts and a while after."""
    found = judge.uncalled([Firing(name, "r1", began, None)], {"cable pulled": {"A"}}, STRUCK, 30.0)
    assert called == (found == [])


def answer(status: int | str, sent: float = 105.0) -> Answer:
    return Answer("job", sent, sent + 1, status)


@pytest.mark.parametrize(("status", "kills", "said"), [
    (200, False, []), (503, False, []), (429, False, []),
    (500, True, ["1 times a client got job 500"]),
    (422, True, ["1 times a client got job 422"]),
    ("JSONDecodeError", True, ["1 times a client got job JSONDecodeError"]),
    (GONE, True, []),
    (GONE, False, ["1 times a client got job 404 gone with its server"]),
    ("ReadError", True, []),
    ("ReadError", False, ["1 times a client got job ReadError"]),
])  # fmt: skip
def test_odd(status: int | str, kills: bool, said: list[str]) -> None:  # noqa: FBT001  (a case)
    """A client is told to come again, whatever breaks; a job is gone only where its server was killed."""
    struck = [Struck("x", "r1", 100.0, 110.0, over=120.0, kills=kills)]
    assert said == judge.odd([answer(status)], struck, 20.0)


def test_odd_later() -> None:
    """A connection that is cut long after a kill is nobody's but ours."""
    struck = [Struck("x", "r1", 100.0, 110.0, over=120.0, kills=True)]
    assert 1 == len(judge.odd([answer("ReadError", 150.0)], struck, 20.0))


def test_table() -> None:
    """The table has the median and the worst of each kind of fault, and how often a promise broke."""
    second = Struck("cable pulled", "r0", 200.0, 210.0, 211.0, 203.0, 212.0, broken=["x"])
    never = Struck("disk full", "r1", 300.0, 310.0, broken=["not whole again"])
    rows = judge.table([*STRUCK, second, never])
    assert ["cable pulled", 2, 2.0, 3.0, 3.0, 5.0, 1] == list(rows[0].values())
    assert ["disk full", 1, "-", "-", "-", "-", 1] == list(rows[1].values())


def test_rules() -> None:
    """The rules of a run are the shipped ones, with windows of seconds and no ticket about days."""
    text = monitoring.rules()
    assert "LightmeterMetricsMissing" in text
    assert "[30s]" in text
    assert "[1h]" not in text
    assert "alert: LightmeterErrorBudgetBurn3d" not in text


def test_left(tmp_path: Path) -> None:
    """A process whose parent was killed is found, by its mark, and so is that it has no parent."""
    code = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    part = parts.Part("x", [sys.executable, "-c", code], tmp_path / "log", {parts.MARK: str(tmp_path), "PATH": "/usr/bin:/bin"})  # fmt: skip
    part.start()
    try:
        assert parts.until(lambda: 2 == len(parts.marked(str(tmp_path))), 30)
        assert [] == parts.orphans(str(tmp_path))
        part.kill()
        assert 1 == len(parts.orphans(str(tmp_path)))
    finally:
        for one in parts.marked(str(tmp_path)):
            one.kill()
    assert parts.until(lambda: not parts.marked(str(tmp_path)), 30)


@pytest.mark.parametrize(("options", "said"), [(["--minutes", "0"], "--minutes 0"), (["--rounds", "-1"], "--rounds -1"), (["--fault", "rain"], "'rain'"), (["--keep", str(Path(__file__).parent)], "is not empty")])  # fmt: skip
def test_refused(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A time, a fault or a folder that cannot be is refused before anything is started."""
    with pytest.raises(SystemExit) as ended:
        arguments(options)
    assert 2 == ended.value.code
    assert said in capsys.readouterr().err
