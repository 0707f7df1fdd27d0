"""The stack: a gateway, two servers, a scaler on the pool of the first, an exporter, and who watches them."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench import common
from bench.chaos import monitoring, parts
from bench.chaos.parts import MARK, Part
from lightmeter.catalog import Metric


common.support()
from support.alerting import Taker, free_port  # noqa: E402  (made importable just above)
from support.cli import clean_environment  # noqa: E402
from support.netns import Net, network  # noqa: E402
from support.nvml import FakeNvml  # noqa: E402


LIBRARY = "clock.so"
DISK_MIB = 48
SERVERS = ("r0", "r1")
POOL = "r0"
"""The server whose workers the scaler starts and ends."""
ORDER = ("exporter", *SERVERS, "alertmanager", "prometheus", "scaler", "gateway")
"""What is started first is stopped last."""
START_SECONDS = 180.0


@dataclass
class Stack:
    """Programs, their addresses, and what this machine permits to be done to them."""

    folder: Path
    run: str
    parts: dict[str, Part]
    urls: dict[str, str]
    """API of each server, the gateway and the scaler; Prometheus's API."""
    pages: dict[str, str]
    """Metrics by program."""
    gpus: FakeNvml
    taker: Taker
    namespaces: dict[str, str] = field(default_factory=dict)
    disk: Path | None = None
    clock: Path | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    """Why something cannot be done here, by what it needs: namespace, disk, clock."""

    def value(self, part: str, metric: Metric, **labels: str) -> float | None:
        """Sum a metric's samples whose labels match; None where the page cannot be read."""
        try:
            text = httpx.get(self.pages[part], trust_env=False, timeout=5).raise_for_status().text
        except httpx.HTTPError:
            return None
        lines = "".join(line for line in text.splitlines(keepends=True) if line.startswith(metric.name))  # fmt: skip
        samples = [one for family in text_string_to_metric_families(lines) for one in family.samples]  # fmt: skip
        found = [one.value for one in samples if one.name == metric.name and labels.items() <= one.labels.items()]  # fmt: skip
        return sum(found) if found else None

    def json(self, url: str) -> dict[str, Any]:
        """Get an answer, also one that is an error's; empty where there is none."""
        try:
            found: dict[str, Any] = httpx.get(url, trust_env=False, timeout=5).json()
        except (httpx.HTTPError, ValueError):
            return {}
        return found

    def start(self) -> None:
        """Start everything, in order, and wait until it is whole.

        Raises:
            SystemExit: it does not get there.
        """
        for name in ORDER:
            if name in self.parts:
                self.parts[name].start()
        if not parts.until(lambda: self.whole() or self.gone(), START_SECONDS) or self.gone():
            raise SystemExit(f"the stack does not get ready ({', '.join(self.gone()) or 'too slow'}); its logs are in {self.folder}, which --keep keeps")  # fmt: skip

    def whole(self) -> bool:
        """Tell whether the gateway has every server and Prometheus sees every program."""
        ready = self.json(f"{self.urls['gateway']}/readyz").get("replicas", {}).get("ready")
        if ready != len(SERVERS):
            return False
        seen = self.json(f"{self.urls['prometheus']}/api/v1/query?query=count(up==1)")
        result = seen.get("data", {}).get("result") or [{"value": [0, "0"]}]
        return int(result[0]["value"][1]) >= len(self.pages)

    def gone(self) -> list[str]:
        """Name the programs that have ended."""
        return [name for name, part in self.parts.items() if not part.alive]

    def stop(self) -> None:
        """End everything in order."""
        for name in reversed(ORDER):
            if name in self.parts:
                self.parts[name].stop()


@contextlib.contextmanager
def stack(folder: Path, model: str) -> Iterator[Stack]:
    """Lay out a stack in an empty folder; at the end nothing of it is left but the folder."""
    with contextlib.ExitStack() as held:
        net = held.enter_context(network())
        taker = held.enter_context(Taker())
        one = _lay_out(folder, model, net, taker)
        held.callback(_sweep, one)
        if one.disk:
            held.callback(subprocess.run, ["umount", "-l", str(one.disk)], check=False)
        yield one


def _sweep(one: Stack) -> None:
    for part in one.parts.values():
        part.kill()
    for left in parts.marked(one.run):
        left.kill()


def _lay_out(folder: Path, model: str, net: Net | None, taker: Taker) -> Stack:
    run = secrets.token_hex(8)
    gpus = FakeNvml(folder, gpus=2)
    one = Stack(folder, run, {}, {}, {}, gpus, taker)
    one.disk = _disk(folder / "r1", one.reasons)
    one.clock = _clock(folder, one.reasons)
    (folder / "key").write_text(secrets.token_hex(32))
    (folder / "token").write_text(secrets.token_hex(16))
    for name in SERVERS:
        _server(one, name, model, net)
    if net is None:
        one.reasons["namespace"] = "no network namespaces may be made here (root, iproute2)"
    _around(one)
    _watched(one)
    return one


def _add(one: Stack, name: str, *words: str, before: Sequence[str] = (), program: Sequence[str] = (), variables: Mapping[str, str] | None = None) -> None:  # fmt: skip
    ours = (sys.executable, "-P", "-m", "lightmeter.cli")
    paths = os.pathsep.join(filter(None, (str(common.ROOT), os.environ.get("PYTHONPATH", ""))))
    env = clean_environment(**{MARK: one.run, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}, **(variables or {}))  # fmt: skip
    one.parts[name] = Part(name, [*before, *(program or ours), *words], one.folder / f"{name}.log", env)  # fmt: skip


def _server(one: Stack, name: str, model: str, net: Net | None) -> None:
    before, host = net.add() if net else ([], "127.0.0.1")
    if before:
        one.namespaces[name] = before[-1]
    port, metrics = free_port(), free_port()
    one.urls[name], one.pages[name] = f"http://{host}:{port}", f"http://{host}:{metrics}/metrics"
    _add(
        one, name, "serve", "--model", model, "--service", f"pool-{name}", "--replica", name, "--threads", "1",
        "--host", host, "--port", str(port), "--metrics-port", str(metrics), "--data", str(one.folder / name),
        "--admin-key-file", str(one.folder / "key"), "--seal-rows", "200", "--silence", "5", "--max-steps", "100", "--jobs", "20",
        before=before, variables=_faked(one),
    )  # fmt: skip


def _faked(one: Stack) -> dict[str, str]:
    """Let a program read the time that the file says; how long something takes stays as it is."""
    if not one.clock:
        return {}
    return {"LD_PRELOAD": str(one.folder / LIBRARY), "CHAOS_CLOCK": str(one.clock)}


def _around(one: Stack) -> None:
    """Add the exporter, the gateway and the scaler."""
    ports = {name: free_port() for name in ("gateway", "page", "exporter", "scaler", "prometheus", "alertmanager")}  # fmt: skip
    here = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    one.urls |= {name: here[name] for name in ("gateway", "scaler", "prometheus", "alertmanager")}
    one.pages |= {"gateway": f"{here['page']}/metrics", "exporter": f"{here['exporter']}/metrics", "scaler": f"{here['scaler']}/metrics"}  # fmt: skip
    _add(one, "exporter", "export", "--port", str(ports["exporter"]), "--gpus", "2", "--host-metrics", "", variables=one.gpus.environment)  # fmt: skip
    _add(
        one, "gateway", "gateway", "--upstream", ",".join(one.urls[name] for name in SERVERS), "--port", str(ports["gateway"]),
        "--metrics-port", str(ports["page"]), "--probe", "0.5", "--wake", here["scaler"], "--wake-token-file", str(one.folder / "token"),
    )  # fmt: skip
    _add(
        one, "scaler", "scale", "--act", "--port", str(ports["scaler"]), "--interval", "1", "--min", "1", "--max", "2", "--wait", "2",
        "--cold-start", "5", "--hold-least", "15", "--short-window", "10", "--long-window", "20", "--service", f"pool-{POOL}",
        "--target", f"pool:{one.urls[POOL]}", "--secret-file", str(one.folder / "key"), "--token-file", str(one.folder / "token"),
        "--prometheus", here["prometheus"], "--data", str(one.folder / "control"), variables=_faked(one),
    )  # fmt: skip


def _watched(one: Stack) -> None:
    prometheus, alertmanager = monitoring.programs()
    address = one.urls["alertmanager"].removeprefix("http://")
    store = one.urls["prometheus"].removeprefix("http://")
    monitoring.write(one.folder, scaler=one.urls["scaler"], alertmanager=address, pages=one.taker.url, token=one.folder / "token")  # fmt: skip
    if prometheus and alertmanager:
        monitoring.prometheus_yml(one.folder, one.pages, address)
        _add(one, "prometheus", f"--config.file={one.folder}/prometheus.yml", f"--storage.tsdb.path={one.folder}/tsdb", f"--web.listen-address={store}", "--rules.alert.resend-delay=2s", program=(prometheus,))  # fmt: skip
        _add(one, "alertmanager", f"--config.file={one.folder}/webhook.yaml", f"--storage.path={one.folder}/am", f"--web.listen-address={address}", "--cluster.listen-address=", program=(alertmanager,))  # fmt: skip
        return
    one.reasons["alertmanager"] = "no Prometheus and Alertmanager on this machine: localprom keeps and evaluates, and nobody is told"  # fmt: skip
    pages = ",".join(f"{job}={page}" for job, page in one.pages.items())
    _add(one, "prometheus", "localprom", "--port", store.rpartition(":")[2], "--targets", pages, "--interval", "1", "--rule-interval", "1", "--slo", f"{one.folder}/slo.toml", "--data", f"{one.folder}/control")  # fmt: skip


def _disk(folder: Path, reasons: dict[str, str]) -> Path | None:
    """Put a small disk of its own below a server's data, where this user may."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "chaos", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        reasons["disk"] = "no file system may be mounted here (root)"
        return None
    return folder


def _clock(folder: Path, reasons: dict[str, str]) -> Path | None:
    """Build the clock that can be set, where there is a compiler."""
    compiler = shutil.which("cc")
    if not compiler:
        reasons["clock"] = "there is no C compiler for the clock that is set (apt-get install gcc)"
        return None
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", str(folder / LIBRARY), str(source), "-ldl"], check=True)  # fmt: skip
    return put_clock(folder / "clock", 0)


def put_clock(file: Path, seconds: int) -> Path:
    """Set the clock that the file holds; in place, as programs have it mapped."""
    with file.open("r+b" if file.exists() else "wb") as clock:
        clock.write(struct.pack("=q", seconds))
    return file
