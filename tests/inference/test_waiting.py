"""The queue and its estimate."""

from __future__ import annotations

import asyncio
import math

import pytest

from inference.admission import Admission
from inference.engine import Job
from inference.forecast import Forecast
from inference.keys import ANYONE, Tenant
from inference.limits import Limits
from inference.pace import LEAST_CAUTION, Pace
from inference.tickets import Batch, Refused, Ticket, work_of
from inference.waiting import WaitingRoom
from lightmeter.catalog import Priority, StopReason
from support.overload import Crew


def job(images: int = 1, steps: int = 8) -> Job:
    return Job(
        prompt="", negative_prompt=None, width=1000, height=1000, images=images, steps=steps, guidance=0.0, seed=0
    )  # fmt: skip


def ticket(
    arrived: float,
    priority: Priority = Priority.INTERACTIVE,
    *,
    shape: dict[str, int] | None = None,
    tenant: Tenant = ANYONE,
) -> Ticket:
    wanted = job(**(shape or {}))
    future = asyncio.get_running_loop().create_future()
    return Ticket(wanted, priority, arrived, future, tenant=tenant)


def a_room() -> WaitingRoom:
    return WaitingRoom(Limits(concurrency=64, queue=99, batch=8, max_wait=0), 0.1)


async def alone(room: WaitingRoom) -> Ticket:
    """Take the next request without riders."""
    batch = await room.take(lambda _: 1)
    return batch.tickets[0]


def gathered(most: int, *shapes: dict[str, int]) -> Batch:
    """Queue requests of these shapes, arriving at 0, 1, 2, ... and take a batch."""

    async def run() -> Batch:
        room = a_room()
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
        room = a_room()
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
        room = a_room()
        tickets = [ticket(1.0), ticket(1.0), ticket(0.5)]
        for one in tickets:
            room.put(one)
        taken = [await alone(room) for _ in tickets]
        assert [tickets[2], tickets[0], tickets[1]] == taken
        return taken

    asyncio.run(run())


def test_interactive_first() -> None:
    """A person who waits goes before batch jobs, which still get their tenth of the work."""

    async def run() -> list[Priority]:
        room = a_room()
        for at in range(30):
            room.put(ticket(float(at), Priority.BATCH))
        for at in range(30):
            room.put(ticket(100.0 + at))
        return [(await alone(room)).priority for _ in range(30)]

    order = asyncio.run(run())
    assert Priority.INTERACTIVE == order[0]
    assert 3 == order.count(Priority.BATCH)


def test_no_credit_for_idling() -> None:
    """Batch jobs that come after a long interactive stretch are not paid for their absence."""

    async def run() -> list[Priority]:
        room = a_room()
        for at in range(40):
            room.put(ticket(float(at)))
        for _ in range(20):
            await alone(room)
        for at in range(5):
            room.put(ticket(50.0 + at, Priority.BATCH))
        return [(await alone(room)).priority for _ in range(8)]

    assert 1 == asyncio.run(run()).count(Priority.BATCH)


def test_fair_tenants() -> None:
    """A tenant that asks once is served next, however many requests another has waiting."""

    async def run() -> list[str | None]:
        room = a_room()
        for at in range(20):
            room.put(ticket(float(at), tenant=Tenant("noisy")))
        for _ in range(5):
            await alone(room)
        room.put(ticket(99.0, tenant=Tenant("quiet")))
        return [(await alone(room)).tenant.name for _ in range(3)]

    assert "quiet" in asyncio.run(run())[:2]


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 10), (3.0, 15)])
def test_weights(weight: float, expected: int) -> None:
    """While two tenants wait, their shares are as their weights."""

    async def run() -> int:
        room = a_room()
        for at in range(40):
            room.put(ticket(float(at), tenant=Tenant("one", weight)))
            room.put(ticket(float(at), tenant=Tenant("two")))
        served = [(await alone(room)).tenant.name for _ in range(20)]
        return served.count("one")

    assert expected == asyncio.run(run())


def test_large_work_costs_more() -> None:
    """A tenant that asks for four pictures at a time is served a quarter as often."""

    async def run() -> int:
        room = a_room()
        for at in range(20):
            room.put(ticket(float(at), shape={"images": 4}, tenant=Tenant("large")))
            room.put(ticket(float(at), tenant=Tenant("small")))
        return [(await alone(room)).tenant.name for _ in range(10)].count("large")

    assert 2 == asyncio.run(run())


def test_greediest() -> None:
    """The place for a newcomer is taken from the newest request of whoever holds the most."""

    async def run() -> tuple[object, object, object]:
        room = a_room()
        noisy, quiet = (ticket(10.0, tenant=Tenant(name)) for name in ("noisy", "quiet"))
        for at in range(5):
            room.put(ticket(float(at), tenant=noisy.tenant))
        room.put(ticket(9.0, tenant=quiet.tenant))
        yields = room.greediest(quiet)
        return yields and yields.arrived, room.greediest(noisy), a_room().greediest(quiet)

    assert (4.0, None, None) == asyncio.run(run())


@pytest.mark.parametrize(
    ("jobs", "people", "newcomer", "yields"),
    [
        (10, 0, Priority.INTERACTIVE, Priority.BATCH),
        (3, 7, Priority.INTERACTIVE, Priority.BATCH),
        (1, 9, Priority.INTERACTIVE, None),
        (0, 10, Priority.BATCH, Priority.INTERACTIVE),
        (1, 9, Priority.BATCH, None),
    ],
)
def test_classes_yield(jobs: int, people: int, newcomer: Priority, yields: Priority | None) -> None:
    """Of a full queue batch jobs keep their tenth, and people the rest."""

    async def run() -> Priority | None:
        room = a_room()
        for at in range(jobs):
            room.put(ticket(float(at), Priority.BATCH))
        for at in range(people):
            room.put(ticket(float(at)))
        found = room.greediest(ticket(99.0, newcomer))
        assert found is None or found.arrived == room.depth(found.priority) - 1
        return found.priority if found else None

    assert yields == asyncio.run(run())


def test_yield_no_further() -> None:
    """Nobody yields to a tenant that would hold as many places with one more."""

    async def run() -> Ticket | None:
        room = a_room()
        for name in ("one", "two"):
            room.put(ticket(0.0, tenant=Tenant(name)))
        return room.greediest(ticket(1.0, tenant=Tenant("three")))

    assert asyncio.run(run()) is None


def test_pause() -> None:
    """With a concurrency of 0 nothing is taken; raised, the next one goes."""

    async def run() -> bool:
        limits = Limits(concurrency=0, queue=9, batch=8, max_wait=0)
        room = WaitingRoom(limits, 0.1)
        room.put(ticket(1.0))
        taking = asyncio.create_task(alone(room))
        await asyncio.sleep(0.01)
        held = not taking.done()
        limits.concurrency = 1
        room.nudge()
        await taking
        return held

    assert asyncio.run(run())


def test_take_waits() -> None:
    """A worker that finds the queue empty gets the next request as soon as it comes."""

    async def run() -> float:
        room = a_room()
        taking = asyncio.create_task(alone(room))
        await asyncio.sleep(0)
        room.put(ticket(3.0))
        return (await taking).arrived

    assert 3.0 == asyncio.run(run())


def test_drop() -> None:
    """A request that is given up is not served, and the others keep their order."""

    async def run() -> list[float]:
        room = a_room()
        tickets = [ticket(at) for at in (1.0, 2.0, 3.0)]
        for one in tickets:
            room.put(one)
        room.drop(tickets[1])
        assert 2 == room.depth(Priority.INTERACTIVE)
        return [(await alone(room)).arrived for _ in range(2)]

    assert [1.0, 3.0] == asyncio.run(run())


def test_work() -> None:
    """Work is megapixels times forwards, over all pictures."""
    assert 16.0 == work_of(job(images=2))


def test_pace() -> None:
    """The estimate of a shape follows what was seen of it, and is one second before anything was."""

    async def run() -> None:
        pace = Pace(weight=0.5)
        one, other = ticket(0.0), ticket(0.0, shape=OTHER)
        assert (1.0, False) == (pace.predict(one), pace.known)
        pace.saw(Batch([one, one], StopReason.FULL), 4.0)
        assert (2.0, True) == (pace.predict(one), pace.known)
        assert 1.0 == pace.predict(other)  # half the work, not seen yet
        pace.saw(Batch([one], StopReason.FULL), 5.0)
        assert 3.0 == pace.predict(one)  # nine seconds for three
        pace.saw(Batch([other], StopReason.FULL), 9.0)
        assert [3.0, 9.0] == [pace.predict(one), pace.predict(other)]
        assert 4.5 == pace.seconds_per_request

    asyncio.run(run())


def test_caution() -> None:
    """After a wait that was twice as long as predicted the next predictions are doubled, for a while."""

    async def run() -> list[float]:
        pace, late = Pace(), ticket(10.0)
        late.predicted, late.started = 5.0, 20.0
        pace.saw(Batch([late], StopReason.FULL), 1.0)
        first = pace.caution
        late.started = 12.0
        for _ in range(1000):
            pace.saw(Batch([late], StopReason.FULL), 1.0)
        return [first, pace.caution]

    assert [2.0, LEAST_CAUTION] == asyncio.run(run())


def a_door(room: WaitingRoom, **limits: float) -> tuple[Admission, Crew]:
    """A door of four places, at 20 s, before one worker that needs a second for each request."""
    crew = Crew(1, lambda: 20.0)
    crew.pace.saw(Batch([ticket(0.0)], StopReason.DRAINED), 1.0)
    wanted = {"concurrency": 1, "queue": 4, "batch": 1, "max_wait": 0.0, **limits}
    return Admission(Limits(**wanted), room, crew, clock=lambda: 20.0), crew  # type: ignore[arg-type]  # numbers


def test_last_place() -> None:
    """Where nobody is due back a newcomer gets the very last place; the one after that gets none."""

    async def run() -> int:
        room = a_room()
        door, _ = a_door(room)
        for _ in range(4):
            door.admit(one := ticket(20.0))
            room.put(one)
        with pytest.raises(Refused, match="4 requests waiting"):
            door.admit(ticket(20.0))
        return len(room)

    assert 4 == asyncio.run(run())


def test_judged() -> None:
    """A wait that may be judged later is one of more than half of the longest; it bears no caution."""

    async def run() -> list[float]:
        room = a_room()
        door, crew = a_door(room, max_wait=8.0)
        told = []
        for _ in range(4):
            door.admit(one := ticket(20.0))
            room.put(one)
            told.append(one.predicted)
        assert crew.pace.caution * 3 > 4.0 > crew.pace.caution * 2
        return told

    assert [0.0, 0.0, 0.0, pytest.approx(3.0)] == asyncio.run(run())


def test_forecast() -> None:
    """A request waits for its own line at its share, or for all lines at what others leave it."""

    async def run() -> list[float]:
        room, shop, lab = a_room(), Tenant("shop"), Tenant("lab")
        forecast = Forecast(room, crew := Crew(1, lambda: 20.0))
        crew.pace.saw(Batch([ticket(0.0)], StopReason.DRAINED), 1.0)
        for at in range(9):
            room.put(ticket(float(at), tenant=shop))
        room.put(ticket(9.0, tenant=lab))
        alone = forecast.wait(ticket(20.0, tenant=shop), 20.0)
        forecast.admitted(ticket(10.0, tenant=lab), 10.0)
        beside = forecast.wait(ticket(20.0, tenant=shop), 20.0)
        return [wait / crew.pace.caution for wait in (alone, beside)]

    asked = math.exp(-1) / 10 / (1 - math.exp(-1))  # one second of work in the last ten, by weight
    assert pytest.approx([10.0, 10 / (1 - asked)]) == asyncio.run(run())


def test_backlog() -> None:
    """The seconds that wait are those of the requests that wait, whatever came and went."""

    async def run() -> None:
        pace, room = Pace(), a_room()
        tickets = [
            ticket(float(at), shape={"images": 1 + at % 3, "steps": 4 + at % 2}) for at in range(20)
        ]
        assert 0.0 == room.seconds(pace)
        for one in tickets:
            room.put(one)
        assert 20.0 == room.seconds(pace)  # nothing is known yet
        pace.saw(Batch(tickets[:1], StopReason.FULL), 0.3)
        await room.take(lambda _: 4)
        room.drop(tickets[-1])
        assert sum(map(pace.predict, room)) == pytest.approx(room.seconds(pace))

    asyncio.run(run())
