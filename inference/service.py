"""The life of a request: admitted, queued, made, encoded, recorded, answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Iterator

from inference import answers
from inference.admission import STARTING_RETRY_SECONDS, Admission, closing, nobody
from inference.answers import Made
from inference.audience import Audience
from inference.engine import Job
from inference.inside import Inside
from inference.instruments import Instruments
from inference.keys import Keys
from inference.limits import Limits
from inference.making import Shared
from inference.money import Price
from inference.orders import InvalidRequest, Order, read_order
from inference.pool import Pool
from inference.promises import fingerprint
from inference.recorder import Recorder
from inference.shots import Darkroom, Spoiled
from inference.store import PictureStore
from inference.tickets import Answer, DoesNotFit, JobError, Refused, Ticket
from inference.tuner import AutoTuner
from inference.visit import Caller, Visit
from inference.waiting import WaitingRoom
from inference.wake import Waker
from lightmeter import logs
from lightmeter.catalog import Outcome, ShedReason, Stage
from lightmeter.errors import HistoryError, StoreError
from lightmeter.settings import Serve


_log = logging.getLogger(__name__)


class ImageService:
    """Everything between the HTTP routes and the workers."""

    def __init__(
        self,
        settings: Serve,
        *,
        model: str,
        keys: Keys,
        instruments: Instruments,
        recorder: Recorder,
        store: PictureStore,
        darkroom: Darkroom,
    ) -> None:
        self.settings = settings
        self.keys = keys
        self.model = model
        self.name = settings.service or model
        self.limits = Limits.of(settings)
        self.queue = WaitingRoom(self.limits, settings.batch_share)
        self._price = Price.of(settings)
        self._instruments = instruments
        self._recorder = recorder
        self.store = store
        self._darkroom = darkroom
        self._audience = Audience()
        self._shared = Shared(settings, self.queue, self.limits, instruments)
        self.pool = Pool(self._shared)
        self.door = Admission(self.limits, self.queue, self.pool, clock=time.monotonic)
        self.waker = Waker(
            self.limits, self.queue, self.pool, self.door, patience=settings.wake_wait
        )
        self.tuner = AutoTuner(settings, self.limits, self._shared.observed, self.pool)
        self.ready, self.fatal = self._shared.ready, self._shared.fatal
        self.energy = self._shared.energy
        self.inside = Inside(instruments.in_flight)
        self._closed = False
        instruments.watch(
            depth=self.queue.depth,
            workers=self.pool.count,
            users=lambda: self._audience.count(time.monotonic()),
            balance=self.pool.balance,
        )

    async def generate(self, body: bytes, caller: Caller) -> Made:
        """Serve one request body; its usage row is on the journal before this returns or raises.

        Raises:
            InvalidRequest: 422. Refused: 429, 503 or 504. WorkerError: the picture was not made.
            Spoiled: 502, a guard refuses it. DoesNotFit: 507.
            StoreError: the pictures cannot be stored.
            HistoryError: the answer cannot be recorded, so it is not given.
        """
        visit = Visit(self.name, self.model, caller)
        with self.inside.one(), self._recorded(visit):
            return await self._serve(visit, body)

    def unread(self, outcome: Outcome, caller: Caller) -> None:
        """Record a request whose body was not read to its end.

        Raises:
            HistoryError: it cannot be recorded.
        """
        visit = Visit(self.name, self.model, caller)
        visit.outcome = outcome
        self._finish(visit)

    def sent(self, made: Made, seconds: float) -> None:
        """Count a served request, once its answer has left; that took ``seconds``."""
        visit = made.visit
        visit.own_stages[Stage.RESPOND] = seconds
        self._instruments.sent(
            visit.priority,
            visit.seconds,
            alone=visit.alone,
            respond=seconds,
            exemplar=visit.exemplar,
        )

    @contextlib.contextmanager
    def _recorded(self, visit: Visit) -> Iterator[None]:
        """Name the outcome of what happens inside, and record it; its log lines bear its ids."""
        try:
            with logs.about(**visit.ids):
                yield
        except InvalidRequest:
            visit.outcome = Outcome.INVALID
            raise
        except Refused as refusal:
            late = refusal.reason is ShedReason.DEADLINE
            visit.outcome = Outcome.TIMEOUT if late else Outcome.SHED
            self._instruments.shed(refusal.reason)
            raise
        except DoesNotFit:
            visit.outcome = Outcome.OOM
            raise
        except Spoiled:
            visit.outcome = Outcome.ANOMALOUS
            raise
        except StoreError as error:
            _log.error("pictures are not stored: %s", error)
            raise
        except asyncio.CancelledError:
            visit.outcome = Outcome.CANCELLED
            raise
        finally:
            self._finish(visit)

    def _finish(self, visit: Visit) -> None:
        try:
            self._recorder.append(visit.row())
        except HistoryError as error:
            _log.error("request %s is not recorded: %s", visit.id, error)
            visit.outcome = Outcome.ERROR
            raise
        finally:
            self._instruments.ended(visit.outcome)

    async def _serve(self, visit: Visit, body: bytes) -> Made:
        order = await self._understand(visit, body)
        ticket = visit.ticket = self._enqueue(visit, order, body)
        visit.answers.append(await self._result(ticket))
        pictures = await self._darkroom.develop(visit, order, again=self._again)
        visit.outcome = Outcome.ANOMALOUS if visit.anomaly else Outcome.OK
        made = answers.made(visit, pictures, self._price)
        self._instruments.delivered(order.job, visit.stages())
        return made

    async def _understand(self, visit: Visit, body: bytes) -> Order:
        """Check the request, then whether anybody could serve it."""
        order = self._read(visit, body)
        tenant = visit.caller.tenant.name
        user = order.user if order else None
        self._audience.saw(
            (tenant, user) if tenant or user else (visit.caller.address,), visit.began
        )
        self.door.check_open()
        if order is None:
            await self.waker.first()
            order = self._read(visit, body)
        if order is None:
            raise Refused(
                ShedReason.STARTING, "the model is loading; try again", STARTING_RETRY_SECONDS
            )
        misfit = self.pool.misfit(order.job)
        if misfit:
            raise DoesNotFit(misfit)
        return order

    def _read(self, visit: Visit, body: bytes) -> Order | None:
        """Read and count what is asked for; None where that needs a worker that had the model."""
        side = self.pool.default_side
        order = visit.order = read_order(body, self.settings, model=self.model, default_side=side)
        if order:
            self._instruments.offered(order.job)
        return order

    def _enqueue(self, visit: Visit, order: Order, body: bytes) -> Ticket:
        """Take a place in the queue; the one who has to yield for it is answered."""
        caller = visit.caller
        ticket = Ticket(
            order.job,
            order.priority,
            visit.began,
            asyncio.get_running_loop().create_future(),
            tenant=caller.tenant,
            mark=fingerprint(caller.tenant.name, body),
            progress=caller.progress,
        )
        yields = self.door.admit(ticket)
        self.waker.call()
        if yields:
            self.queue.dismiss(yields, self.door.refuse(yields))
        self.queue.put(ticket)
        self.waker.watch(ticket)
        if caller.progress:
            caller.progress(0, order.job.steps)
        return ticket

    async def _again(self, visit: Visit, job: Job) -> Answer:
        """Have one more job of an accepted request made, at the head of its tenant's line.

        Raises:
            Refused: nobody is left to make it.
        """
        if self._closed or not (self.pool.workers or self.door.wakes):
            raise closing() if self._closed else nobody()
        priority, tenant = visit.priority, visit.caller.tenant
        future = asyncio.get_running_loop().create_future()
        ticket = Ticket(job, priority, visit.began, future, tenant=tenant)
        queued = time.monotonic()
        self.waker.call()
        self.queue.put(ticket)
        self.waker.watch(ticket)
        answer = await self._result(ticket)
        visit.spent(Stage.QUEUE, (ticket.started or queued) - queued)
        visit.answers.append(answer)
        return answer

    async def _result(self, ticket: Ticket) -> Answer:
        """Wait for the worker's answer, until the deadline or for as long as the client waits.

        Raises:
            InvalidRequest, DoesNotFit, JobError: it says that there will be no picture.
        """
        left = ticket.arrived + self.settings.deadline - time.monotonic()
        deadline = asyncio.get_running_loop().call_later(left, self._expire, ticket)
        try:
            answer = await ticket.future
        except asyncio.CancelledError:
            self.queue.drop(ticket)
            raise
        finally:
            deadline.cancel()
        kind, reason = answer.header["kind"], answer.header.get("error")
        if kind == "oom":
            advice = "it does not fit the device's memory; ask for a smaller size or n"
            raise DoesNotFit(self.pool.misfit(ticket.job) or f"{advice} ({reason})")
        if kind == "refused":  # a LoRA is the one thing that is looked at there
            raise InvalidRequest("lora", str(reason))
        if kind == "error":
            _log.error("the model failed: %s", reason)
            raise JobError(f"the model could not make this picture ({reason})")
        return answer

    def _expire(self, ticket: Ticket) -> None:
        """Answer a request at its deadline."""
        message = f"the picture was not made within the deadline of {self.settings.deadline:g} s"
        wait = math.ceil(max(self.pool.predicted_wait, 1.0))
        self.queue.dismiss(ticket, Refused(ShedReason.DEADLINE, message, wait))

    def hurry(self, seconds: float) -> None:
        """End: let nobody in, and turn away those who could not be served within ``seconds``."""
        self.door.draining = True
        ahead = self.pool.predicted_wait
        for ticket in reversed(list(self.queue)):
            if ahead <= seconds:
                break
            ahead -= self._shared.pace.predict(ticket) / self.pool.hands
            self.queue.dismiss(ticket, closing())

    def close(self) -> None:
        """Turn away whoever is not served yet, for good."""
        self._closed = True
        for ticket in [*self.queue, *self.queue.running]:
            self.queue.dismiss(ticket, closing())
