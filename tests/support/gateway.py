"""A real gateway process for tests."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from lightmeter.catalog import Metric
from support.cli import clean_environment
from support.server import GENERATIONS, PLAIN, START_SECONDS, bearer, eventually, fetch


class Gateway:
    """``lightmeter gateway`` on free ports; leaving the context ends it with SIGTERM."""

    def __init__(self, upstream: str, *options: str, before: Sequence[str] = (), host: str = "127.0.0.1") -> None:  # fmt: skip
        arguments = ["--upstream", upstream, "--host", host, "--port", "0", "--metrics-port", "0", "--probe", "0.2"]  # fmt: skip
        self.process = subprocess.Popen(
            [*before, sys.executable, "-P", "-m", "lightmeter.cli", "-v", "gateway", *arguments, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self.log: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._read_log, daemon=True).start()
        self.api = self._announced("gateway")
        self.metrics_url = self._announced("metrics")
        self.client = httpx.Client(base_url=self.api, timeout=300, trust_env=False, verify=PLAIN)

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._lines.put(line)

    def _read_log(self) -> None:
        for line in self.process.stderr or ():
            self.log.append(line)

    def _announced(self, what: str) -> str:
        while True:
            line = self._lines.get(timeout=START_SECONDS)
            if line.startswith(what):
                return line.split()[1]

    def replicas(self, count: int) -> Self:
        """Wait until so many replicas are ready."""
        assert eventually(lambda: count == self.client.get("/readyz").json()["replicas"]["ready"]), self.log  # fmt: skip
        return self

    def post(self, body: dict[str, Any] | None = None, key: str = "", **fields: Any) -> httpx.Response:  # fmt: skip
        """Ask for a picture."""
        asked = {"prompt": "a lighthouse", "size": "16x16", **(body or {}), **fields}
        return self.client.post(GENERATIONS, json=asked, headers=bearer(key))

    def value(self, metric: Metric, suffix: str = "", **labels: str) -> float:
        """Sum a metric's samples whose labels match, from a real scrape."""
        families = text_string_to_metric_families(fetch(self.metrics_url).text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == metric.name + suffix and labels.items() <= sample.labels.items()
        )

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
