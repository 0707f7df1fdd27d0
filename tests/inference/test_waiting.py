"""The queue and its estimate."""

from __future__ import annotations

import asyncio

import pytest

from inference.engine import Job
from inference.waiting import Pace, Ticket, WaitingRoom, work_of
from lightmeter.catalog import Priority


def job(images: int = 1, steps: int = 8) -> Job:
    return Job(
        prompt="", negative_prompt=None, width=1000, height=1000, images=images, steps=steps, guidance=0.0, seed=0
    )  # fmt: skip


def ticket(arrived: float, priority: Priority = Priority.INTERACTIVE) -> Ticket:
    return Ticket(job(), priority, arrived, asyncio.get_running_loop().create_future())


def test_first_come() -> None:
    """Requests of one priority are served in order of arrival, ties in order of queueing."""

    async def run() -> list[Ticket]:
        room = WaitingRoom(9, 30)
        tickets = [ticket(1.0), ticket(1.0), ticket(0.5)]
        for one in tickets:
            room.put(one)
        taken = [await room.take() for _ in tickets]
        assert [tickets[2], tickets[0], tickets[1]] == taken
        return taken

    asyncio.run(run())


def test_interactive_first() -> None:
    """A person who waits goes before a batch job, but not before one that waited its penalty out."""

    async def run() -> list[float]:
        room = WaitingRoom(9, 30.0)
        room.put(ticket(0.0, Priority.BATCH))
        for arrived in (10.0, 29.0, 31.0):
            room.put(ticket(arrived))
        return [(await room.take()).arrived for _ in range(4)]

    assert [10.0, 29.0, 0.0, 31.0] == asyncio.run(run())


def test_take_waits() -> None:
    """A worker that finds the queue empty gets the next request as soon as it comes."""

    async def run() -> float:
        room = WaitingRoom(9, 30.0)
        taking = asyncio.create_task(room.take())
        await asyncio.sleep(0)
        room.put(ticket(3.0))
        return (await taking).arrived

    assert 3.0 == asyncio.run(run())


def test_drop() -> None:
    """A request that is given up is not served, and the others keep their order."""

    async def run() -> list[float]:
        room = WaitingRoom(9, 30.0)
        tickets = [ticket(at) for at in (1.0, 2.0, 3.0)]
        for one in tickets:
            room.put(one)
        room.drop(tickets[1])
        assert 2 == room.depth(Priority.INTERACTIVE)
        return [(await room.take()).arrived for _ in range(2)]

    assert [1.0, 3.0] == asyncio.run(run())


def test_full() -> None:
    """The queue is full at its bound, not before."""

    async def run() -> list[bool]:
        room = WaitingRoom(2, 30.0)
        found = []
        for at in (1.0, 2.0):
            found.append(room.full)
            room.put(ticket(at))
        return [*found, room.full]

    assert [False, False, True] == asyncio.run(run())


def test_work() -> None:
    """Work is megapixels times forwards, over all pictures."""
    assert 16.0 == work_of(job(images=2))


def test_pace() -> None:
    """The estimate follows what was seen, and is one second before anything was."""
    pace = Pace(weight=0.5)

    assert 1.0 == pace.predict(100.0)
    pace.saw(8.0, 4.0)
    assert 4.0 == pace.predict(8.0)
    pace.saw(8.0, 8.0)
    assert pytest.approx(6.0) == pace.predict(8.0)
