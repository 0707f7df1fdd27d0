"""Readings made up or counted elsewhere, given to a real Prometheus as its past."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt


Floats = npt.NDArray[np.float64]
MOST_POINTS = 11_000
"""Of one answer, as Prometheus limits it."""


def write(path: Path, times: Floats, series: Mapping[str, Floats]) -> None:
    """Write series as OpenMetrics; ``times`` are Unix seconds, NaN is no sample."""
    with path.open("w", encoding="utf-8") as out:
        for name, values in series.items():
            kept = ~np.isnan(values)
            out.writelines(
                f"{name} {value:.10g} {at:.3f}\n"
                for at, value in zip(times[kept], values[kept], strict=True)
            )
        out.write("# EOF\n")


@contextlib.contextmanager
def prometheus(times: Floats, series: Mapping[str, Floats], step: float) -> Iterator[Past]:
    """Start a Prometheus whose past is these series."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root / "past.om", times, series)
        _run(
            "promtool", "tsdb", "create-blocks-from", "openmetrics", root / "past.om", root / "tsdb"
        )
        (root / "prometheus.yml").write_text("global: {}\n")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        command = ["prometheus", f"--config.file={root}/prometheus.yml", f"--storage.tsdb.path={root}/tsdb", "--storage.tsdb.retention.time=100y", f"--web.listen-address={address}", f"--query.lookback-delta={2 * step:.0f}s", "--query.max-samples=500000000", "--query.timeout=10m"]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # fmt: skip
            try:
                with contextlib.closing(
                    Past(f"http://{address}", times[0], times[-1], step)
                ) as past:
                    yield past
            finally:
                process.terminate()


class Past:
    """What a Prometheus says of its past, at each ``step`` seconds from ``begin`` to ``end``."""

    def __init__(self, url: str, begin: float, end: float, step: float) -> None:
        self.times: Floats = np.arange(begin, end + step / 2, step)
        self.url = url
        self._step = step
        self._client = httpx.Client(base_url=url, timeout=600, trust_env=False)
        self._wait()

    def close(self) -> None:
        """Ask no more."""
        self._client.close()

    def where(self, expr: str) -> dict[str, npt.NDArray[np.bool_]]:
        """Say when an expression is true, by the labels of its results as JSON."""
        found: dict[str, npt.NDArray[np.bool_]] = {}
        for first in range(0, len(self.times), MOST_POINTS - 1):
            part = self.times[first : first + MOST_POINTS - 1]
            for result in self._range(expr, part[0], part[-1]):
                mask = found.setdefault(json.dumps(result["metric"], sort_keys=True), np.zeros(len(self.times), bool))  # fmt: skip
                at = np.array([float(stamp) for stamp, _ in result["values"]])
                mask[np.round((at - self.times[0]) / self._step).astype(int)] = True
        return found

    def _range(self, expr: str, begin: float, end: float) -> list[dict[str, Any]]:
        answer = self._client.post("/api/v1/query_range", data={"query": expr, "start": f"{begin}", "end": f"{end}", "step": f"{self._step}"})  # fmt: skip
        if answer.is_error:
            raise SystemExit(f"{expr}: {answer.text}")
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
        return result

    def _wait(self) -> None:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if self._client.get("/-/ready").is_success:
                    return
            time.sleep(0.1)
        raise SystemExit("Prometheus does not start")


def held(mask: npt.NDArray[np.bool_], steps: int) -> npt.NDArray[np.bool_]:
    """Say when an alert fires that must have been true for so many steps, the current one beside."""
    if not steps:
        return mask
    count = np.zeros(len(mask), int)
    for index in np.flatnonzero(mask):
        count[index] = count[index - 1] + 1 if index else 1
    return count > steps


def begins(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int_]:
    """List where it begins to be true."""
    found: npt.NDArray[np.int_] = np.flatnonzero(mask & ~np.concatenate([[False], mask[:-1]]))
    return found


def written_out(expr: str, records: Mapping[str, str]) -> str:
    """Put what was to be recorded in the place of its name, so that no past must be recorded."""
    while True:
        longer = expr
        for name, meaning in records.items():
            longer = re.sub(rf"{re.escape(name)}(?![\w:])", lambda _, m=meaning: f"({m})", longer)  # type: ignore[misc]  # a loop's variable, bound
        if longer == expr:
            return expr
        expr = longer


def _run(*command: str | Path) -> None:
    if not shutil.which(str(command[0])):
        raise SystemExit(f"{command[0]} is missing; apt-get install prometheus")
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{command[0]}: {ran.stderr}")
