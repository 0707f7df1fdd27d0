"""One request on its way through the server: who asked, what for, and what became of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from inference.guards import Finding
from inference.keys import ANYONE, Tenant
from inference.orders import Order
from inference.tickets import Answer, Ticket
from inference.tracing import Facts, TraceContext
from lightmeter.catalog import Anomaly, Outcome, Priority, Stage
from lightmeter.rows import UsageRow


_NAME_DIGITS, _NAMES_AT_ONCE = 24, 256
Progress = Callable[[int, int], None]
"""Told (steps done, steps in all): (0, n) once the request is accepted, then after each step."""


def _unguessable() -> Iterator[str]:
    """Yield names that nobody can guess; the kernel, which may take its time, is asked for many at once."""
    while True:
        digits = secrets.token_hex(_NAMES_AT_ONCE * _NAME_DIGITS // 2)
        for begin in range(0, len(digits), _NAME_DIGITS):
            yield digits[begin : begin + _NAME_DIGITS]


_names = _unguessable()


@dataclass
class Passage:
    """A request from its first line to the last byte of its answer, and the visit once there is one."""

    trace: TraceContext
    method: str
    path: str
    began: float = field(default_factory=time.monotonic)
    status: int = 500
    """Of the answer; where we have none the framework answers with this one."""
    visit: Visit | None = None


@dataclass(frozen=True)
class Caller:
    """Who asks, on what way, and who wants to hear how it goes."""

    tenant: Tenant = ANYONE
    address: str = ""
    progress: Progress | None = None
    passage: Passage | None = None
    base: str = ""
    """How the caller reached us, the beginning of the addresses in its answer."""


class Visit:
    """What is known of one request so far; its row is written from here, whatever happens."""

    def __init__(self, service: str, model: str, caller: Caller) -> None:
        self.service = service
        self.model = model
        self.caller = caller
        self.id = f"img_{next(_names)}"
        self.at = datetime.now(UTC)
        self.began = time.monotonic()
        self.outcome = Outcome.ERROR
        self.order: Order | None = None
        self.ticket: Ticket | None = None
        self.answers: list[Answer] = []
        """The worker's answers: one, and one more for each picture that was made again."""
        self.findings: list[Finding] = []
        """What the guards saw, by picture."""
        self.own_stages: dict[Stage, float] = {}
        """Seconds of the stages that this process does itself."""
        self._row: UsageRow | None = None
        if caller.passage:
            caller.passage.visit = self

    @property
    def seconds(self) -> float:
        """Seconds since the request arrived."""
        return time.monotonic() - self.began

    @property
    def priority(self) -> Priority:
        """The priority asked for; interactive where the request was never understood."""
        return self.order.priority if self.order else Priority.INTERACTIVE

    @property
    def queue_seconds(self) -> float | None:
        """Seconds that it waited for a worker; None where it never got one."""
        if self.ticket is None or self.ticket.started is None:
            return None
        return self.ticket.started - self.ticket.arrived

    @property
    def batch_wait(self) -> float:
        """Seconds that others of its batch were made before it, as not all fitted at once."""
        ticket = self.ticket
        if ticket is None or ticket.started is None or ticket.attempted is None:
            return 0.0
        return max(0.0, ticket.attempted - ticket.started)

    @property
    def alone(self) -> float | None:
        """Seconds that it would have taken a worker that did nothing else; None where unknown."""
        return self.ticket.alone if self.ticket else None

    @property
    def answer(self) -> Answer | None:
        """The worker's first answer; None where there was none."""
        return self.answers[0] if self.answers else None

    @property
    def gpu_seconds(self) -> float | None:
        """Its own share of the device time; None where there was none."""
        return sum(answer.gpu_seconds for answer in self.answers) if self.answers else None

    @property
    def energy_joules(self) -> float | None:
        """Its own share of the GPU's energy; None where that is not known."""
        shares = [answer.energy_joules for answer in self.answers]
        known = [joules for joules in shares if joules is not None]
        return sum(known) if known and len(known) == len(shares) else None

    @property
    def anomaly(self) -> Anomaly | None:
        """The first fault that a guard saw in its pictures."""
        return next((kind for finding in self.findings for kind in finding.anomalies), None)

    def spent(self, stage: Stage, seconds: float) -> None:
        """Count time that this process took for a stage."""
        self.own_stages[stage] = self.own_stages.get(stage, 0.0) + seconds

    @property
    def trace(self) -> TraceContext | None:
        """Its place in a trace; None where it did not come over HTTP."""
        return self.caller.passage.trace if self.caller.passage else None

    @property
    def exemplar(self) -> dict[str, str] | None:
        """What a latency bucket remembers of it."""
        return self.trace.exemplar if self.trace else None

    @property
    def ids(self) -> dict[str, str]:
        """What every log line about it carries."""
        return {"request_id": self.id} | (self.trace.ids if self.trace else {})

    def stages(self) -> dict[Stage, float]:
        """Where the time went; what no stage claims is the unaccounted rest."""
        stages = {Stage.QUEUE: self.queue_seconds or 0.0, Stage.BATCH_WAIT: self.batch_wait}
        made = (answer.header["stages"] for answer in self.answers)
        for part in (*made, self.own_stages):
            for stage, seconds in part.items():
                stages[stage] = stages.get(stage, 0.0) + seconds
        return stages | {Stage.UNACCOUNTED: max(0.0, self.seconds - sum(stages.values()))}

    def row(self) -> UsageRow:
        """Build the usage row."""
        job = self.order.job if self.order else None
        answer = self.answer
        header = answer.header if answer else {}
        worker = self.ticket.worker if self.ticket and answer else {}
        self._row = UsageRow(
            request_id=self.id,
            arrived_at=self.at,
            service=self.service,
            model=self.model,
            tenant=self.caller.tenant.name,
            priority=self.order.priority if self.order else None,
            width=job.width if job else None,
            height=job.height if job else None,
            images=job.images if job else None,
            forwards=header.get("forwards"),
            loras=int(job.lora is not None) if job else None,
            queue_seconds=self.queue_seconds,
            service_seconds=header.get("gpu_seconds"),
            gpu_seconds=self.gpu_seconds,
            total_seconds=self.seconds,
            batch_size=answer.batch if answer else None,
            outcome=self.outcome,
            gpu_uuid=worker.get("gpu_uuid"),
            gpu_name=worker.get("gpu_name"),
            peak_vram_bytes=header.get("peak_vram_bytes"),
            energy_joules=self.energy_joules,
            anomaly=self.anomaly,
        )
        return self._row

    def facts(self, passage: Passage) -> Facts:
        """Sum it up for a trace, once the answer has left."""
        job = self.order.job if self.order else None
        header = self.answer.header if self.answer else {}
        return Facts(
            row=self._row or self.row(),
            method=passage.method,
            path=passage.path,
            status=passage.status,
            outcome=self.outcome,
            seconds=self.seconds,
            reading=self.began - passage.began,
            seed=job.seed if job else None,
            stages=self.stages() if self.answer else self._waited(),
            steps=header.get("steps", ()),
        )

    def _waited(self) -> dict[Stage, float]:
        """Seconds in the queue of a request that got no answer from a worker."""
        if self.ticket is None:
            return {}
        return {Stage.QUEUE: (self.ticket.started or time.monotonic()) - self.ticket.arrived}
