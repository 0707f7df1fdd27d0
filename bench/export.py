"""The exporter beside two others, on GPUs that are functions of the clock, so that the truth is known.

The peers are nvitop-exporter (``--nvitop`` names its program, which has an environment of its own) and
one that forks nvidia-smi for each scrape (`bench/smi_exporter.py`). All run on the stand-in for the
driver's library (tests/nvml): 8 GPUs with 4 processes each, whose calls cost next to nothing; a real
driver adds its own time to each of them.

- ``bursts``: a second of work in every 15, scraped every 15 s, and spikes of memory of 120 ms.
- ``idle``: nobody asks. Memory is the PSS of all processes of an exporter.
- ``scrapes``: one after the other.
- ``hang``: one GPU hangs for a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench import common


common.support()
from support.nvml import FakeNvml, Wave  # noqa: E402  (found only after the line above)


GPUS, PROCESSES, SCRAPE_SECONDS, SCRAPES = 8, 4, 15, 200
BASE_MIB, SPIKE_MIB, SPIKE_SECONDS = 10_000, 49_392, 0.12
HUNG, HANG_SECONDS = 3, 60.0
BUSY = 'lightmeter_gpu_busy_seconds_total{gpu="%d"'
AGE = 'lightmeter_exporter_sample_age_seconds{gpu="%d"'
UP = 'lightmeter_gpu_up{gpu="%d"'
Row = dict[str, Any]


@dataclass
class Contender:
    """A running exporter; ``names`` are its gauges of utilisation and of used MiB."""

    name: str
    process: psutil.Process
    port: int
    names: tuple[str, str]

    def scrape(self, seconds: float = 20.0) -> tuple[float, str]:
        """Ask it; return how long it took and the page.

        Raises:
            OSError: it did not answer in time.
        """
        begin = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        return time.perf_counter() - begin, text

    def cpu(self) -> float:
        """CPU seconds of all its processes, those that it has seen end too."""
        own = [self.process, *self.process.children(recursive=True)]
        total = 0.0
        for one in own:
            with contextlib.suppress(OSError):
                total += _precise(one.pid)
        times = self.process.cpu_times()
        return total + times.children_user + times.children_system

    def pss(self) -> float:
        """Proportional memory of all its processes, MiB."""
        found = [self.process, *self.process.children(recursive=True)]
        return sum(one.memory_full_info().pss for one in found) / 2**20


def _precise(pid: int) -> float:
    """CPU seconds of a process, its ended threads too; psutil knows only hundredths.

    The clock's number is what clock_getcpuclockid(3) returns on Linux.
    """
    return time.clock_gettime((~pid << 3) | 2)


def values(text: str, prefix: str) -> list[float]:
    """Find the values of a metric, in the order of the page."""
    return [float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(prefix)]


def main() -> None:
    """Measure what is asked for."""
    args = _arguments()
    rows: dict[str, Row] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fake = _machine(folder, stack)
        contenders = [stack.enter_context(start) for start in _starts(fake, folder, args.nvitop)]
        time.sleep(3)
        for contender in contenders:
            rows[contender.name] = {"exporter": contender.name}
        for part in ("bursts", "idle", "scrapes", "hang"):
            if part in args.parts:
                PARTS[part](fake, contenders, rows, args.minutes)
    about = common.machine("nvidia-ml-py") | {"load": f"{os.getloadavg()[2]:.1f}"}
    filled = {key: None for row in rows.values() for key in row}
    table = [filled | row for row in rows.values()]
    common.finish(args, about, table, list(_missed(rows)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--nvitop", default=shutil.which("nvitop-exporter"), help="its program")
    parser.add_argument("--minutes", type=float, default=4.0, help="length of the run with bursts")
    parser.add_argument("parts", nargs="*", default=["bursts", "idle", "scrapes", "hang"])
    return parser.parse_args()


def _machine(folder: Path, stack: contextlib.ExitStack) -> FakeNvml:
    fake = FakeNvml(folder, GPUS)
    fake.set("*", "vram", BASE_MIB)
    for gpu in range(GPUS):
        for _ in range(PROCESSES):
            user = stack.enter_context(subprocess.Popen(["sleep", "infinity"]))  # noqa: S607  (the system's)
            stack.callback(user.kill)
            fake.add(gpu, "process", user.pid, 2000, 1 / PROCESSES)
    return fake


def _starts(
    fake: FakeNvml, folder: Path, nvitop: str | None
) -> Iterator[contextlib.AbstractContextManager[Contender]]:
    yield _run(fake, "lightmeter", lambda port: [common.LIGHTMETER, "export", "--port", str(port)],
               ("DCGM_FI_DEV_GPU_UTIL{", "DCGM_FI_DEV_FB_USED{"))  # fmt: skip
    if nvitop:
        yield _run(fake, "nvitop-exporter", lambda port: [nvitop, "--bind-address", "127.0.0.1", "--port", str(port)],
                   ("gpu_utilization_Percentage{", "gpu_memory_used_MiB{"))  # fmt: skip
    smi = folder / "nvidia-smi"
    subprocess.run(["cc", "-O1", "-o", smi, common.ROOT / "bench" / "nvidia_smi.c", "-ldl"], check=True)  # noqa: S607  (the system's)  # fmt: skip
    script = common.ROOT / "bench" / "smi_exporter.py"
    yield _run(fake, "nvidia-smi for each scrape", lambda port: [sys.executable, str(script), str(port), str(smi)],
               ("nvidia_smi_utilization_gpu{", "nvidia_smi_memory_used_mib{"))  # fmt: skip


@contextlib.contextmanager
def _run(
    fake: FakeNvml, name: str, command: Callable[[int], list[str]], names: tuple[str, str]
) -> Iterator[Contender]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        command(port),
        env=os.environ | fake.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        contender = Contender(name, psutil.Process(process.pid), port, names)
        _wait(contender)
        yield contender
        process.terminate()


def _wait(contender: Contender) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if values(contender.scrape()[1], contender.names[0]):
                return
        time.sleep(0.1)
    raise SystemExit(f"{contender.name} does not answer")


def bursts(
    fake: FakeNvml, contenders: list[Contender], rows: dict[str, Row], minutes: float
) -> None:
    """Scrape in step with the bursts, halfway between two."""
    burst = Wave(SCRAPE_SECONDS, 1.0)
    fake.set("*", "busy", burst)
    fake.set("*", "spike", Wave(SCRAPE_SECONDS, SPIKE_SECONDS, phase=3.0, level=SPIKE_MIB))
    pages: dict[str, list[tuple[float, str]]] = {one.name: [] for one in contenders}
    for _ in range(round(minutes * 60 / SCRAPE_SECONDS) + 1):
        time.sleep((7.5 - time.time()) % SCRAPE_SECONDS)
        for one in contenders:
            pages[one.name].append((time.time(), one.scrape()[1]))
    truth = 100 * burst.length / burst.period
    for one in contenders:
        seen = [_utilisation(one, pages[one.name], gpu) for gpu in range(GPUS)]
        rows[one.name]["utilisation, %"] = statistics.mean(seen)
        rows[one.name]["worst error, points"] = max(abs(value - truth) for value in seen)
        rows[one.name]["spikes seen, of 8"] = _spikes(one, [text for _, text in pages[one.name]])


def _utilisation(one: Contender, pages: list[tuple[float, str]], gpu: int) -> float:
    """Tell what a query over the run says, percent: a rate where there is a counter, else a mean."""
    if one.name != "lightmeter":
        return statistics.mean(values(text, one.names[0])[gpu] for _, text in pages)
    (begin, first), (end, last) = pages[0], pages[-1]
    busy = values(last, BUSY % gpu)[0] - values(first, BUSY % gpu)[0]
    return 100 * busy / (end - begin)


def _spikes(one: Contender, pages: list[str]) -> int:
    """Count the GPUs of which any page shows a spike."""
    name, unit = (one.names[1], 1) if one.name != "lightmeter" else ("lightmeter_gpu_memory_used_peak_bytes{", 2**20)  # fmt: skip
    high = (BASE_MIB + SPIKE_MIB) * unit
    return sum(any(values(text, name)[gpu] >= high for text in pages) for gpu in range(GPUS))


def idle(fake: FakeNvml, contenders: list[Contender], rows: dict[str, Row], _: float) -> None:
    """Leave them alone for half a minute."""
    fake.set("*", "busy", Wave(7, 1))
    begin, before = time.monotonic(), [one.cpu() for one in contenders]
    time.sleep(30)
    for one, was in zip(contenders, before, strict=True):
        rows[one.name]["idle CPU, % of a core"] = 100 * (one.cpu() - was) / (time.monotonic() - begin)  # fmt: skip
        rows[one.name]["PSS, MiB"] = one.pss()


def scrapes(_: FakeNvml, contenders: list[Contender], rows: dict[str, Row], __: float) -> None:
    """Scrape each as fast as it answers; what it costs anyway is not the scrapes'."""
    for one in contenders:
        one.scrape()
        begin, was = time.monotonic(), one.cpu()
        time.sleep(10)
        rate = (one.cpu() - was) / (time.monotonic() - begin)
        begin, was = time.monotonic(), one.cpu()
        answers = [one.scrape() for _ in range(SCRAPES)]
        spent = one.cpu() - was - rate * (time.monotonic() - begin)
        times = sorted(seconds for seconds, _ in answers)
        rows[one.name]["scrape p50, ms"] = 1e3 * statistics.median(times)
        rows[one.name]["scrape p99, ms"] = 1e3 * times[int(0.99 * len(times))]
        rows[one.name]["CPU for a scrape, ms"] = 1e3 * spent / SCRAPES
        page = [line for line in answers[-1][1].splitlines() if line and line[0] != "#"]
        rows[one.name]["series"] = len(page)


def hang(fake: FakeNvml, contenders: list[Contender], rows: dict[str, Row], _: float) -> None:
    """Let a GPU hang, and scrape every second; power that rises and falls shows who is alive."""
    fake.set("*", "busy", Wave(4, 2))
    fake.hang(HUNG)
    found: dict[str, list[tuple[float, str]]] = {one.name: [] for one in contenders}
    ending = threading.Event()

    def follow(one: Contender) -> None:
        while not ending.wait(1.0):
            begin = time.perf_counter()
            try:
                found[one.name].append(one.scrape())
            except OSError:
                found[one.name].append((time.perf_counter() - begin, ""))

    with ThreadPoolExecutor(len(contenders)) as pool:
        for one in contenders:
            pool.submit(follow, one)
        time.sleep(HANG_SECONDS)
        ending.set()
        fake.heal(HUNG)
    for one in contenders:
        _judge(one, found[one.name], rows[one.name])
    rows["lightmeter"]["back, s"] = _recovery(contenders[0])


def _judge(one: Contender, pages: list[tuple[float, str]], row: Row) -> None:
    times = sorted(seconds for seconds, _ in pages)
    row["one hung: p99, ms"] = 1e3 * times[min(len(times) - 1, int(0.99 * len(times)))]
    late = [text for _, text in pages[len(pages) // 4 :]]
    others = [gpu for gpu in range(GPUS) if gpu != HUNG]
    shown = [{_of_gpu(text, one.names[0], gpu) for text in late} - {None} for gpu in others]
    row["one hung: others alive, of 7"] = sum(len(seen) > 1 for seen in shown)
    if one.name == "lightmeter":
        ages = [max(values(text, AGE % gpu)[0] for gpu in range(GPUS) if gpu != HUNG) for text in late]  # fmt: skip
        row["one hung: oldest of the others, s"] = max(ages)
        up = [line for line in late[-1].splitlines() if line.startswith(UP % HUNG)]
        row["one hung: said of it"] = re.sub(r".*reason=\"(\w+)\".* (\d)$", r"up \2, \1", up[0])
    else:
        row["one hung: said of it"] = "nothing"


def _of_gpu(text: str, prefix: str, gpu: int) -> float | None:
    """Find a GPU's utilisation on a page; None where it is not there."""
    for line in text.splitlines():
        if line.startswith(prefix) and re.search(rf'(gpu|index)="{gpu}"', line):
            return float(line.rsplit(" ", 1)[1])
    return None


def _recovery(one: Contender) -> float:
    """Wait until every GPU is up; return the seconds."""
    begin = time.monotonic()
    while values(one.scrape()[1], UP % HUNG) != [1.0]:
        time.sleep(0.1)
    return time.monotonic() - begin


def _missed(rows: dict[str, Row]) -> Iterator[str]:
    """Say which of the targets are missed."""
    ours = rows["lightmeter"]
    most = {
        "worst error, points": 0.5,
        "idle CPU, % of a core": 2.0,
        "PSS, MiB": 48.0,
        "CPU for a scrape, ms": 1.0,
        "one hung: p99, ms": 25.0,
        "one hung: oldest of the others, s": 2.0,
    }
    for key, limit in most.items():
        if ours.get(key, 0.0) > limit:
            yield f"{key}: {ours[key]:.3g}, at most {limit:g}"
    if ours.get("spikes seen, of 8", 8) < GPUS:
        yield f"spikes: {ours['spikes seen, of 8']} of 8 seen"
    peer = rows.get("nvitop-exporter", {}).get("scrape p50, ms")
    if peer and peer < 10 * ours["scrape p50, ms"]:
        yield f"scrape p50: {peer / ours['scrape p50, ms']:.1f} times as fast as nvitop-exporter, at least 10"


PARTS: dict[str, Callable[[FakeNvml, list[Contender], dict[str, Row], float], None]] = {
    "bursts": bursts,
    "idle": idle,
    "scrapes": scrapes,
    "hang": hang,
}

if __name__ == "__main__":
    main()
