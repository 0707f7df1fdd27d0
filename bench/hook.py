"""From an alert that is posted to a decision that is written down, and what repetitions do.

A real ``lightmeter scale`` over HTTP. Alertmanager's messages come one after the other, each about
an alert of its own that begins or, next, ends; the clock runs from before the post until the line
of its decision is in the audit's file, where it is before anything is done. Three scalers: beside a
Prometheus that answers, beside one that takes the connection and says nothing, and one that is told
the same alert a thousand times by two senders. Then how long a decision takes to be at the other
end of KEDA's stream, beside the poll that it spares (KEDA's default: 30 s). The peer is a hook that starts one replica for each
firing alert that is posted, as a program run by prometheus-am-executor would.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import httpx


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from alerts.scale.keda import Keda
from alerts.scale.keda_wire import IsActiveResponse, ScaledObjectRef
from alerts.scale.watch import Latest
from alerts.webhook import PATH
from bench import common


common.support()
from support.scaling import BUSY, scaler  # noqa: E402  (support() makes it importable)
from support.scaling_process import alert  # noqa: E402  (support() makes it importable)


ALERTS, HUNG_ALERTS, COPIES, PUSHES = 2000, 300, 1000, 1000
MOST_SECONDS = 0.05
"""Of the slowest alert of a hundred."""
PATIENCE = 30.0


def main() -> None:
    """Measure, print, judge."""
    args = common.arguments(__doc__)
    rows = [_alerts("lightmeter", ALERTS, hung=False), _alerts("lightmeter, Prometheus hangs", HUNG_ALERTS, hung=True), *_copies(), _pushed()]  # fmt: skip
    common.finish(args, common.machine("uvicorn", "starlette", "httpx"), rows, list(_missed(rows)))


def _missed(rows: list[dict[str, Any]]) -> Iterator[str]:
    for row in rows[:2]:
        if row["p99 ms"] > 1000 * MOST_SECONDS:
            yield f"{row['hook']}: p99 is {row['p99 ms']:.0f} ms, more than {1000 * MOST_SECONDS:.0f}"
    ours, peer = rows[2:4]
    if (ours["decisions"], ours["replicas more"]) != (0, 0):
        yield f"{COPIES} copies changed something: {ours}"
    if peer["replicas more"] != COPIES:
        yield f"the peer took {peer['replicas more']} copies of {COPIES}; it is no peer then"


def _row(name: str, told: int, took: list[float], **found: int) -> dict[str, Any]:
    middle, last = (1000 * sorted(took)[int(len(took) * q)] for q in (0.5, 0.99))
    return {"hook": name, "posts": told, "p50 ms": middle, "p99 ms": last, **found}


class Audit:
    """The file of decisions, read as it grows."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "scale" / "decisions.jsonl"
        self._end = 0

    def wait(self, *, burning: bool) -> dict[str, Any]:
        """Wait for a decision that knows of an alert, or of none."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for record in self.new():
                if ("burn_floor" in record["observed"]) is burning:
                    return record
            time.sleep(0.0002)
        raise SystemExit(f"no decision within {PATIENCE:.0f} s")

    def new(self) -> list[dict[str, Any]]:
        """Read the lines since the last time."""
        if not self._path.exists() or self._path.stat().st_size <= self._end:
            return []
        with self._path.open("rb") as file:
            file.seek(self._end)
            lines = [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
        self._end += sum(map(len, lines))
        return [json.loads(line) for line in lines]


@contextmanager
def _scaler(prometheus: str, *options: str) -> Iterator[tuple[str, Audit]]:
    with tempfile.TemporaryDirectory() as folder:
        command = [common.LIGHTMETER, "scale", "--port", "0", "--act", "--data", folder, "--prometheus", prometheus, *options]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # fmt: skip
            assert process.stdout  # noqa: S101  (of a pipe)
            url = process.stdout.readline().split()[1]
            audit = Audit(Path(folder))
            try:
                audit.wait(burning=False)
                yield url, audit
            finally:
                process.send_signal(signal.SIGTERM)


def _alerts(name: str, count: int, *, hung: bool) -> dict[str, Any]:
    """Let alerts begin and end, one at a time."""
    took = []
    place = _hanging() if hung else _prometheus()
    with place as prometheus, _scaler(prometheus) as (url, audit), httpx.Client(base_url=url, trust_env=False) as client:  # fmt: skip
        for number in range(count // 2):
            for status in ("firing", "resolved"):
                message = alert(status, f"{number:016x}")
                begin = time.perf_counter()
                client.post(PATH, json=message).raise_for_status()
                audit.wait(burning=status == "firing")
                took.append(time.perf_counter() - begin)
    return _row(name, count, took, decisions=count) | {"replicas more": "-"}


def _copies() -> Iterator[dict[str, Any]]:
    """Tell the same alert again and again, as a pair of Alertmanagers does, in both hooks."""
    steps = ["--interval", "300", "--max-age", "600"]
    with _prometheus() as prometheus, _scaler(prometheus, *steps) as (url, audit):
        httpx.post(url + PATH, json=alert("firing"), trust_env=False).raise_for_status()
        before = audit.wait(burning=True)
        took = _twice(url)
        time.sleep(1)
        after = [before, *audit.new()]
        more = after[-1]["to"] - before["to"]
        yield _row("lightmeter, copies", COPIES, took, decisions=len(after) - 1) | {"replicas more": more}  # fmt: skip
    with _naive() as (url, started):
        took = _twice(url)
        yield _row("one more for each post", COPIES, took, decisions=len(started)) | {"replicas more": len(started)}  # fmt: skip


def _twice(url: str) -> list[float]:
    """Send the copies from two senders; return what each post took."""

    def send(_: int) -> list[float]:
        took = []
        with httpx.Client(trust_env=False) as client:
            for _ in range(COPIES // 2):
                begin = time.perf_counter()
                client.post(url + PATH, json=alert("firing")).raise_for_status()
                took.append(time.perf_counter() - begin)
        return took

    with ThreadPoolExecutor(2) as threads:
        return [one for found in threads.map(send, range(2)) for one in found]


def _pushed() -> dict[str, Any]:
    """Decide on some and on none in turn, and wait at KEDA's end of the stream."""
    with tempfile.TemporaryDirectory() as folder:
        one = scaler(Path(folder), [BUSY])
        record = one.step()
    assert record is not None  # noqa: S101  (nobody else has the lease)
    latest = Latest(3600.0)
    keda = Keda(latest, "shop", "null")
    address = f"127.0.0.1:{keda.open('127.0.0.1', 0)}"
    ref = ScaledObjectRef(name="shop", scalerMetadata={"service": "shop"}).SerializeToString()
    took = []
    with grpc.insecure_channel(address) as channel:
        latest.decided({**record, "to": 0}, BUSY)
        stream = channel.unary_stream("/externalscaler.ExternalScaler/StreamIsActive")(ref)
        next(stream)
        for number in range(PUSHES):
            begin = time.perf_counter()
            wanted = (number + 1) % 2
            latest.decided({**record, "to": wanted}, BUSY)
            while IsActiveResponse.FromString(next(stream)).result is not bool(wanted):
                pass
            took.append(time.perf_counter() - begin)
        stream.cancel()
    keda.close()
    return _row("lightmeter, decision to KEDA", PUSHES, took, decisions=PUSHES) | {"replicas more": "-"}  # fmt: skip


@contextmanager
def _prometheus() -> Iterator[str]:
    """Answer every question: nobody asks for anything, and that was seen a second ago."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            value = "1" if "timestamp" in self.path else "0"
            result = [{"metric": {}, "value": [0, value]}]
            body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()  # fmt: skip
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as url:
        yield url


@contextmanager
def _hanging() -> Iterator[str]:
    """Take connections, and say nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as sock:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


@contextmanager
def _naive() -> Iterator[tuple[str, list[str]]]:
    """Start one replica for each firing alert that is posted: the program is ``true``."""
    started: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))
            for one in message["alerts"]:
                if one["status"] == "firing":
                    os.posix_spawnp("true", ["true"], os.environ)
                    started.append(one["fingerprint"])
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as url:
        yield url, started


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    main()
