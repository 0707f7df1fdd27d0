"""The loop: what is done, what is written down, and what is left alone."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import pytest

from alerts.levels import Level
from alerts.scale.audit import read
from alerts.scale.fleet import Fleet
from alerts.scale.scaler import ADVISORY
from lightmeter import catalog
from lightmeter.catalog import Scaling, Term
from lightmeter.errors import AuditError
from lightmeter.scaling.decide import decide
from lightmeter.scaling.decision import inputs
from lightmeter.scaling.signals import Observations
from support.clock import Clock
from support.scaling import BUSY, CALM, Notes, Refusing, Script, scaler
from support.server import eventually


NOTHING = Observations(None, None, None, None, None, None)


def level(word: str, key: str = "a" * 16, until: float = 2e9) -> Level:
    return Level(key, {catalog.SCALING_LABEL: word, "alertname": "x"}, 0.0, 0.0, until)


def test_acts(tmp_path: Path) -> None:
    """Work that waits starts replicas, and the target has them."""
    one = scaler(tmp_path, [BUSY])
    record = one.step()

    assert record is not None
    assert ("up", 0, "remembered") == (record["action"], record["from"], record["result"])
    assert record["to"] == one.target.fleet().ready > 0


def test_advisory(tmp_path: Path) -> None:
    """Without act the same is decided and written down, and nothing is done."""
    one = scaler(tmp_path, [BUSY], mode="advisory")
    record = one.step()

    assert record is not None
    assert ("up", "advisory", ADVISORY) == (record["action"], record["mode"], record["result"])
    assert 0 == one.target.fleet().ready


class Woken:
    """A target that was woken for a request which no scrape has seen yet."""

    name = "pool"

    def __init__(self, in_flight: int | None) -> None:
        self.standing = Fleet(0, 1, in_flight)

    def fleet(self) -> Fleet:
        """Say that one starts."""
        return self.standing

    def scale(self, to: int) -> str:
        """Do as asked."""
        self.standing = Fleet(0, to)
        return "done"


@pytest.mark.parametrize(("in_flight", "left"), [(1, 1), (0, 0), (None, 0)])
def test_newer_than_a_scrape(tmp_path: Path, in_flight: int | None, left: int) -> None:
    """A worker that starts for somebody is not let go because the last scrape was before that.

    One that starts for nobody is.
    """
    one = scaler(tmp_path, [CALM], target=Woken(in_flight))
    record = one.step()

    assert record is not None
    assert left == record["to"] == one.target.fleet().starting
    assert float(in_flight or 0) == record["observed"]["in_flight"]["value"]


def test_nothing_to_do(tmp_path: Path) -> None:
    """Where nobody asks and nothing stands, nothing is done, and that is written down too."""
    record = scaler(tmp_path, [CALM]).step()

    assert record is not None
    assert ("hold", 0, "nothing to do") == (record["action"], record["to"], record["result"])


@pytest.mark.parametrize(
    "blind",
    [
        NOTHING,
        CALM._replace(in_flight=math.nan),
        CALM._replace(ages={"in_flight": 1800.0}),
        CALM._replace(ages={"rate_long": math.inf}),
    ],
    ids=["down", "nan", "half an hour old", "endless"],
)
def test_blind(tmp_path: Path, blind: Observations) -> None:
    """A Prometheus that is down, empty, or old takes nothing away, however long it lasts."""
    clock = Clock(1_700_000_000.0)
    one = scaler(tmp_path, [BUSY, blind], clock=clock, safe_floor=2)
    before = one.step()
    assert before is not None
    for _ in range(200):
        clock.now += 15
        record = one.step()
        assert record is not None
        assert record["to"] >= before["to"]
        assert str(Term.STALE) in record["votes"]


def test_target_gone(tmp_path: Path) -> None:
    """A target that cannot be asked is held, and the record says so, and why."""
    record = scaler(tmp_path, [BUSY], target=Refusing()).step()

    assert record is not None
    assert None is record["observed"]["ready"]["value"]
    assert "nothing to do: server gone cannot be reached" == record["result"]
    assert str(Term.STALE) in record["votes"]


def test_raised(tmp_path: Path) -> None:
    """An alert that raises keeps one replica more than there were, once, however often it is told."""
    one = scaler(tmp_path, [CALM])
    for _ in range(1000):
        one.hold((level(Scaling.RAISE),))
    record = [one.step() for _ in range(5)][-1]

    assert record is not None
    assert (1, str(Term.BURN_RATE)) == (record["to"], record["chosen_term"])
    one.hold(())
    assert one.step()["votes"].get(str(Term.BURN_RATE)) is None  # type: ignore[index]  # it is the one that scales


def test_lapsed(tmp_path: Path) -> None:
    """An alert that nobody repeats raises nothing any more."""
    clock = Clock(1_700_000_000.0)
    one = scaler(tmp_path, [CALM], clock=clock)
    one.hold((level(Scaling.RAISE, until=clock.now + 60),))
    clock.now += 61
    record = one.step()

    assert record is not None
    assert str(Term.BURN_RATE) not in record["votes"]


def test_missing_metrics(tmp_path: Path) -> None:
    """While the metrics are said to be missing, nothing is taken away."""
    clock = Clock(1_700_000_000.0)
    one = scaler(tmp_path, [BUSY, CALM], clock=clock)
    one.step()
    one.hold((level(Scaling.FREEZE),))
    clock.now += 3600
    record = one.step()

    assert record is not None
    assert record["to"] >= record["from"] > 0


def test_frozen(tmp_path: Path) -> None:
    """The brake leaves everything as it is until it is let go, or its time is over."""
    clock = Clock(1_700_000_000.0)
    one = scaler(tmp_path, [BUSY], clock=clock)
    one.freeze(clock.now + 60)
    first = one.step()
    clock.now += 61
    second = one.step()

    assert first is not None
    assert second is not None
    assert ("freeze", "up") == (first["action"], second["action"])


def test_replayed(tmp_path: Path) -> None:
    """Every decision that is written down comes out again from what it had seen."""
    clock = Clock(1_700_000_000.0)
    looks = [CALM, BUSY, BUSY._replace(in_flight=20.0), NOTHING, CALM, BUSY._replace(cold_start_seconds=None), *[CALM] * 40]  # fmt: skip
    one = scaler(tmp_path, looks, clock=clock)
    for _ in looks:
        one.step()
        clock.now += 60

    records = list(read(tmp_path))
    assert len(looks) == len(records)
    assert [record["to"] for record in records] == [
        decide(*inputs(record)).to for record in records
    ]
    assert [] != [record for record in records if record["action"] == "down"]


def test_two(tmp_path: Path) -> None:
    """Of two scalers one acts; the other takes over when that one is gone."""
    one, other = scaler(tmp_path, [BUSY]), scaler(tmp_path, [BUSY])

    assert one.step() is not None
    assert other.step() is None
    one.lease.close()
    assert other.step() is not None


def test_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written down is not done."""
    one = scaler(tmp_path, [BUSY])

    def full(_: object) -> None:
        raise AuditError("the disk is full")

    monkeypatch.setattr(one.audit, "write", full)

    assert None is one.step()
    assert 0 == one.target.fleet().ready


def test_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A look that fails in a way that nobody thought of is not the last one."""
    looks = iter([1, 2])
    stop = threading.Event()

    class Broken:
        def look(self) -> Observations:
            if next(looks, 3) == 1:
                raise ZeroDivisionError
            return BUSY

    class Stopping(Notes):
        def decided(self, record: dict[str, Any], seen: Observations) -> None:
            super().decided(record, seen)
            stop.set()

    one = scaler(tmp_path, [])
    one.source, one.watcher = Broken(), Stopping()
    one.run(0.05, stop)

    assert ["up"] == [record["action"] for record in read(tmp_path)]
    assert "a look failed" in caplog.text
    assert 1 == one.failures


def test_clock_jump(tmp_path: Path) -> None:
    """A clock that jumps back or ahead takes nothing from those who work."""
    clock = Clock(1_700_000_000.0)
    one = scaler(tmp_path, [BUSY], clock=clock)
    one.step()
    for jump in (-7200.0, 7200.0, 86_400.0):
        clock.now += jump
        record = one.step()
        assert record is not None
        assert record["to"] >= record["from"]


def told(folder: Path, clock: Clock, **more: Any) -> tuple[Any, Any]:
    """Look once, and begin to wait for alerts; return the scaler and what stops it."""
    one = scaler(folder, [CALM], clock=clock, **more)
    one.step()
    return one, one.audit.last


def test_alert_without_look(tmp_path: Path) -> None:
    """An alert is decided on at once, on what was seen last, as old as it is by then."""
    clock = Clock(1_700_000_000.0)
    one, records = told(tmp_path, clock)
    one.source = Script([])
    clock.now += 7.0
    one.hold((level(Scaling.RAISE),))
    record = one.decide()

    assert record is not None
    assert (1, str(Term.BURN_RATE)) == (record["to"], record["chosen_term"])
    assert {7.0} == {record["observed"][name]["age_seconds"] for name in ("in_flight", "ready", "rate_long")}  # fmt: skip
    one.hold((level(Scaling.RAISE), level(Scaling.RAISE, "b" * 16)))
    again = one.decide()
    assert again is not None
    assert (1, 2) == (again["from"], again["to"])
    assert 3 == len(records)


def test_alert_while_old(tmp_path: Path) -> None:
    """Readings that grew old since the last look take nothing away; an alert still raises."""
    clock = Clock(1_700_000_000.0)
    one = scaler(tmp_path, [BUSY], clock=clock)
    before = one.step()
    clock.now += 3600
    held = one.decide()
    one.hold((level(Scaling.RAISE),))
    raised = one.decide()

    assert before is not None
    assert held is not None
    assert raised is not None
    assert str(Term.STALE) in held["votes"]
    assert before["to"] == held["to"] == raised["to"] - 1


def test_slow_look(tmp_path: Path) -> None:
    """A Prometheus that takes its time keeps no alert waiting."""
    looked, stop, go_on = threading.Event(), threading.Event(), threading.Event()

    class Slow(Script):
        def look(self) -> Observations:
            if looked.is_set():
                go_on.wait(30)
            looked.set()
            return super().look()

    one = scaler(tmp_path, [])
    one.source = Slow([CALM])
    running = threading.Thread(target=one.run, args=(0.0, stop))
    running.start()
    assert eventually(lambda: len(one.audit.last) == 1)
    one.hold((level(Scaling.RAISE),))
    assert eventually(lambda: len(one.audit.last) == 2)
    raised = one.audit.last[-1]
    stop.set()
    go_on.set()
    one.end()
    running.join()

    assert (1, str(Term.BURN_RATE)) == (raised["to"], raised["chosen_term"])
