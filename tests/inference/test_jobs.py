"""Jobs: requests whose clients come back for the answer."""

from __future__ import annotations

import asyncio
import json
import re
import time
import tracemalloc
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from inference.job import Job, Problem, State
from inference.jobs import Bounds, Jobs, UnknownJob, replica_name
from lightmeter.errors import LightmeterError, StoreError, WorkerError


T = TypeVar("T")
PLENTY = Bounds(most=100, most_bytes=1000, most_seconds=1000.0)
RESULT = b'{"data":[]}'


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


class Attic:
    """A place for large results; ``broken`` refuses everything."""

    def __init__(self, *, broken: bool = False) -> None:
        self.files: dict[str, bytes] = {}
        self.broken = broken

    async def put(self, name: str, data: bytes) -> None:
        """Store a file."""
        if self.broken:
            raise StoreError("no room")
        self.files[name] = data

    async def get(self, name: str) -> bytes | None:
        """Return a file."""
        return self.files.get(name)


def explain(error: Exception) -> Problem:
    return Problem(507 if isinstance(error, LightmeterError) else 500, {"message": str(error)})


def office(bounds: Bounds = PLENTY, attic: Attic | None = None) -> Jobs:
    return Jobs("r1", bounds, attic=attic or Attic(), explain=explain)


class Work:
    """A request that is made in three steps, each when the test says so."""

    def __init__(self, result: bytes | Exception = RESULT) -> None:
        self.result = result
        self.cancelled = False
        self._go = asyncio.Semaphore(0)

    async def __call__(self, job: Job) -> bytes:
        """Wait in the queue, then make three steps."""
        job.accepted(4.0)
        try:
            for step in range(1, 4):
                await self._go.acquire()
                job.progress(step, 3)
            await self._go.acquire()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    async def advance(self, count: int = 1) -> None:
        """Let it go on."""
        for _ in range(count):
            self._go.release()
        for _ in range(20):
            await asyncio.sleep(0)


async def told(place: Jobs, job: Job) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await place.answer(place.find(job.id)))
    return found


def test_life() -> None:
    """A job is queued with its predicted wait, running with its steps, and then has its result."""

    async def live() -> list[dict[str, Any]]:
        place, work = office(), Work()
        job = await place.submit(work)
        seen = [await told(place, job)]
        await work.advance()
        seen.append(await told(place, job))
        await work.advance(3)
        return [*seen, await told(place, job)]

    queued, running, done = run(live())
    assert ("queued", "job") == (queued["status"], queued["object"])
    assert 3.5 < queued["predicted_wait_seconds"] <= 4.0
    assert ("running", {"step": 1, "steps": 3}) == (running["status"], running["progress"])
    assert ("succeeded", {"data": []}) == (done["status"], done["result"])
    assert queued["created"] <= done["finished"]
    assert {"result", "error", "finished"} & queued.keys() == set()
    assert re.fullmatch(r"job_r1_[0-9a-f]{24}", done["id"])


def test_refused_at_once() -> None:
    """What is refused before it waits is refused to the one who asks, and is no job."""

    async def refuse(_: Job) -> bytes:
        raise WorkerError("full")

    async def live() -> Jobs:
        place = office()
        with pytest.raises(WorkerError, match="full"):
            await place.submit(refuse)
        return place

    assert {} == run(live())._jobs


def test_fails_later() -> None:
    """A job that fails says why, with the status that its request would have had."""

    async def live() -> dict[str, Any]:
        place, work = office(), Work(WorkerError("too large"))
        job = await place.submit(work)
        await work.advance(4)
        return await told(place, job)

    failed = run(live())
    assert ("failed", 507) == (failed["status"], failed["status_code"])
    assert {"message": "too large"} == failed["error"]
    assert "result" not in failed


def test_bug(caplog: pytest.LogCaptureFixture) -> None:
    """A job that meets a fault of ours ends as a failure too, and the log has the trace."""

    async def live() -> dict[str, Any]:
        place, work = office(), Work(ZeroDivisionError("oops"))
        job = await place.submit(work)
        await work.advance(4)
        return await told(place, job)

    assert 500 == run(live())["status_code"]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("steps", [0, 2])
def test_cancel(steps: int) -> None:
    """A cancelled job ends as if its client had left, whether it waits or is being made."""

    async def live() -> tuple[dict[str, Any], Work]:
        place, work = office(), Work()
        job = await place.submit(work)
        await work.advance(steps)
        await place.cancel(job)
        return await told(place, job), work

    told_now, work = run(live())
    assert "cancelled" == told_now["status"]
    assert work.cancelled


def test_delete_finished() -> None:
    """To cancel a job that is done is to forget it."""

    async def live() -> None:
        place, work = office(), Work()
        job = await place.submit(work)
        await work.advance(4)
        await place.cancel(job)
        with pytest.raises(UnknownJob, match="is not here"):
            place.find(job.id)

    run(live())


async def finished(place: Jobs, result: bytes = RESULT) -> Job:
    async def at_once(_: Job) -> bytes:
        return result

    job = await place.submit(at_once)
    assert job.task is not None
    await job.task
    return job


def test_most() -> None:
    """The oldest finished jobs make room for new ones; unfinished ones stay."""

    async def live() -> list[bool]:
        place, work = office(Bounds(2, 1000, 1000.0)), Work()
        waiting = await place.submit(work)
        done = [await finished(place) for _ in range(4)]
        known = [job.id in place._jobs for job in [waiting, *done]]
        await place.close()
        return known

    assert [True, False, False, True, True] == run(live())


def test_age() -> None:
    """A finished job is kept for its time and no longer."""

    async def live() -> None:
        place = office(Bounds(10, 1000, 0.05))
        job = await finished(place)
        assert job is place.find(job.id)
        await asyncio.sleep(0.06)
        with pytest.raises(UnknownJob, match="for its age"):
            place.find(job.id)

    run(live())


def test_clock_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is set by a day takes no result away from a client that comes back for it."""

    async def live() -> dict[str, Any]:
        place, work = office(), Work()
        job = await place.submit(work)
        await work.advance(4)
        later = time.time() + 86_400
        monkeypatch.setattr(time, "time", lambda: later)
        return await told(place, job)

    assert "succeeded" == run(live())["status"]


def test_large_results() -> None:
    """Results beyond the bytes that memory may hold lie in the store, and are found there."""

    async def live() -> tuple[list[bool], list[dict[str, Any]], Attic]:
        attic = Attic()
        place = office(Bounds(10, 30, 1000.0), attic)
        done = [await finished(place) for _ in range(4)]
        return [job.result is None for job in done], [await told(place, job) for job in done], attic

    away, answers, attic = run(live())
    assert [False, False, True, True] == away
    assert [{"data": []}] * 4 == [answer["result"] for answer in answers]
    assert 2 == len(attic.files)


def test_memory() -> None:
    """A finished job whose result lies in the store takes no memory for it."""

    async def large(_: Job) -> bytes:
        return bytes(1_000_000)

    async def live() -> int:
        attic = Attic()
        place = office(Bounds(10, 0, 1000.0), attic)
        tracemalloc.start()
        for _ in range(8):
            job = await place.submit(large)
            assert job.task is not None
            await job.task
            attic.files.clear()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert 8 == len(place._jobs)
        return held

    assert run(live()) < 2_000_000


def test_result_dropped() -> None:
    """A result that the store has dropped is said to be gone."""

    async def live() -> None:
        attic = Attic()
        place = office(Bounds(10, 0, 1000.0), attic)
        job = await finished(place)
        attic.files.clear()
        with pytest.raises(UnknownJob, match="dropped to make room"):
            await place.answer(place.find(job.id))

    run(live())


def test_broken_store() -> None:
    """A result that cannot be kept is a failure, not a job that never ends."""

    async def live() -> dict[str, Any]:
        place = office(Bounds(10, 0, 1000.0), Attic(broken=True))
        return await told(place, await finished(place))

    assert "no room" == run(live())["error"]["message"]


def test_whose() -> None:
    """A job is its owner's: to everybody else it is not there."""

    async def live() -> None:
        place, work = office(), Work()
        job = await place.submit(work, "alice")
        assert job is place.find(job.id, "alice")
        for other in ("bob", None):
            with pytest.raises(UnknownJob, match="is not here"):
                place.find(job.id, other)
        await place.close()

    run(live())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("job_r2_0123456789abcdef01234567", "belongs to replica 'r2'; this is 'r1'"),
        ("job_r1_0123456789abcdef01234567", "lost in a restart of this replica"),
        ("job_r1_0123", "is no job id"),
        ("x" * 500, "is no job id"),
    ],
)
def test_unknown(name: str, words: str) -> None:
    """An id that leads nowhere is answered with what may have become of it."""
    with pytest.raises(UnknownJob, match=words) as caught:
        office().find(name)
    assert len(str(caught.value)) < 250


def test_close() -> None:
    """When the server ends, its jobs end too, and are cancelled, not lost."""

    async def live() -> list[State]:
        place, works = office(), [Work(), Work()]
        waiting = [await place.submit(work) for work in works]
        await place.close()
        return [job.state for job in waiting]

    assert [State.CANCELLED] * 2 == run(live())


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("Node.Example.COM", "node-example-com"),
        ("x_y", "x-y"),
        ("\u53f0", "replica"),
        ("a" * 39 + "..b", "a" * 39),
    ],
)
def test_replica_name(host: str, plain: str) -> None:
    """A replica has the name that was set, or its host's in letters that fit an id."""
    assert plain == replica_name("", host)
    assert "gpu-3" == replica_name("gpu-3", host)
