"""Every request of a run as a line of JSON, written as it ends."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inference.load.drive import Done
from lightmeter.errors import InputError, explain


class Log:
    """A file of requests; made anew, so that a run never mixes with one before."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            InputError: it cannot be written.
        """
        self._path = path
        try:
            self._file = path.open("w", buffering=1, encoding="utf-8")
        except OSError as error:
            raise InputError(f"log {str(path)!r} {explain(error)}; name another --out") from error

    def write(self, done: Done) -> None:
        """Add a request.

        Raises:
            InputError: the disk refuses it.
        """
        try:
            self._file.write(json.dumps(line(done)) + "\n")
        except OSError as error:
            raise InputError(f"log {str(self._path)!r} {explain(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def line(done: Done) -> dict[str, Any]:
    """Lay a request out flat; what is not known is null."""
    ask, facts = done.ask, done.facts
    return {
        "end": done.end,
        "warmup": done.warmup,
        "due_seconds": done.due,
        "sent_seconds": done.sent,
        "ended_seconds": done.ended,
        "latency_seconds": done.ended - done.sent,
        "status": done.status,
        "first_status": done.first_status,
        "retry_after_seconds": done.retry_after,
        "problem": done.problem or facts.message,
        "request_id": facts.request_id,
        "width": facts.width or ask.width,
        "height": facts.height or ask.height,
        "steps": ask.steps,
        "forwards": facts.forwards,
        "priority": ask.priority,
        "pictures": facts.pictures,
        "bytes": done.bytes,
        "batch_size": facts.batch_size,
        "queue_seconds": facts.queue_seconds,
        "gpu_seconds": facts.gpu_seconds,
    }
