"""Tuning at work: a running server's advice, applied where that is asked for; and a trial run."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from inference.engine import Job, warmup_job
from inference.instruments import Instruments
from inference.limits import Limits, LimitsChange
from inference.making import Shared
from inference.pool import Pool
from inference.tickets import Ticket
from inference.tuning import Advice, Fit, Observed, fit, recommend
from inference.waiting import WaitingRoom
from lightmeter.catalog import Priority
from lightmeter.errors import WorkerError
from lightmeter.settings import Serve


_log = logging.getLogger(__name__)
EVERY_SECONDS = 30.0
LEAST_SIZES = 2
"""Batch sizes that must have been seen before a running server gives advice."""
_ROUNDS = 3


class AutoTuner:
    """Looks at the real batches of a running server every half minute.

    A change of advice is logged; with ``auto_tune`` it becomes the batch limit, never above the
    ``batch`` setting or what an operator has set since, and is recorded in ``DATA/tuning.jsonl``.
    """

    def __init__(self, settings: Serve, limits: Limits, observed: Observed, pool: Pool) -> None:
        self._settings = settings
        self._limits = limits
        self._observed = observed
        self._pool = pool
        self._last: int | None = None
        self._most = self._set = limits.batch

    async def run(self) -> None:
        """Give advice for ever."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            self.look()

    def look(self) -> Advice | None:
        """Give advice where there is enough to go by; apply it where that is wanted."""
        if self._limits.batch != self._set:  # by an operator, who is not to be overruled
            self._most = self._set = self._limits.batch
        points = dict(self._observed.busiest)
        if len(points) < LEAST_SIZES:
            return None
        advice = recommend(
            fit(points),
            target=self._settings.latency_target,
            most=self._most,
            workers=max(1, self._pool.able),
        )
        if advice.batch != self._last:
            self._last = advice.batch
            _log.info("tuning: batch %d is advised: %s", advice.batch, advice.reason)
        if self._settings.auto_tune and advice.batch != self._limits.batch:
            self._apply(advice, points)
        return advice

    def _apply(self, advice: Advice, points: dict[int, float]) -> None:
        record = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "limit": "batch",
            "from": self._limits.batch,
            "to": advice.batch,
            "reason": advice.reason,
            "seconds_by_pictures": points,
        }
        _append(self._settings.data / "tuning.jsonl", record)
        self._limits.change(LimitsChange.model_validate({"batch": advice.batch}), "auto-tune")
        self._set = advice.batch


def _append(path: Path, record: dict[str, object]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
    except OSError as error:
        _log.warning("tuning record %s cannot be written: %s", path, error)


@dataclass(frozen=True)
class Trial:
    """What a trial run found: seconds by pictures in a batch, the fit, the advice."""

    shape: str
    seconds_by_pictures: dict[int, float]
    fit: Fit
    advice: Advice

    def as_json(self) -> dict[str, object]:
        """Return it ready for `json.dumps`."""
        return dataclasses.asdict(self)


async def trial(settings: Serve, model: str) -> Trial:
    """Load the model in one worker, make batches of 1, 2, 4, ... pictures and advise.

    Raises:
        ModelError, WorkerError: the model cannot be loaded or made to work.
    """
    limits = Limits.of(settings)
    room = WaitingRoom(limits, settings.batch_share)
    one = settings.model_copy(update={"workers": 1})
    watcher = Instruments(CollectorRegistry(), settings.service or model, model)
    shared = Shared(one, room, limits, watcher)
    pool = Pool(shared)
    pool.start()
    try:
        await _loaded(shared)
        side = pool.default_side or 0
        points: dict[int, float] = {}
        for size in _sizes(settings.batch):
            limits.batch = size
            seconds = await _best(room, _job(settings, side), size)
            if seconds is None:
                break
            points[size] = seconds
    finally:
        await pool.stop()
    found = fit(points)
    whole = len(points) == len(_sizes(settings.batch))
    most = settings.batch if whole else max(points)
    advice = recommend(
        found, target=settings.latency_target, most=most, workers=max(1, settings.workers)
    )
    return Trial(f"{side}x{side}, {settings.steps} steps", points, found, advice)


async def _loaded(shared: Shared) -> None:
    ready = asyncio.ensure_future(shared.ready.wait())
    shared.fatal.add_done_callback(lambda _: ready.cancel())
    await asyncio.wait([ready])
    if shared.fatal.done():
        shared.fatal.result()


def _sizes(most: int) -> list[int]:
    sizes = [2**power for power in range(most.bit_length()) if 2**power <= most]
    return sizes if sizes[-1] == most else [*sizes, most]


async def _best(room: WaitingRoom, job: Job, size: int) -> float | None:
    """Make a batch of ``size`` pictures a few times; return the least seconds that it took.

    None where they were not made in one batch, as the device has not the memory.

    Raises:
        WorkerError: the model could not make them.
    """
    seconds = []
    for _ in range(_ROUNDS):
        began = time.monotonic()
        tickets = [_ticket(dataclasses.replace(job, seed=seed)) for seed in range(size)]
        for ticket in tickets:
            room.put(ticket)
        for answer in await asyncio.gather(*(ticket.future for ticket in tickets)):
            if answer.header["kind"] != "result":
                raise WorkerError(f"the trial picture was not made: {answer.header['error']}")
            if answer.batch < size:
                return None
        seconds.append(time.monotonic() - began)
    return min(seconds)


def _job(settings: Serve, side: int) -> Job:
    return dataclasses.replace(warmup_job(side, settings.steps), prompt="a red fox in snow")


def _ticket(job: Job) -> Ticket:
    future = asyncio.get_running_loop().create_future()
    return Ticket(job, Priority.INTERACTIVE, time.monotonic(), future)
