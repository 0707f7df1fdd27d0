"""What a restart does to an alert that waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lightmeter.localprom.engine import Engine, Plan
from lightmeter.localprom.labels import pack
from lightmeter.localprom.resume import Left, since


MINUTE = 60_000
RULES = """
groups:
- name: g
  rules:
  - {alert: Slow, expr: level > 5, for: 30m}
  - {alert: Quick, expr: level > 5, for: 5m}
"""


@pytest.mark.parametrize(
    ("before", "for_minutes", "expected"),
    [
        (Left(100, 70), 30, 70),  # it fired, and goes on firing
        (Left(100, 75), 30, 105 + 10 - 30),  # 5 minutes were left: it waits the 10 of grace
        (Left(100, 85), 30, 90),  # 15 were left, and are
        (Left(100, 10), 9, None),
        (Left(44, 0), 30, None),  # more than an hour down
        (Left(106, 10), 30, None),  # a clock that went back
        (None, 30, None),
    ],
)
def test_since(before: Left | None, for_minutes: int, expected: int | None) -> None:
    """An alert goes on where it was, fires no sooner than ten minutes, and forgets after an hour; minutes."""
    scaled = None if before is None else Left(before.seen_ms * MINUTE, before.active_ms * MINUTE)
    wanted = None if expected is None else expected * MINUTE

    assert wanted == since(scaled, for_minutes * MINUTE, 105 * MINUTE)


class Run:
    """A run over a folder; times are minutes."""

    def __init__(self, folder: Path) -> None:
        (folder / "rules.yaml").write_text(RULES)
        self.engine = Engine(Plan(rule_files=[folder / "rules.yaml"], folder=folder / "kept"), said=print)  # fmt: skip

    def at(self, *minutes: int, level: float = 9) -> dict[str, str]:
        """Evaluate at each of these minutes; name the states of the last."""
        for minute in minutes:
            self.engine.keeper.write(minute * MINUTE, [(pack({"__name__": "level"}), level)])
            asyncio.run(self.engine.evaluate(minute * MINUTE))
        every = [alert for running in self.engine.rules.groups[0].rules for alert in running.alerts.values()]  # fmt: skip
        return {dict(alert.labels)["alertname"]: alert.state for alert in every}


def test_waiting_goes_on_after_a_restart(tmp_path: Path) -> None:
    """What was pending for ten of its thirty minutes waits for the other twenty, not for thirty."""
    assert {"Slow": "pending", "Quick": "firing"} == Run(tmp_path).at(*range(100, 111))

    again = Run(tmp_path)
    assert {"Slow": "pending", "Quick": "pending"} == again.at(115, 116)
    assert {"Slow": "pending", "Quick": "firing"} == again.at(*range(117, 136))
    assert {"Slow": "firing", "Quick": "firing"} == again.at(136)

    third = Run(tmp_path)
    assert "pending" == third.at(140, 141)["Slow"]
    assert "firing" == third.at(142)["Slow"]  # it fired when that run ended


def test_alert_that_ended_has_no_past(tmp_path: Path) -> None:
    """An alert that was over before the restart waits its whole time."""
    run = Run(tmp_path)
    run.at(*range(100, 115))
    run.at(115, level=1)

    assert {"Slow": "pending", "Quick": "firing"} == Run(tmp_path).at(*range(120, 149))
