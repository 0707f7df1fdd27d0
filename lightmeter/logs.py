"""Log lines, as text or as JSON, with the ids of the request that they belong to.

Lines go to stderr. Standard library only.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Literal


Format = Literal["text", "json"]
_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}
_NOISY = ("asyncio", "httpx", "httpcore", "matplotlib", "PIL", "urllib3", "uvicorn")
"""Libraries of which only warnings matter."""
_NOBODY: Mapping[str, str] = MappingProxyType({})
_current: ContextVar[Mapping[str, str]] = ContextVar("current", default=_NOBODY)
_log = logging.getLogger(__name__)


class JsonFormatter(logging.Formatter):
    """One object a line: time (RFC 3339), level, logger, message; then ids, fields, exception.

    ``extra={"fields": {...}}`` adds fields of a line's own.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_current.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)  # in ASCII: valid whatever stderr can write


def configure(form: Format, *, verbose: bool = False) -> None:
    """Send this process's log lines to stderr in a form; ``verbose`` shows debug lines too.

    As JSON, Python's warnings and uncaught exceptions are lines of the log as well.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(_TEXT))
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, handlers=[handler])
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    if form == "json":
        logging.captureWarnings(capture=True)
        sys.excepthook = _uncaught


def form() -> Format:
    """Tell the form of this process's log lines, so that its children can log alike."""
    formatters = (handler.formatter for handler in logging.getLogger().handlers)
    return "json" if any(isinstance(one, JsonFormatter) for one in formatters) else "text"


def adopt(*libraries: str) -> None:
    """Let libraries that print their own log lines log through ours."""
    for name in libraries:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


class TextFormatter(logging.Formatter):
    """One line for each record; what could end it or move the cursor is written as Python would write it.

    What clients, alerts and targets say stands in messages. Only the traces of exceptions have lines of their own.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (upstream's name)
        """Write what stands before the trace."""
        return super().formatMessage(record).translate(_CONTROLS)


class about:  # noqa: N801  (reads as a word in a with statement)
    """Put ids on every line that is logged inside, in this task and those that it starts."""

    def __init__(self, **ids: str) -> None:
        self._ids = ids

    def __enter__(self) -> None:
        self._token = _current.set(self._ids)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _log.critical("uncaught: %s", kind.__name__, exc_info=(kind, error, trace))
