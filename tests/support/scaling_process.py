"""``lightmeter scale`` in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightmeter import catalog
from support.cli import clean_environment


@contextmanager
def running(folder: Path, *options: str, interval: int = 1) -> Iterator[str]:
    """Run it until the end of the block, and see that it ends well; yield its address."""
    command = [sys.executable, "-P", "-m", "lightmeter.cli", "scale", "--port", "0", "--interval", str(interval), "--data", str(folder), *options]  # fmt: skip
    with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True) as process:  # fmt: skip
        assert process.stdout
        url = next(line.split()[1] for line in process.stdout if line.startswith("scaler"))
        try:
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    assert 0 == process.returncode


def alert(status: str, key: str = "802b9407ed51f235", **more: Any) -> dict[str, Any]:
    """Write a message of Alertmanager's about one alert that raises."""
    one = {
        "status": status, "labels": {"alertname": "x", catalog.SCALING_LABEL: "raise"},
        "startsAt": "2026-11-20T12:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": key,
    } | more  # fmt: skip
    return {"version": "4", "alerts": [one]}
