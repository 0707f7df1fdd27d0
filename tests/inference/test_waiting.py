"""The queue and its estimate."""

from __future__ import annotations

import asyncio

import pytest

from inference.engine import Job
from inference.waiting import Batch, Pace, Ticket, WaitingRoom, work_of
from lightmeter.catalog import Priority, StopReason


def job(images: int = 1, steps: int = 8) -> Job:
    return Job(
        prompt="", negative_prompt=None, width=1000, height=1000, images=images, steps=steps, guidance=0.0, seed=0
    )  # fmt: skip


def ticket(
    arrived: float, priority: Priority = Priority.INTERACTIVE, shape: dict[str, int] | None = None
) -> Ticket:
    wanted = job(**(shape or {}))
    return Ticket(wanted, priority, arrived, asyncio.get_running_loop().create_future())


async def alone(room: WaitingRoom) -> Ticket:
    """Take the next request without riders."""
    batch = await room.take(lambda _: 1)
    return batch.tickets[0]


def gathered(most: int, *shapes: dict[str, int]) -> Batch:
    """Queue requests of these shapes, arriving at 0, 1, 2, ... and take a batch."""

    async def run() -> Batch:
        room = WaitingRoom(99, 30)
        for at, shape in enumerate(shapes):
            room.put(ticket(float(at), shape=shape))
        return await room.take(lambda _: most)

    return asyncio.run(run())


ONE: dict[str, int] = {}
OTHER = {"steps": 4}


@pytest.mark.parametrize(
    ("most", "shapes", "arrivals", "reason"),
    [
        (8, [ONE], [0], StopReason.DRAINED),
        (8, [ONE, ONE, ONE], [0, 1, 2], StopReason.DRAINED),
        (2, [ONE, ONE, ONE], [0, 1], StopReason.FULL),
        (8, [ONE, OTHER, ONE], [0, 2], StopReason.INCOMPATIBLE),
        (4, [ONE, {"images": 4}, ONE], [0, 2], StopReason.INCOMPATIBLE),
        (4, [{"images": 4}, ONE], [0], StopReason.FULL),
        (2, [{"images": 4}, ONE], [0], StopReason.FULL),
        (1, [ONE, ONE], [0], StopReason.FULL),
    ],
)
def test_batch(
    most: int, shapes: list[dict[str, int]], arrivals: list[float], reason: StopReason
) -> None:
    """Requests of the first one's shape ride with it, up to so many pictures, past the others."""
    batch = gathered(most, *shapes)

    assert arrivals == [one.arrived for one in batch.tickets]
    assert reason == batch.stop_reason


def test_overtaken() -> None:
    """A request that others ride past is the next to go, so nobody is passed over for ever."""

    async def run() -> list[list[float]]:
        room = WaitingRoom(99, 30)
        for at, shape in enumerate([ONE, OTHER, ONE]):
            room.put(ticket(float(at), shape=shape))
        first = await room.take(lambda _: 8)
        for late in (3.0, 4.0):
            room.put(ticket(late))
        second = await room.take(lambda _: 8)
        return [[one.arrived for one in batch.tickets] for batch in (first, second)]

    assert [[0.0, 2.0], [1.0]] == asyncio.run(run())


def test_halves() -> None:
    """A batch that does not fit is split in two, and nobody is lost."""
    batch = gathered(8, ONE, ONE, ONE)
    first, second = batch.halves()

    assert batch.tickets == first.tickets + second.tickets
    assert (1, 2) == (first.images, second.images)


def test_first_come() -> None:
    """Requests of one priority are served in order of arrival, ties in order of queueing."""

    async def run() -> list[Ticket]:
        room = WaitingRoom(9, 30)
        tickets = [ticket(1.0), ticket(1.0), ticket(0.5)]
        for one in tickets:
            room.put(one)
        taken = [await alone(room) for _ in tickets]
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
        return [(await alone(room)).arrived for _ in range(4)]

    assert [10.0, 29.0, 0.0, 31.0] == asyncio.run(run())


def test_take_waits() -> None:
    """A worker that finds the queue empty gets the next request as soon as it comes."""

    async def run() -> float:
        room = WaitingRoom(9, 30.0)
        taking = asyncio.create_task(alone(room))
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
        return [(await alone(room)).arrived for _ in range(2)]

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
