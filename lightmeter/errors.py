"""Everything that lightmeter raises on purpose.

::

    LightmeterError
    ├── InputError            exit code 2: bad usage or bad input
    │   ├── SettingError      a setting that is unknown or has an unusable value
    │   ├── PortError         an address that cannot be listened on
    │   ├── ModelError        a model that is no pipeline, or cannot be loaded
    │   ├── HistoryError      usage history that is missing, unreadable or wrong
    │   ├── WebConfigError    a web configuration file that cannot be used
    │   ├── RuleError         objectives or rules that cannot be used
    │   ├── DashboardError    a dashboard that cannot be read or written
    │   ├── WebhookError      a message of Alertmanager that cannot be read
    │   ├── ScaleError        a scaling policy, trace or decision that cannot be used
    │   ├── QueryError        an expression of PromQL that cannot be evaluated
    │   ├── PriceError        a price table or SKU that cannot be used
    │   └── PlanError         a question that the planner cannot answer as asked
    └── OutsideError          exit code 3: something outside failed
        ├── ServerError       a server that we depend on is gone or refuses
        ├── StoreError        the picture store is gone or refuses
        ├── TargetError       what is scaled cannot be asked, or refuses
        ├── AuditError        a decision cannot be written down
        ├── WorkerError       a worker process died or could not do its work
        └── DriverError       the NVIDIA driver, or a GPU, does not answer

A message says what is wrong, the value, and what to do, on one line.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class LightmeterError(Exception):
    """Base of all errors raised on purpose; ``exit_code`` is what the command ends with."""

    exit_code = 1


class InputError(LightmeterError):
    """Bad usage or bad input."""

    exit_code = 2


class SettingError(InputError):
    """A setting is unknown or has an unusable value."""


class PortError(InputError):
    """An address cannot be listened on."""


class ModelError(InputError):
    """A model is no pipeline, or cannot be loaded."""


class HistoryError(InputError):
    """Usage history is missing, unreadable or wrong."""


class WebConfigError(InputError):
    """A web configuration file cannot be used."""


class RuleError(InputError):
    """Objectives or rules cannot be used."""


class DashboardError(InputError):
    """A dashboard cannot be read or written."""


class WebhookError(InputError):
    """A message of Alertmanager cannot be read."""


class ScaleError(InputError):
    """A scaling policy is unknown, a trace cannot be simulated, or a decision cannot be read."""


class QueryError(InputError):
    """An expression of PromQL cannot be evaluated."""


class PriceError(InputError):
    """A price table or SKU cannot be used."""


class PlanError(InputError):
    """The planner cannot answer the question as asked."""


class OutsideError(LightmeterError):
    """Something outside lightmeter failed."""

    exit_code = 3


class ServerError(OutsideError):
    """A server that we depend on is gone or refuses."""


class StoreError(OutsideError):
    """The picture store is gone or refuses."""


class TargetError(OutsideError):
    """What is scaled cannot be asked, or refuses; ``answer`` is the catalogue's word for how."""

    def __init__(self, message: str, answer: str = "failed") -> None:
        super().__init__(message)
        self.answer = answer


class AuditError(OutsideError):
    """A decision cannot be written down."""


class WorkerError(OutsideError):
    """A worker process died or could not do its work."""


class DriverError(OutsideError):
    """The NVIDIA driver, or a GPU, does not answer; ``state`` is the catalogue's word for why."""

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state = state


_BY_ERRNO: dict[int, str] = {
    errno.ENOENT: "does not exist",
    errno.EACCES: "may not be read or written by this user",
    errno.EPERM: "may not be read or written by this user",
    errno.EEXIST: "is a file, not a folder",
    errno.EISDIR: "is a folder, not a file",
    errno.ENOTDIR: "is a file, not a folder",
    errno.EADDRINUSE: "is already in use",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
    errno.ENOSPC: "is on a full disk",
    errno.EROFS: "is on a read-only disk",
}


def explain(error: OSError) -> str:
    """Say in words what the operating system refused, for use after the thing's name."""
    return _BY_ERRNO.get(error.errno or 0, f"failed: {error.strerror or error}")


def printable(text: str) -> str:
    """Write what would move a terminal, or end a line, as `repr` does."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def port_error(host: str, port: int, option: str, error: OSError) -> PortError:
    """Say why an address cannot be listened on, and which option would help."""
    at_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
    advice = f"give another {option}, or 0 for a free one" if at_port else "give another --host"
    return PortError(f"address {host}:{port} {explain(error)}; {advice}")
