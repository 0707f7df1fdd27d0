"""Starts and kills samplers, through the nursery."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

from exporter import nursery


class Starter:
    """The nursery as seen by who gives it orders.

    It is forked off where this process has no other thread yet, which shares the memory of all that
    is imported; otherwise, as after its death, it is a program of its own.

    Raises:
        OSError: there is no room for another process.
    """

    def __init__(self) -> None:
        self.orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.orders.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, nursery.ORDER_BYTES)
        self._program: subprocess.Popen[bytes] | None = None
        self._pid = 0
        with theirs:
            try:
                if threading.active_count() == 1:
                    self._pid = _fork(theirs)
                else:
                    self._program = _program(theirs)
            except OSError:
                self.orders.close()
                raise

    @property
    def closed(self) -> bool:
        """Whether it was ended."""
        return self.orders.fileno() < 0

    def start(self, do: str, slot: str, spec: Any = None) -> socket.socket:
        """Have a process started; return the socket on which it will speak, which ends with it.

        Raises:
            OSError: the nursery is gone, or there are no sockets left.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                order = nursery.order(do, slot, spec)
                socket.send_fds(self.orders, [order], [theirs.fileno()], socket.MSG_NOSIGNAL)
            except OSError:
                ours.close()
                raise
        ours.settimeout(0)
        return ours

    def kill(self, slot: str) -> None:
        """Have a process killed; its socket ends when it is gone.

        Raises:
            OSError: the nursery is gone.
        """
        self.orders.send(nursery.order(nursery.KILL, slot), socket.MSG_NOSIGNAL)

    def close(self) -> None:
        """End the nursery, and with it every sampler."""
        self.orders.close()
        if self._program:
            self._program.wait()
        elif self._pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._pid = 0


def _fork(theirs: socket.socket) -> int:
    gc.collect()
    gc.freeze()  # so that no collection writes to the pages that are shared
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        fd = os.dup2(theirs.fileno(), 3) if theirs.fileno() != 3 else 3  # noqa: PLR2004  (the first after stderr)
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        nursery.serve(fd)
        code = 0
    finally:
        os._exit(code)


def _program(theirs: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  (our own program)
        [sys.executable, "-P", "-m", "exporter.nursery", str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(theirs.fileno(),),
    )
