"""How evenly the workers are busy, and how many people ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.audience import MOST_USERS, WINDOW_SECONDS, Audience
from inference.balance import BusyLog, balance_ratio
from lightmeter import catalog
from lightmeter.catalog import WorkerState
from support.server import Server, eventually


@pytest.mark.parametrize(
    ("busy", "ratio"), [([], 1), ([0, 0], 1), ([7], 1), ([5, 5], 1), ([4, 0], 0.5), ([3, 1, 2], 2 / 3)]
)  # fmt: skip
def test_ratio(busy: list[float], ratio: float) -> None:
    """Equally busy workers give 1, one idle of two a half; idle ones alone are balanced too."""
    assert ratio == pytest.approx(balance_ratio(busy))


def test_window() -> None:
    """What a worker did counts for five minutes."""
    log = BusyLog()
    for minute in range(10):
        log.add(60.0 * minute, 60.0 * minute + 30)

    assert 150 == log.seconds(60.0 * 10)
    assert 0 == log.seconds(60.0 * 20)


def test_bounded() -> None:
    """A worker that is never idle is remembered in few numbers."""
    log = BusyLog()
    for tenth in range(100_000):
        log.add(tenth / 10, tenth / 10 + 0.1)

    assert len(log._slots) < 40
    assert 300 == pytest.approx(log.seconds(10_000.0), abs=20)


def test_users() -> None:
    """Each user counts once, for five minutes after having asked last."""
    audience = Audience()
    for at, user in enumerate(["ann", "bob", "ann", "eve"]):
        audience.saw((None, user), float(at))

    assert 3 == audience.count(4.0)
    assert 1 == audience.count(3.0 + WINDOW_SECONDS - 0.5)
    assert 0 == audience.count(4.0 + WINDOW_SECONDS)


def test_users_bounded() -> None:
    """A flood of made-up users does not grow the memory without end."""
    audience = Audience()
    for number in range(MOST_USERS + 50):
        audience.saw(("shop", str(number)), 0.0)

    assert MOST_USERS == audience.count(1.0)


def test_server(tmp_path: Path) -> None:
    """The metrics move: two workers where one was busy, then both; users by name, tenant, address."""
    with Server(tmp_path, "--workers", "2", "--batch", "1", "--max-steps", "200") as server:
        assert eventually(lambda: server.value(catalog.WORKERS, state=WorkerState.READY) == 2)
        before = server.value(catalog.BALANCE_RATIO), server.value(catalog.ACTIVE_USERS)
        server.post(num_inference_steps=200, size="16x16")
        one = server.value(catalog.BALANCE_RATIO), server.value(catalog.ACTIVE_USERS)
        server.together(
            [{"num_inference_steps": 200, "size": "16x16", "user": str(n % 3)} for n in range(9)]
        )
        both = server.value(catalog.BALANCE_RATIO), server.value(catalog.ACTIVE_USERS)

    assert ((1, 0), (0.5, 1)) == (before, one)
    assert 0.7 < both[0] <= 1
    assert 4 == both[1]
