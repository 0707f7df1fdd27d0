"""A command of ours as a child process of ``lightmeter up``, which never outlives it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from lightmeter import logs
from lightmeter.configuration import PREFIX, variable
from lightmeter.errors import InputError, ServerError, explain, port_error
from lightmeter.section import Section


_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 60.0
_TRIES = 50


class Child:
    """``lightmeter serve`` or ``export`` with these settings, its output in a log file."""

    def __init__(self, command: str, settings: Section, logs: Path) -> None:
        """Start it.

        Raises:
            InputError: the log cannot be written.
        """
        self._asked = False
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self.log = logs / f"{command.replace(' ', '-')}-{stamp}-{os.getpid()}.log"
        self._words = [sys.executable, "-P", "-m", "lightmeter.cli", *command.split()]
        self._environment = _environment(command.split(maxsplit=1)[0], settings)
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            output = self.log.open("ab")
        except OSError as error:
            raise InputError(
                f"data folder {str(self.log.parent.parent)!r} {explain(error)}; name another with --data"
            ) from error
        with output:
            return subprocess.Popen(  # noqa: S603  (ourselves)
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is ours to handle
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  (one call to the kernel, no lock)
            )

    def again(self) -> None:
        """Start it once more after it has ended, with the same settings and log.

        Raises:
            InputError: the log cannot be written.
        """
        self._process = self._start()

    def check(self) -> None:
        """Raise what the server said if it has ended.

        Raises:
            InputError: it refused its input. ServerError: it died.
        """
        code = self._process.poll()
        if code is None:
            return
        if code == InputError.exit_code:
            raise InputError(self.last_words)
        raise ServerError(f"the server {self.how}; its log is {self.log}")

    @property
    def how(self) -> str:
        """How it ended: by which signal, or with which code and last words."""
        code = self._process.poll()
        if code is not None and code < 0:
            return f"was ended by {_signal(-code)}"
        return f"ended with code {code}: {self.last_words}"

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._process.poll() is not None

    @property
    def last_words(self) -> str:
        """The last line of its log."""
        lines = self._said() or ["it said nothing"]
        return lines[-1].removeprefix("lightmeter: ")

    def address(self, name: str) -> str | None:
        """Return the address that it has told under a name; None until then."""
        told = (line.split() for line in self._said())
        mine = (words for words in told if words[:1] == [name])
        return next((word for words in mine for word in words if word.startswith("http")), None)

    def _said(self) -> list[str]:
        return self.log.read_text(errors="replace").strip().splitlines()

    def ask_to_end(self) -> None:
        """Ask it to finish what it does; asking again changes nothing."""
        if not self._asked:
            self._asked = True
            self._process.send_signal(signal.SIGTERM)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ask it to finish what it does, and wait for it; after a Ctrl-C meanwhile, end it."""
        self.ask_to_end()
        try:
            self._process.wait(0 if kind is KeyboardInterrupt else _GRACE_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as ended:
            self._process.kill()
            self._process.wait()
            if isinstance(ended, KeyboardInterrupt):
                raise


def _signal(number: int) -> str:
    """Name a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:  # of real time, which have no names
        return f"signal {number}"


def _environment(section: str, settings: Section) -> dict[str, str]:
    """Hand the settled values over as variables; ours are the only ones that count."""
    settled = settings.model_dump(exclude_none=True)
    values = {variable(section, key): str(value) for key, value in settled.items()}
    values[variable("log", "format")] = logs.form()
    return {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)} | values


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port(host: str, wanted: int, option: str, *, move: bool, taken: Iterable[int] = ()) -> int:
    """Return the wanted port if it can be listened on; else, where it may ``move``, a free one.

    ``taken`` are ports already given away.

    Raises:
        PortError: it cannot be listened on and was asked for.
    """
    if wanted in taken and move:
        return free_port(host, 0, option, move=False)
    try:
        return _listened(host, wanted) if wanted else _anywhere(host)
    except OSError as error:
        if not move or error.errno != errno.EADDRINUSE:
            raise port_error(host, wanted, option, error) from error
    return free_port(host, 0, option, move=False)


def _anywhere(host: str) -> int:
    """Choose a port below those that the kernel gives to whoever connects: a part listens only later."""
    for _ in range(_TRIES):
        with contextlib.suppress(OSError):
            return _listened(host, 20_000 + secrets.randbelow(12_000))
    return _listened(host, 0)


def _listened(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as probe:
        return int(probe.getsockname()[1])
