"""The process that starts samplers: lean, without threads, and without the driver's library.

It forks one for each GPU when it is told to, so that all share the memory of what they import, and
kills one when it is told to. It never calls the driver itself, so nothing can make it hang, and a
driver that comes or changes is found by the next sampler. Its orders are JSON on a socket, each with
the socket on which the sampler will speak; when the orders end, it ends, and every sampler with it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from exporter import frames, nvml, sampling
from exporter.frames import Json
from lightmeter.catalog import GpuState
from lightmeter.errors import DriverError


SPAWN, KILL, CENSUS = "spawn", "kill", "census"
ORDER_BYTES = 1 << 18
"""Longest order; a memo of hundreds of processes takes a tenth of it."""
_REAP_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1


def serve(fd: int) -> None:
    """Obey the orders that come on a socket until there is nobody left who gives any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the exporter, which ends us
    _name("gpu-samplers")
    nvml.library()
    gc.freeze()
    orders = socket.socket(fileno=fd)
    orders.settimeout(_REAP_SECONDS)
    children: dict[int, str] = {}  # slots by pid: one that is ending has its successor beside it
    while True:
        try:
            text, handed, _, _ = socket.recv_fds(orders, ORDER_BYTES, 1)
        except TimeoutError:
            _reap(children)
            continue
        if not text:
            break
        _obey(frames.loads(text), handed, children, orders)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + _REAP_SECONDS
    while children and time.monotonic() < end:  # one that is stuck in the driver is left to init
        _reap(children)
        time.sleep(0.01)


def _obey(order: Json, handed: list[int], children: dict[int, str], orders: socket.socket) -> None:
    _reap(children)
    slot = str(order["slot"])
    if order["do"] == KILL:
        for pid in (pid for pid, own in children.items() if own == slot):
            os.kill(pid, signal.SIGKILL)
        return
    try:
        pid = _fork()
        if not pid:
            orders.close()
            _live(order, socket.socket(fileno=handed[0]))
        children[pid] = slot
    except OSError as error:
        print(f"no sampler can be started: {error}", file=sys.stderr)  # noqa: T201  (no logging here)
    finally:
        os.close(handed[0])


def _fork() -> int:
    """Fork without Python's hooks, which put locks and threads right: here there is but one thread.

    They would write to 0.3 MiB of every sampler's memory (measured 2026-11).

    Raises:
        OSError: there is no room for another process.
    """
    pid = int(ctypes.PyDLL(None, use_errno=True).fork())
    if pid < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return pid


def _reap(children: dict[int, str]) -> None:
    """Let go of children that have ended; until then their pids cannot be another's."""
    for pid in list(children):
        if os.waitpid(pid, os.WNOHANG)[0]:
            del children[pid]


def _live(order: Json, out: socket.socket) -> NoReturn:
    """Be a sampler: to the end, and never back to where the parent's work is."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _name(f"gpu-{order['slot']}")
    code = 0
    try:
        if order["do"] == CENSUS:
            sampling.census(out)
        else:
            sampling.run(sampling.Spec(**order["spec"]), out)
    except DriverError as error:
        code = _fault(out, error.state, str(error))
    except OSError:
        code = 0  # nobody listens any more
    except Exception as error:  # noqa: BLE001  (a process's edge: whatever it is, say it)
        code = _fault(out, GpuState.ERROR, f"{type(error).__name__}: {error}")
    os._exit(code)


def _fault(out: socket.socket, state: str, detail: str) -> int:
    try:
        sampling.send(out, {"kind": sampling.FAULT, "state": state, "detail": detail})
    except OSError:
        return 0
    return 1


def _name(name: str) -> None:
    """Name this process in lists of processes."""
    with open("/proc/self/comm", "w", encoding="ascii") as comm:  # noqa: PTH123  (pathlib would cost memory)
        comm.write(name)


def order(do: str, slot: str, spec: Any = None) -> bytes:
    """Write an order."""
    return frames.dumps({"do": do, "slot": slot, "spec": spec})


if __name__ == "__main__":
    serve(int(sys.argv[1]))
