"""What a client gets back: one JSON body, or server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from inference.money import Price
from inference.visit import Visit


COMPLETED = "image_generation.completed"
PROGRESS = "image_generation.progress"


@dataclass(frozen=True)
class Picture:
    """One picture of an answer: ``value`` is base64 text or an address, as ``field`` says."""

    seed: int
    field: str
    value: str

    @property
    def json(self) -> str:
        """Its JSON; base64 and addresses need no escaping, so megabytes skip the encoder."""
        return f'{{"seed":{self.seed},"{self.field}":"{self.value}"}}'


@dataclass(frozen=True)
class Made:
    """A request that was served."""

    visit: Visit
    facts: dict[str, Any]
    pictures: Sequence[Picture]

    @property
    def body(self) -> bytes:
        """The whole answer, OpenAI-shaped."""
        data = ",".join(picture.json for picture in self.pictures)
        return f'{json.dumps(self.facts)[:-1]},"data":[{data}]}}'.encode()

    @property
    def events(self) -> Iterator[bytes]:
        """The end of a stream: one ``image_generation.completed`` for each picture."""
        for index, picture in enumerate(self.pictures):
            facts = {"type": COMPLETED, "index": index, "created_at": self.facts["created"]}
            text = json.dumps(facts | self.facts)[:-1]
            yield _event(COMPLETED, f"{text},{picture.json[1:]}")


def made(visit: Visit, pictures: Sequence[Picture], price: Price | None) -> Made:
    """Describe a served request."""
    order, answer = visit.order, visit.answer
    if order is None or answer is None:
        raise ValueError("a visit without an answer has no body")
    job = order.job
    timings = {stage.value: seconds for stage, seconds in visit.stages().items()}
    facts: dict[str, Any] = {
        "id": visit.id,
        "created": int(visit.at.timestamp()),
        "model": visit.model,
        "size": f"{job.width}x{job.height}",
        "output_format": order.output_format,
        "usage": {
            "gpu_seconds": visit.gpu_seconds,
            "forwards": answer.header["forwards"],
            "batch_size": answer.batch,
        },
        "timings": timings | {"total": visit.seconds},
    }
    if visit.energy_joules is not None:
        facts["usage"]["energy_joules"] = visit.energy_joules
    if visit.findings:
        facts["quality"] = [finding.facts() for finding in visit.findings]
    if price:
        facts["cost"] = float(price.cost(visit.gpu_seconds or 0.0))
        facts["currency"] = price.currency
    return Made(visit, facts, pictures)


def progress(step: int, steps: int) -> bytes:
    """Tell how far the denoising is."""
    return _event(PROGRESS, json.dumps({"type": PROGRESS, "step": step, "steps": steps}))


def failure(body: dict[str, Any], status: int, retry_after: str | None) -> bytes:
    """End a stream with an error: the body, status and ``Retry-After`` of an error response."""
    told = {"type": "error", **body, "status": status}
    if retry_after is not None:
        told["retry_after"] = int(retry_after)
    return _event("error", json.dumps(told))


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()
