"""What the metrics say of a target that does not answer, or refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from alerts.scale import targets
from alerts.scale.asks import Counted
from alerts.scale.pool import Pool
from lightmeter import catalog
from lightmeter.catalog import TargetAnswer, TargetAsk
from lightmeter.errors import TargetError
from support.alerting import Taker
from support.scaling import BUSY, Refusing, scaler


def counts(registry: CollectorRegistry, name: str) -> dict[tuple[str, str], float]:
    """Read what was counted, without the zeros; all series are there from the start."""
    found: dict[tuple[str, str], float] = {}
    for ask in TargetAsk:
        for answer in TargetAnswer:
            labels = {"target": name, "ask": ask, "answer": answer}
            value = registry.get_sample_value(catalog.TARGET_ASKS.name, labels)
            assert value is not None
            found |= {(ask, answer): value} if value else {}
    return found


def test_done(tmp_path: Path) -> None:
    """Each look counts the replicas and each change orders some; both are counted as done."""
    registry = CollectorRegistry()
    one = scaler(tmp_path, [BUSY], target=Counted(targets.parse("null"), registry))
    one.step()
    one.step()

    assert {("count", "done"): 2, ("order", "done"): 1} == counts(registry, "null")


def test_refused(tmp_path: Path) -> None:
    """Whoever refuses to be counted and to be scaled is counted as that; decisions go on."""
    registry = CollectorRegistry()
    target = Counted(Refusing(), registry)
    one = scaler(tmp_path, [BUSY], target=target)
    assert one.step()
    with pytest.raises(TargetError, match="cannot scale to 3"):
        target.scale(3)

    assert {("count", "failed"): 1, ("order", "failed"): 1} == counts(registry, "gone")


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (401, TargetAnswer.FORBIDDEN),
        (404, TargetAnswer.NOT_FOUND),
        (409, TargetAnswer.CONFLICT),
        (429, TargetAnswer.BUSY),
        (500, TargetAnswer.FAILED),
        (302, TargetAnswer.FAILED),
    ],
)
def test_status(status: int, answer: TargetAnswer) -> None:
    """An endpoint's status says why an order was not taken."""
    with Taker(status) as taker:
        target = targets.parse(f"webhook:{taker.url}", "a shared secret")
        with pytest.raises(TargetError) as error:
            target.scale(2)

    assert answer == error.value.answer


def test_unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody there is told from somebody who takes too long, and from a program that fails."""
    with pytest.raises(TargetError) as gone:
        Pool("http://127.0.0.1:9").fleet()
    monkeypatch.setattr(targets, "COMMAND_SECONDS", 0.2)
    program = f'command:{sys.executable} -c "import sys, time; time.sleep(int(sys.argv[1]))"'
    with pytest.raises(TargetError) as late:
        targets.parse(program).scale(30)
    with pytest.raises(TargetError) as failed:
        targets.parse("command:/nowhere/at/all").scale(1)

    assert [TargetAnswer.UNREACHABLE, TargetAnswer.TIMEOUT, TargetAnswer.FAILED] == [each.value.answer for each in (gone, late, failed)]  # fmt: skip
