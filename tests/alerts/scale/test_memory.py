"""What a scaler still knows after a restart, and when the clock is set."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.levels import Level
from alerts.scale.audit import read
from alerts.scale.jumps import Jumps
from alerts.scale.memory import Memory, recall
from alerts.scale.scaler import Scaler
from alerts.scale.targets import Remembered
from lightmeter import catalog
from lightmeter.catalog import Scaling, Term
from lightmeter.scaling.decide import decide
from lightmeter.scaling.decision import inputs
from lightmeter.scaling.signals import Observations
from support.clock import Clock
from support.scaling import BUSY, CALM, scaler


BEGIN, LAPSE = 1_700_000_000.0, 360.0
NOTHING = Observations(None, None, None, None, None, None)


def again(folder: Path, before: Scaler, clock: Clock, *seen: Observations) -> Scaler:
    """Begin anew where another one ended."""
    before.audit.close()
    before.lease.close()
    return remembering(scaler(folder, seen, clock=clock), folder, clock)


def remembering(one: Scaler, folder: Path, clock: Clock) -> Scaler:
    """Let it remember as the command does."""
    assert isinstance(one.target, Remembered)
    target = one.target

    def known() -> Memory:
        found = recall(folder, "null", now=clock(), lapse=LAPSE)
        target.asked = found.standing
        return found

    one.recall = known
    return one


def test_hold(tmp_path: Path) -> None:
    """Replicas that were used a moment before a restart are kept as long as without it."""
    clock = Clock(BEGIN)
    one = scaler(tmp_path, [BUSY, CALM], clock=clock)
    one.step()
    clock.now += 15
    before = one.step()
    clock.now += 15
    after = again(tmp_path, one, clock, CALM).step()

    assert before is not None
    assert after is not None
    assert after["to"] == after["from"] == before["to"] > 1
    assert str(Term.HOLD) == after["chosen_term"]


def test_brake(tmp_path: Path) -> None:
    """The brake outlives a restart, and ends when it was to end."""
    clock = Clock(BEGIN)
    one = scaler(tmp_path, [BUSY], clock=clock)
    one.freeze(clock.now + 600)
    one.step()
    clock.now += 300
    other = again(tmp_path, one, clock, BUSY)
    held = other.step()
    clock.now += 301
    freed = other.step()

    assert held is not None
    assert freed is not None
    assert ("freeze", "up") == (held["action"], freed["action"])


def test_blind(tmp_path: Path) -> None:
    """A scaler that begins without readings keeps what was asked for before, not the least."""
    clock = Clock(BEGIN)
    one = scaler(tmp_path, [BUSY], clock=clock)
    before = one.step()
    after = again(tmp_path, one, clock, NOTHING).step()

    assert before is not None
    assert after is not None
    assert before["to"] == after["to"] > 0


def test_first_look(tmp_path: Path) -> None:
    """A scaler that comes to replicas of which it knows nothing keeps them as if they had just fallen idle."""
    clock = Clock(BEGIN)
    one = scaler(tmp_path, [CALM], clock=clock)
    assert isinstance(one.target, Remembered)
    one.target.asked = 3
    first = one.step()
    clock.now += 6 * 3600
    later = one.step()

    assert first is not None
    assert later is not None
    assert (3, 3, 0) == (first["from"], first["to"], later["to"])
    assert first["to"] == decide(*inputs(first)).to


def test_floor(tmp_path: Path) -> None:
    """What an alert asked for is kept until it must have been told to the new one, and no longer."""
    clock = Clock(BEGIN)
    one = scaler(tmp_path, [CALM], clock=clock)
    one.hold((Level("a" * 16, {catalog.SCALING_LABEL: Scaling.RAISE}, 0.0, BEGIN, BEGIN + LAPSE),))
    one.step()
    clock.now += LAPSE - 1
    other = again(tmp_path, one, clock, CALM)
    kept = other.step()
    clock.now += 2
    lapsed = other.step()

    assert kept is not None
    assert lapsed is not None
    assert 1.0 == kept["observed"]["burn_floor"]["value"]
    assert "burn_floor" not in lapsed["observed"]


def test_standby(tmp_path: Path) -> None:
    """One that waited knows at its turn what was decided meanwhile, and writes behind it."""
    clock = Clock(BEGIN)
    one = scaler(tmp_path, [BUSY], clock=clock)
    other = remembering(scaler(tmp_path, [NOTHING], clock=clock), tmp_path, clock)
    assert one.step() is not None
    assert other.step() is None
    last = [one.step() for _ in range(5)][-1]
    one.audit.close()
    one.lease.close()
    after = other.step()
    found = list(read(tmp_path))

    assert last is not None
    assert after is not None
    assert last["to"] == after["to"] > 0
    assert 7 == len(found)
    assert [last["id"], after["id"]] == [one["id"] for one in found[-2:]]


def test_no_result(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A decision whose result nobody knows is named, not taken for done, and wanted again."""
    clock = Clock(BEGIN)
    one = scaler(tmp_path, [BUSY], clock=clock)
    one._act = lambda _: 1 / 0  # type: ignore[assignment, return-value]  # ended between the two
    with pytest.raises(ZeroDivisionError):
        one.step()
    other = again(tmp_path, one, clock, BUSY)
    repeated = other.step()
    lost, done = read(tmp_path)

    assert (None, "remembered") == (lost["result"], done["result"])
    assert repeated is not None
    assert (lost["from"], lost["to"]) == (repeated["from"], repeated["to"])
    assert f"decision {lost['id']} (up from 0 to {lost['to']}) has no result" in caplog.text


def test_nothing_known(tmp_path: Path) -> None:
    """An empty folder, another target's decisions, and lines of another version are nothing to go by."""
    assert Memory() == recall(tmp_path / "none", "null", now=BEGIN)
    one = scaler(tmp_path, [BUSY])
    one.step()
    assert Memory() == recall(tmp_path, "pool", now=BEGIN)
    with (tmp_path / "decisions.jsonl").open("a") as file:
        file.write('{"id": "x", "target": "null", "state": {}}\n')
    assert Memory() == recall(tmp_path, "null", now=BEGIN)


@pytest.mark.parametrize("jump", [-86_400.0, -7200.0, 7200.0, 30 * 86_400.0])
def test_clock_set(tmp_path: Path, jump: float) -> None:
    """Holds, the brake and the time without readings last as long on a clock that is set as on one that is not."""
    actions = []
    for by in (0.0, jump):
        wall, steady = Clock(BEGIN), Clock(0.0)
        folder = tmp_path / str(by)
        one = scaler(
            folder, [BUSY, *[CALM] * 20, *[NOTHING] * 80], clock=wall, safe_floor=3, turn_price=0.0
        )
        one.steady = one._steady = steady
        one._jumps = Jumps(wall, steady)
        found = []
        for look in range(100):
            record = one.step()
            assert record is not None
            found.append((record["action"], record["to"], record["chosen_term"]))
            wall.now += 15
            steady.now += 15
            if look in (5, 50):
                wall.now += by
            if look == 90:
                one.freeze(wall.now + 60)
        actions.append(found)
        for record in read(folder):
            assert record["to"] == decide(*inputs(record)).to

    assert actions[0] == actions[1]
    assert {"up", "down", "hold", "freeze"} == {action for action, _, _ in actions[0]}
    assert {str(Term.SAFE_FLOOR), str(Term.HOLD)} <= {term for _, _, term in actions[0]}
