"""Requests that are made while their client is away: asked once, looked at later.

A job is an ordinary request whose answer is kept here: it waits in the same queue, is recorded
alike and is answered with the same errors. Jobs live and die with the process that has them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from inference.job import UNFINISHED, Job, Problem, State
from lightmeter.errors import InputError, LightmeterError
from lightmeter.settings import Serve


_log = logging.getLogger(__name__)
_ID = re.compile(r"job_(?P<replica>[a-z0-9-]{1,40})_[0-9a-f]{24}", re.ASCII)


class UnknownJob(InputError):  # noqa: N818  (an answer, not a fault)
    """There is no such job here; the message says what may have become of it."""


class Attic(Protocol):
    """Where results lie that are too large for memory."""

    async def put(self, name: str, data: bytes) -> None:
        """Store a file."""
        ...

    async def get(self, name: str) -> bytes | None:
        """Return a file; None where it is not there any more."""
        ...


@dataclass(frozen=True)
class Bounds:
    """What is kept of finished jobs: how many, how many bytes in memory, how many seconds."""

    most: int
    most_bytes: int
    most_seconds: float


Work = Callable[[Job], Awaitable[bytes]]
"""Makes the answer, and tells the job when it is accepted and how it goes."""


class Jobs:
    """The jobs of this process, unfinished and finished."""

    def __init__(
        self,
        replica: str,
        bounds: Bounds,
        *,
        attic: Attic,
        explain: Callable[[Exception], Problem],
    ) -> None:
        self._replica = replica
        self._bounds = bounds
        self._attic = attic
        self._explain = explain
        self._jobs: dict[str, Job] = {}

    @classmethod
    def of(cls, settings: Serve, *, attic: Attic, explain: Callable[[Exception], Problem]) -> Jobs:
        """Make the jobs that the settings describe."""
        bounds = Bounds(settings.jobs, settings.jobs_bytes, settings.jobs_seconds)
        name = replica_name(settings.replica, socket.gethostname())
        return cls(name, bounds, attic=attic, explain=explain)

    async def submit(self, work: Work, owner: str | None = None) -> Job:
        """Start a job; return it once it is accepted.

        Raises:
            LightmeterError: what the work raises before it is accepted.
        """
        now = time.time()
        job = Job(f"job_{self._replica}_{secrets.token_hex(12)}", owner, now)
        making = asyncio.ensure_future(work(job))
        taking = asyncio.ensure_future(job.taken.wait())
        try:
            await asyncio.wait({making, taking}, return_when=asyncio.FIRST_COMPLETED)
            if making.done():
                making.result()
        except asyncio.CancelledError:
            making.cancel()
            raise
        finally:
            taking.cancel()
        self._jobs[job.id] = job
        job.making = making
        job.task = asyncio.create_task(self._finish(job, making))
        return job

    def find(self, name: str, owner: str | None = None) -> Job:
        """Return a job of this owner's.

        Raises:
            UnknownJob: it is another's, another replica's, or gone.
        """
        self._forget_old()
        job = self._jobs.get(name)
        if job is not None and job.owner == owner:
            return job
        replica = replica_of(name)
        if replica is None:
            raise UnknownJob(f"{name[:80]!r} is no job id")
        if replica != self._replica:
            raise UnknownJob(f"job {name!r} belongs to replica {replica!r}; this is {self._replica!r}")  # fmt: skip
        raise UnknownJob(
            f"job {name!r} is not here: never made, dropped to make room or for its age, or lost in a restart of this replica; ask again"
        )

    async def answer(self, job: Job) -> bytes:
        """Say how a job is, as JSON, with the result if it has one.

        Raises:
            UnknownJob: its result has been dropped. StoreError: the attic does not answer.
        """
        facts = json.dumps(job.facts())
        if job.state is not State.SUCCEEDED:
            return facts.encode()
        result = job.result if job.result is not None else await self._attic.get(_name(job))
        if result is None:
            self._jobs.pop(job.id, None)
            raise UnknownJob(f"the result of job {job.id!r} was dropped to make room; ask again")
        return b"".join((facts[:-1].encode(), b',"result":', result, b"}"))

    async def cancel(self, job: Job) -> None:
        """End an unfinished job as if its client had left; forget a finished one."""
        if job.state not in UNFINISHED:
            self._jobs.pop(job.id, None)
            return
        await _end([job])

    async def close(self) -> None:
        """End every unfinished job; nobody could fetch its result."""
        await _end([job for job in self._jobs.values() if job.state in UNFINISHED])

    async def _finish(self, job: Job, making: asyncio.Future[bytes]) -> None:
        """Wait for a job's answer and keep it."""
        try:
            await self._keep(job, await making)
            job.state = State.SUCCEEDED
        except asyncio.CancelledError:
            making.cancel()
            job.state = State.CANCELLED
        except LightmeterError as error:
            job.problem = self._explain(error)
            job.state = State.FAILED
        except Exception as error:  # noqa: BLE001  (nobody above it: a job ends here, or stays for ever)
            _log.exception("job %s failed", job.id)
            job.problem = self._explain(error)
            job.state = State.FAILED
        finally:
            job.finished, job.ended = time.time(), time.monotonic()
            job.making = None  # it would keep the result, or the frames of what failed, in memory
            self._forget_old()

    async def _keep(self, job: Job, result: bytes) -> None:
        """Keep a result in memory, or in the attic where it does not fit beside the others."""
        held = sum(len(other.result) for other in self._jobs.values() if other.result is not None)
        if held + len(result) <= self._bounds.most_bytes:
            job.result = result
        else:
            await self._attic.put(_name(job), result)

    def _forget_old(self) -> None:
        """Drop finished jobs that are too old or too many, the oldest first."""
        done = [job for job in self._jobs.values() if job.finished is not None]
        done.sort(key=lambda job: job.ended)
        for place, job in enumerate(done):
            too_many = len(done) - place > self._bounds.most
            if too_many or time.monotonic() - job.ended > self._bounds.most_seconds:
                del self._jobs[job.id]


def replica_of(name: str) -> str | None:
    """Tell which replica a job's id names; None where it is no job's id."""
    match = _ID.fullmatch(name)
    return match["replica"] if match else None


def _name(job: Job) -> str:
    return f"{job.id}.json"


async def _end(jobs: list[Job]) -> None:
    """Cancel what is being made and wait until it has ended."""
    for job in jobs:
        if job.making is not None:
            job.making.cancel()
    await asyncio.gather(*(job.task for job in jobs if job.task), return_exceptions=True)


def replica_name(setting: str, host: str) -> str:
    """Name a replica: the setting, or the host's name in the letters that an id may have."""
    plain = re.sub(r"[^a-z0-9]+", "-", host.lower()).strip("-")[:40].strip("-")
    return setting or plain or "replica"
