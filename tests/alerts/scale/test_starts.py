"""How long starts take, measured from what the looks show."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from alerts.scale.app import Instruments
from alerts.scale.fleet import Fleet
from alerts.scale.starts import Starts
from lightmeter import catalog
from support.clock import Clock
from support.scaling import BUSY, scaler


def test_ordered() -> None:
    """A start lasts from its order to the middle between the look before and the one that finds it ready."""
    starts = Starts()
    assert [] == starts.look(0.0, Fleet(0, 0))
    starts.order(0.0, 0, 2)
    assert [] == starts.look(15.0, Fleet(0, 2))
    assert [22.5] == starts.look(30.0, Fleet(1, 1))
    assert [45.0] == starts.look(60.0, Fleet(2, 0))
    assert (22.5 + 45.0) / 2 == starts.mean


def test_prompt() -> None:
    """One that was ready before anybody saw it start counts as well."""
    starts = Starts()
    starts.look(0.0, Fleet(1, 0))
    starts.order(5.0, 1, 2)

    assert [5.0] == starts.look(15.0, Fleet(2, 0))


def test_let_go() -> None:
    """Starts that are let go, that fail, or that never end are not taken for quick ones."""
    starts = Starts()
    starts.look(0.0, Fleet(1, 0))
    starts.order(0.0, 1, 4)
    starts.look(15.0, Fleet(1, 3))
    starts.order(15.0, 4, 2)
    assert [] == starts.look(30.0, Fleet(1, 1))
    assert [] == starts.look(45.0, Fleet(1, 0))
    assert [] == starts.look(60.0, Fleet(2, 0))
    assert None is starts.mean


def test_by_hand() -> None:
    """Somebody else's order is seen at the next look, and taken for one of the middle before it."""
    starts = Starts()
    starts.look(0.0, Fleet(0, 0))
    assert [] == starts.look(10.0, Fleet(0, 1))

    assert [15.0] == starts.look(30.0, Fleet(1, 0))


def test_true_on_average() -> None:
    """Over many starts at odd moments the mean comes out, though each is seen every 15 s only."""
    chance, found = Random(1), []
    for _ in range(2000):
        starts, took, ordered = Starts(), chance.uniform(20, 60), chance.uniform(0, 15)
        starts.look(0.0, Fleet(0, 0))
        starts.order(ordered, 0, 1)
        for look in range(15, 105, 15):
            ready = look >= ordered + took
            found += starts.look(float(look), Fleet(int(ready), int(not ready)))

    assert 2000 == len(found)
    assert pytest.approx(40.0, abs=0.5) == sum(found) / len(found)


class Slow:
    """A target whose replicas are ready when they are told to be."""

    name = "slow"

    def __init__(self) -> None:
        self.asked = self.ready = 0

    def fleet(self) -> Fleet:
        """Count them."""
        return Fleet(self.ready, self.asked - self.ready)

    def scale(self, to: int) -> str:
        """Take the order."""
        self.asked = to
        return "ordered"


def test_told(tmp_path: Path) -> None:
    """A measured start is in the histogram, and the next decision reckons with it instead of the setting."""
    registry, clock, target = CollectorRegistry(), Clock(1_700_000_000.0), Slow()
    instruments = Instruments(registry, "slow")
    seen = BUSY._replace(cold_start_seconds=None)
    one = scaler(tmp_path, [seen], clock=clock, target=target)
    one.starts, one.started = Starts(), instruments.started
    first = one.step()
    clock.now += 20
    waiting = one.step()
    clock.now += 20
    target.ready = target.asked
    after = one.step()

    assert first is not None
    assert waiting is not None
    assert after is not None
    assert "cold_start_seconds" not in waiting["observed"]
    assert {"value": 30.0, "age_seconds": 0.0} == after["observed"]["cold_start_seconds"]
    name = catalog.COLD_START.name
    assert first["to"] == registry.get_sample_value(f"{name}_count", {"target": "slow"})
    assert 30.0 * first["to"] == registry.get_sample_value(f"{name}_sum", {"target": "slow"})


def test_never_ready(tmp_path: Path) -> None:
    """A replica that never becomes ready is replaced after three usual starts, up to the bound, and measured as nothing."""
    clock, target = Clock(1_700_000_000.0), Slow()
    seen = BUSY._replace(in_flight=1.0, queued=1.0, rate_short=0.01, rate_long=0.01)
    one = scaler(tmp_path, [seen], clock=clock, target=target, most=4)
    one.starts = Starts()
    first = one.step()
    assert first is not None
    reasons = set()
    for _ in range(200):
        clock.now += 15
        record = one.step()
        assert record is not None
        reasons.add(record["chosen_term"])

    assert "boot_timeout" in reasons
    assert first["to"] < target.asked <= 4
    assert None is one.starts.mean
