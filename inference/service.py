"""The life of a request: admitted, queued, made, encoded, recorded, answered."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import secrets
import time
from datetime import UTC, datetime

from inference import pictures
from inference.instruments import Instruments
from inference.orders import InvalidRequest, Order, read_order
from inference.pool import Pool
from inference.recorder import Recorder
from inference.waiting import Answer, Refused, Ticket, WaitingRoom
from lightmeter.catalog import Outcome, Priority, ShedReason, Stage, WorkerState
from lightmeter.errors import HistoryError, WorkerError
from lightmeter.rows import UsageRow
from lightmeter.settings import Serve


_log = logging.getLogger(__name__)
STARTING_RETRY_SECONDS = 5.0


class JobError(WorkerError):
    """The model could not make the picture."""


class DoesNotFit(WorkerError):  # noqa: N818  (an answer, not a fault)
    """Not even alone does the request fit the device."""


class _Trace:
    """What is known of one request so far; its row is written from here, whatever happens."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.id = f"img_{secrets.token_hex(12)}"
        self.at = datetime.now(UTC)
        self.began = time.monotonic()
        self.order: Order | None = None
        self.ticket: Ticket | None = None
        self.answer: Answer | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def queue_seconds(self) -> float | None:
        if self.ticket is None or self.ticket.started is None:
            return None
        return self.ticket.started - self.ticket.arrived


class ImageService:
    """Everything between the HTTP routes and the workers."""

    def __init__(
        self, settings: Serve, *, model: str, instruments: Instruments, recorder: Recorder
    ) -> None:
        self.settings = settings
        self.model = model
        self.name = settings.service or model
        self.draining = False
        self._instruments = instruments
        self._recorder = recorder
        self._queue = WaitingRoom(settings.queue, settings.batch_penalty)
        self.pool = Pool(settings, self._queue, instruments)
        instruments.watch(self._queue.depth, self.pool.count)

    async def generate(self, body: bytes) -> bytes:
        """Serve one request body; its usage row is on the journal before this returns or raises.

        Raises:
            InvalidRequest: 422. Refused: 429, 503 or 504. WorkerError: the picture was not made.
            HistoryError: the answer cannot be recorded, so it is not given.
        """
        trace = _Trace(self.model)
        outcome = Outcome.ERROR
        with self._instruments.in_flight.track_inprogress():
            try:
                answer = await self._serve(trace, body)
                outcome = Outcome.OK
            except InvalidRequest:
                outcome = Outcome.INVALID
                raise
            except Refused as refusal:
                outcome = Outcome.TIMEOUT if refusal.reason is ShedReason.DEADLINE else Outcome.SHED
                self._instruments.shed(refusal.reason)
                raise
            except DoesNotFit:
                outcome = Outcome.OOM
                raise
            except asyncio.CancelledError:
                outcome = Outcome.CANCELLED
                raise
            finally:
                self._finish(trace, outcome)
        return answer

    def unread(self, outcome: Outcome) -> None:
        """Record a request whose body was not read to its end.

        Raises:
            HistoryError: it cannot be recorded.
        """
        self._finish(_Trace(self.model), outcome)

    def _finish(self, trace: _Trace, outcome: Outcome) -> None:
        seconds = trace.seconds
        priority = trace.order.priority if trace.order else Priority.INTERACTIVE
        try:
            self._recorder.append(self._row(trace, outcome, seconds))
        except HistoryError:
            outcome = Outcome.ERROR
            raise
        finally:
            self._instruments.ended(outcome, priority, seconds)

    async def _serve(self, trace: _Trace, body: bytes) -> bytes:
        order = trace.order = read_order(
            body, self.settings, model=self.model, default_side=self.pool.default_side
        )
        if order:
            self._instruments.offered(order.job)
        self._admit()
        if order is None:
            raise Refused(
                ShedReason.STARTING, "the model is loading; try again", STARTING_RETRY_SECONDS
            )
        ticket = trace.ticket = Ticket(
            order.job, order.priority, trace.began, asyncio.get_running_loop().create_future()
        )
        self._queue.put(ticket)
        answer = trace.answer = await self._result(ticket)
        encoding = time.monotonic()
        shape = (order.job.images, *answer.header["shape"][1:])
        pixels = pictures.from_bytes(answer.payload, shape)
        files = await asyncio.to_thread(pictures.encode, pixels, order.output_format)
        stages = _stages(trace, answer, time.monotonic() - encoding)
        self._instruments.delivered(order.job, stages)
        return _body(trace, order, answer, stages=stages, files=files)

    def _admit(self) -> None:
        """Turn the request away where it cannot be served in time; with the seconds to wait."""
        if self.draining:
            raise Refused(
                ShedReason.DRAINING, "the server is shutting down; ask another replica", 1.0
            )
        if not self.pool.able:
            if self.pool.count(WorkerState.STARTING):
                raise Refused(
                    ShedReason.STARTING, "the model is loading; try again", STARTING_RETRY_SECONDS
                )
            raise Refused(
                ShedReason.NO_WORKER,
                "no worker is running; it is being restarted",
                STARTING_RETRY_SECONDS,
            )
        if self._queue.full:
            wait = self.pool.predicted_wait() / max(len(self._queue), 1)
            raise Refused(
                ShedReason.QUEUE_FULL,
                f"{len(self._queue)} requests are waiting, the most that may; try again",
                math.ceil(max(wait, 1.0)),
            )

    async def _result(self, ticket: Ticket) -> Answer:
        """Wait for the worker's answer, until the deadline or for as long as the client waits."""
        deadline = asyncio.get_running_loop().call_later(
            self.settings.deadline, self._expire, ticket
        )
        try:
            answer = await ticket.future
        except asyncio.CancelledError:
            self._queue.drop(ticket)
            raise
        finally:
            deadline.cancel()
        kind, reason = answer.header["kind"], answer.header.get("error")
        if kind == "oom":
            raise DoesNotFit(
                f"this picture does not fit the device's memory; ask for a smaller size or n ({reason})"
            )
        if kind == "error":
            _log.error("the model failed: %s", reason)
            raise JobError(f"the model could not make this picture ({reason})")
        return answer

    def _expire(self, ticket: Ticket) -> None:
        """Answer a request at its deadline; if it was being made, for nobody else, that ends too."""
        if ticket.future.done():
            return
        self._queue.drop(ticket)
        wait = self.pool.predicted_wait()
        message = f"the picture was not made within the deadline of {self.settings.deadline:g} s"
        refusal = Refused(ShedReason.DEADLINE, message, math.ceil(max(wait, 1.0)))
        ticket.future.set_exception(refusal)

    def _row(self, trace: _Trace, outcome: Outcome, seconds: float) -> UsageRow:
        job = trace.order.job if trace.order else None
        answer = trace.answer
        header = answer.header if answer else {}
        worker = trace.ticket.worker if trace.ticket and answer else {}
        return UsageRow(
            request_id=trace.id,
            arrived_at=trace.at,
            service=self.name,
            model=self.model,
            priority=trace.order.priority if trace.order else None,
            width=job.width if job else None,
            height=job.height if job else None,
            images=job.images if job else None,
            forwards=header.get("forwards"),
            loras=0 if job else None,
            queue_seconds=trace.queue_seconds,
            service_seconds=header.get("gpu_seconds"),
            gpu_seconds=header["gpu_seconds"] * answer.share if answer else None,
            total_seconds=seconds,
            batch_size=answer.batch if answer else None,
            outcome=outcome,
            gpu_uuid=worker.get("gpu_uuid"),
            gpu_name=worker.get("gpu_name"),
            peak_vram_bytes=header.get("peak_vram_bytes"),
        )


def _stages(trace: _Trace, answer: Answer, encode: float) -> dict[Stage, float]:
    """Where the time went; what no stage claims is the unaccounted rest."""
    known = {Stage(name): seconds for name, seconds in answer.header["stages"].items()}
    stages = {Stage.QUEUE: trace.queue_seconds or 0.0, **known, Stage.ENCODE: encode}
    return stages | {Stage.UNACCOUNTED: max(0.0, trace.seconds - sum(stages.values()))}


def _body(
    trace: _Trace, order: Order, answer: Answer, *, stages: dict[Stage, float], files: list[str]
) -> bytes:
    """Build the response; base64 needs no escaping, so megabytes of it skip the JSON encoder."""
    timings = {stage.value: seconds for stage, seconds in stages.items()}
    facts = {
        "id": trace.id,
        "created": int(trace.at.timestamp()),
        "model": trace.model,
        "size": f"{order.job.width}x{order.job.height}",
        "output_format": order.output_format,
        "usage": {
            "gpu_seconds": answer.header["gpu_seconds"] * answer.share,
            "forwards": answer.header["forwards"],
            "batch_size": answer.batch,
        },
        "timings": timings | {"total": trace.seconds},
    }
    data = ",".join(
        f'{{"seed":{order.job.seed + index},"b64_json":"{file}"}}'
        for index, file in enumerate(files)
    )
    return f'{json.dumps(facts)[:-1]},"data":[{data}]}}'.encode()
