"""What is believed of replicas that a target cannot count."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.scale.fleet import Fleet, Word
from alerts.scale.look import believed
from alerts.scale.targets import Command
from lightmeter.scaling.signals import Observations
from support.scaling import BUSY, CALM, scaler


ASKED = Fleet(3, 0, word=Word.ASKED)
NOTHING = Observations(None, None, None, None, None, None)


@pytest.mark.parametrize(
    ("ready", "expected"), [(0.0, (0, 3)), (1.0, (1, 2)), (9.0, (3, 0)), (None, (3, 0)), (float("nan"), (3, 0))]
)  # fmt: skip
def test_asked(ready: float | None, expected: tuple[int, int]) -> None:
    """What a program was asked for starts, until as many workers say that they serve."""
    found = believed(ASKED, CALM._replace(ready=ready), None, acts=True)

    assert expected == found[:2]


def test_counted() -> None:
    """A target that counts its replicas knows best."""
    counted = Fleet(2, 1)

    assert counted == believed(counted, CALM._replace(ready=7.0), None, acts=True)
    assert counted == believed(counted, CALM._replace(ready=7.0), None, acts=False)


def test_advice() -> None:
    """Advice is about what stands, whoever started it; what cannot be seen for a while is still there."""
    idle, seen = Fleet(0, 0, word=Word.IMAGINED), CALM._replace(ready=3.0, starting=1.0)
    before = believed(idle, seen, None, acts=False)

    assert (3, 1) == before[:2]
    assert before == believed(idle, NOTHING, before, acts=False)
    assert idle == believed(idle, NOTHING, None, acts=False)
    assert (0, 0) == believed(idle, CALM, before, acts=False)[:2]
    assert idle == believed(idle, seen, before, acts=True)


def test_beside_another(tmp_path: Path) -> None:
    """Run beside what scales today, without a target, it sees the three that stand, and what it would change."""
    one = scaler(tmp_path, [BUSY._replace(ready=3.0, starting=0.0), CALM._replace(ready=3.0, starting=0.0)], mode="advisory")  # fmt: skip
    first, second = one.step(), one.step()

    assert first
    assert second
    assert (3, 3) == (first["from"], second["from"])
    assert first["to"] > 3


def test_slow_program(tmp_path: Path) -> None:
    """Replicas that a program was asked for count as starting: they are not ordered twice, nor taken for ready."""
    busy = BUSY._replace(ready=0.0, starting=0.0)
    one = scaler(tmp_path, [busy], target=Command("true"))
    first, second = one.step(), one.step()

    assert first
    assert second
    assert first["to"] == second["from"]
    assert (0.0, float(first["to"])) == tuple(second["observed"][name]["value"] for name in ("ready", "starting"))  # fmt: skip
