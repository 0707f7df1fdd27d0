"""The faults: what each does, when it is undone, when the stack is whole again, which alerts it owes."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.chaos.stack import DISK_MIB, SERVERS, Stack, put_clock
from lightmeter import catalog
from lightmeter.catalog import Term, WorkerState


BURN = ("LightmeterErrorBudgetBurn1h", "LightmeterErrorBudgetBurn6h")
MISSING, GPU_DOWN, EXPORTER_DEAD = "LightmeterMetricsMissing", "LightmeterGpuDown", "LightmeterExporterDead"  # fmt: skip
Done = Callable[[], None]


@dataclass(frozen=True)
class Fault:
    """One kind. ``strike`` does it to something, says to what, and returns how it is undone."""

    name: str
    strike: Callable[[Stack, random.Random], tuple[str, Done]]
    must: str = ""
    """The alert that it owes: held until that fires, and not over before that is resolved."""
    may: tuple[str, ...] = ()
    """Alerts that may fire beside it."""
    needs: str = ""
    """What the machine has to permit."""
    kills: bool = False
    """Whether it ends a program that clients are connected to, or that has their jobs."""
    hold: float = 2.0
    """Seconds until it is undone, where no alert is owed."""


def _nothing() -> None:
    pass


def _killed(name: str) -> Callable[[Stack, random.Random], tuple[str, Done]]:
    def strike(stack: Stack, chance: random.Random) -> tuple[str, Done]:
        chosen = chance.choice(SERVERS) if name == "server" else name
        stack.parts[chosen].kill()
        return chosen, stack.parts[chosen].start

    return strike


def _worker(stack: Stack, chance: random.Random) -> psutil.Process | None:
    """Choose a server's process that says it is a worker."""
    name = chance.choice(SERVERS)
    found = [one for one in stack.parts[name].children() if "inference.worker" in _words(one)]
    return chance.choice(found) if found else None


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _kill_worker(stack: Stack, chance: random.Random) -> tuple[str, Done]:
    chosen = _worker(stack, chance)
    if chosen:
        _signal(chosen.pid, signal.SIGKILL)
    return f"process {chosen.pid if chosen else 'none'}", _nothing


def _stop_worker(stack: Stack, chance: random.Random) -> tuple[str, Done]:
    """Stop a worker for longer than its server is patient, or let it go on before."""
    chosen = _worker(stack, chance)
    if not chosen:
        return "none", _nothing
    pid = chosen.pid
    _signal(pid, signal.SIGSTOP)
    return f"process {pid}", lambda: _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _frozen(name: str) -> Callable[[Stack, random.Random], tuple[str, Done]]:
    """Stop a program that keeps its connections: it hears everything and says nothing."""

    def strike(stack: Stack, chance: random.Random) -> tuple[str, Done]:
        chosen = chance.choice(SERVERS) if name == "server" else name
        pid = stack.parts[chosen].pid
        _signal(pid, signal.SIGSTOP)
        return chosen, lambda: _signal(pid, signal.SIGCONT)

    return strike


def _sampler(stack: Stack, chance: random.Random) -> tuple[str, Done]:
    found = stack.parts["exporter"].children()
    if found:
        _signal(chance.choice(found).pid, signal.SIGKILL)
    return f"one of {len(found)}", _nothing


def _hang(stack: Stack, chance: random.Random) -> tuple[str, Done]:
    gpu = chance.randrange(2)
    stack.gpus.hang(gpu)
    return f"GPU {gpu}", lambda: stack.gpus.heal(gpu)


def _fill(stack: Stack, _: random.Random) -> tuple[str, Done]:
    """Write to the disk of a server's data until nothing fits any more."""
    assert stack.disk  # noqa: S101  (needs)
    ballast = stack.disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            for size in (2**20, 2**12, 1):
                _pour(file.fileno(), size)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return f"{DISK_MIB} MiB of r1", ballast.unlink


def _fill_and_kill(stack: Stack, chance: random.Random) -> tuple[str, Done]:
    """Kill a server whose disk is full, and have it start there, as its supervisor would."""
    said, empty = _fill(stack, chance)
    time.sleep(1)
    stack.parts["r1"].kill()
    stack.parts["r1"].start()
    return said, empty


def _pour(file: int, size: int) -> None:
    try:
        while True:
            os.write(file, b"x" * size)
    except OSError as error:
        if error.errno != errno.ENOSPC or size == 1:
            raise


def _lose(stack: Stack, chance: random.Random) -> tuple[str, Done]:
    """Lose a third of the packets from and to a server."""
    name = chance.choice(SERVERS)
    rules = [("INPUT", "0.3"), ("OUTPUT", "0.3")]

    def each(word: str) -> None:
        for chain, share in rules:
            subprocess.run(["ip", "netns", "exec", stack.namespaces[name], "iptables", word, chain, "!", "-i" if chain == "INPUT" else "-o", "lo", "-m", "statistic", "--mode", "random", "--probability", share, "-j", "DROP"], check=True, capture_output=True)  # noqa: S607  # fmt: skip

    each("-A")
    return name, lambda: each("-D")


def _cut(stack: Stack, chance: random.Random) -> tuple[str, Done]:
    """Pull a server's cable: nobody is told anything."""
    name = chance.choice(SERVERS)
    link = f"{stack.namespaces[name]}a"
    subprocess.run(["ip", "link", "set", link, "down"], check=True)  # noqa: S607  (the system's)
    return name, lambda: _up(link)


def _up(link: str) -> None:
    subprocess.run(["ip", "link", "set", link, "up"], check=True)  # noqa: S607  (the system's)


def _jump(stack: Stack, chance: random.Random) -> tuple[str, Done]:
    """Set the clock of the servers and the scaler by hours, and back."""
    clock, hours = stack.clock, chance.choice((-3, -1, 1, 3))
    assert clock  # noqa: S101  (needs)
    put_clock(clock, hours * 3600)
    return f"{hours:+d} h", lambda: _back(clock)


def _back(clock: Path) -> None:
    put_clock(clock, 0)


FAULTS = (
    Fault("server killed", _killed("server"), kills=True, may=(MISSING, *BURN)),
    Fault("server down until it pages", _killed("server"), kills=True, must=MISSING, may=BURN),
    Fault("worker killed", _kill_worker, may=BURN),
    Fault("worker stopped, 1 s", _stop_worker, may=BURN, hold=1.0),
    Fault("worker stopped, 12 s", _stop_worker, may=BURN, hold=12.0),
    Fault("server stopped, 20 s", _frozen("server"), may=(MISSING, *BURN), hold=20.0),
    Fault("scaler stopped, 10 s", _frozen("scaler"), hold=10.0),
    Fault("gateway stopped, 5 s", _frozen("gateway"), may=(MISSING, *BURN), hold=5.0),
    Fault("gateway killed", _killed("gateway"), kills=True, may=(MISSING, *BURN)),
    Fault("scaler killed", _killed("scaler")),
    Fault("sampler killed", _sampler, may=(GPU_DOWN,)),
    Fault("exporter down until it pages", _killed("exporter"), must=EXPORTER_DEAD, may=(GPU_DOWN,)),
    Fault("GPU hangs until it pages", _hang, must=GPU_DOWN, may=("LightmeterExporterStale",)),
    Fault("Prometheus restarted", _killed("prometheus"), may=(MISSING, *BURN)),
    Fault("disk full", _fill, needs="disk", may=BURN, hold=8.0),
    Fault(
        "killed on a full disk",
        _fill_and_kill,
        kills=True,
        needs="disk",
        may=(MISSING, *BURN),
        hold=8.0,
    ),
    Fault("a third of the packets lost", _lose, needs="namespace", may=(MISSING, *BURN), hold=10.0),
    Fault("cable pulled", _cut, needs="namespace", may=(MISSING, *BURN), hold=10.0),
    Fault("clock set by hours", _jump, needs="clock", may=BURN, hold=8.0),
)
BY_NAME = {fault.name: fault for fault in FAULTS}


def whole(stack: Stack) -> bool:
    """Tell whether every program does its work: pictures, readings, decisions, figures."""
    if not stack.whole():
        return False
    ready = [_serving(stack, name) >= 1 for name in SERVERS]
    up = stack.value("exporter", catalog.GPU_UP)
    return all(ready) and up == 2.0 and bool(_decided(stack))


def _serving(stack: Stack, name: str) -> float:
    states = (WorkerState.READY, WorkerState.BUSY)
    return sum(stack.value(name, catalog.WORKERS, state=state) or 0.0 for state in states)


def _decided(stack: Stack) -> bool:
    """Tell whether the scaler's last decision rests on readings."""
    last = stack.json(f"{stack.urls['scaler']}/v1/decisions?last=1").get("decisions") or [{}]
    return last[-1].get("chosen_term") not in {None, Term.STALE}
