"""A real server process for tests: started, asked, killed."""

from __future__ import annotations

import base64
import contextlib
import io
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from lightmeter.catalog import IN_FLIGHT, Metric
from support.cli import clean_environment


START_SECONDS = 300.0
GENERATIONS = "/v1/images/generations"
HALF = (
    b"POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b'Content-Length: 100\r\n\r\n{"pr'
)
"""The beginning of a request."""


PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For HTTP: an authority's certificates, which nobody looks at, take httpx 25 ms to read each time."""


def fetch(url: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Get a page over a connection of its own."""
    return httpx.get(url, headers=headers, trust_env=False, timeout=20, verify=PLAIN)


class Server:
    """``lightmeter serve`` on free ports; leaving the context ends it with SIGTERM.

    ``before`` are options of the command itself, ``variables`` its environment's, ``program`` what
    Python runs.
    """

    def __init__(
        self,
        data: Path,
        *options: str,
        model: str = "still",
        before: Sequence[str] = (),
        program: Sequence[str] = ("-m", "lightmeter.cli"),
        **variables: str,
    ) -> None:
        arguments = ["--model", model, "--data", str(data), "--port", "0", "--metrics-port", "0"]
        self.key = ""
        """Sent where a request names none."""
        self.data = data
        self.history = data / "history"
        self.process = subprocess.Popen(
            [sys.executable, "-P", *program, *before, "serve", *arguments, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(OMP_NUM_THREADS="1", **variables),
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self.log: list[str] = []
        threading.Thread(target=self._read_out, daemon=True).start()
        threading.Thread(target=self._read_log, daemon=True).start()
        self.api = self._announced("API")
        self.metrics_url = self._announced("metrics")
        self.client = httpx.Client(base_url=self.api, timeout=60, trust_env=False, verify=PLAIN)

    def _read_out(self) -> None:
        for line in self.process.stdout or ():
            self._lines.put(line)

    def _read_log(self) -> None:
        for line in self.process.stderr or ():
            self.log.append(line)

    def _announced(self, what: str) -> str:
        while True:
            line = self._lines.get(timeout=START_SECONDS)
            if line.startswith(what):
                return line.split()[-1]

    def ready(self) -> Self:
        """Wait until a worker is ready."""
        self._announced("ready")
        return self

    def post(
        self, body: dict[str, Any] | None = None, key: str = "", **fields: Any
    ) -> httpx.Response:
        """Ask for a picture."""
        asked = {"prompt": "a lighthouse", **(body or {}), **fields}
        return self.client.post(GENERATIONS, json=asked, headers=bearer(key or self.key))

    def connect(self) -> socket.socket:
        """Open a connection on which nothing is said yet."""
        url = httpx.URL(self.api)
        return socket.create_connection((url.host, url.port or 80))

    def together(self, bodies: list[dict[str, Any]]) -> list[httpx.Response]:
        """Ask for many pictures at the same time; answers in the order asked."""
        with ThreadPoolExecutor(len(bodies)) as pool:
            return list(pool.map(self.post, bodies))

    def value(self, metric: Metric, suffix: str = "", **labels: str) -> float:
        """Sum a metric's samples whose labels match, from a real scrape."""
        lines = fetch(self.metrics_url).text.splitlines(keepends=True)
        families = text_string_to_metric_families(
            "".join(line for line in lines if line.startswith(metric.name + suffix))
        )
        samples = (sample for family in families for sample in family.samples)
        wanted = labels.items()
        return sum(
            s.value
            for s in samples
            if s.name == metric.name + suffix and wanted <= s.labels.items()
        )

    def worker_pids(self) -> list[int]:
        """Process ids of the workers."""
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it with SIGTERM; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.stop()
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


LATE = """#!{python}
import pathlib, sys, time
from inference import worker
go = pathlib.Path({go!r})
until = time.monotonic() + {most}
while not go.exists() and time.monotonic() < until:
    time.sleep(0.02)
sys.argv[1:] = sys.argv[4:]
worker.main()
"""


class Loading(Server):
    """A server whose worker loads its model until it is let go: a start as slow as a test wants."""

    def __init__(self, data: Path, *options: str) -> None:
        self._go = data / "go"
        worker = data / "late-worker"
        worker.write_text(LATE.format(python=sys.executable, go=str(self._go), most=START_SECONDS))
        worker.chmod(0o755)
        start = (
            f"import sys; sys.executable = {str(worker)!r}\nfrom lightmeter.cli import main; main()"
        )
        super().__init__(data, *options, program=("-c", start))

    def let_go(self) -> Self:
        """Let the model be there."""
        self._go.touch()
        return self


@contextlib.contextmanager
def asking(server: Server, *bodies: dict[str, Any]) -> Iterator[list[httpx.Response]]:
    """Ask in the background, one after the other is in; at the end the answers are in that order."""
    answers: list[httpx.Response] = []
    before = server.value(IN_FLIGHT)
    with ThreadPoolExecutor(len(bodies)) as pool:
        asked = []
        for body in bodies:
            asked.append(pool.submit(server.post, body))
            assert eventually(lambda: server.value(IN_FLIGHT) >= before + len(asked))
        yield answers
        answers += [one.result() for one in asked]


def bearer(key: str) -> dict[str, str]:
    """Return the header that carries an API key; none for an empty one."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def picture(answer: httpx.Response, index: int = 0) -> Image.Image:
    """Decode a picture of an answer."""
    return Image.open(io.BytesIO(file(answer, index)))


def file(answer: httpx.Response, index: int = 0) -> bytes:
    """Return a picture's file bytes."""
    return base64.b64decode(answer.json()["data"][index]["b64_json"])


def eventually(condition: Any, seconds: float = 30.0) -> bool:
    """Wait for a condition; False where it never came true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False
