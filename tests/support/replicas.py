"""A target for the scaler's ``command:``: real servers, as many as asked for, each where it is told to be.

``python replicas.py FOLDER N``: ``FOLDER/places.json`` lists for each server the words before its
command (``ip netns exec NAME``, or none), its host, and the ports of its API and metrics.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


END_SECONDS = 40.0
OPTIONS = ("--batch", "1", "--queue", "64", "--max-steps", "1000")


def main(folder: Path, count: int) -> None:
    """Start those that are missing, and let those that are too many end."""
    places = json.loads((folder / "places.json").read_text())
    for number, place in enumerate(places):
        pid = alive(folder, number)
        if number < count and pid is None:
            start(folder, number, place)
        elif number >= count and pid is not None:
            os.kill(pid, signal.SIGTERM)
            (folder / f"{number}.ending").touch()


def alive(folder: Path, number: int) -> int | None:
    """Return the process id of a server that serves; wait for one that ends."""
    file, ending = folder / f"{number}.pid", folder / f"{number}.ending"
    until = time.monotonic() + END_SECONDS
    while file.exists() and running(int(file.read_text())):
        if not ending.exists():
            return int(file.read_text())
        if time.monotonic() > until:
            raise SystemExit(f"server {number} does not end")
        time.sleep(0.05)
    ending.unlink(missing_ok=True)
    return None


def running(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def start(folder: Path, number: int, place: dict[str, Any]) -> None:
    """Start a server that outlives this program."""
    command = [
        *place["before"], sys.executable, "-P", "-m", "lightmeter.cli", "serve", "--model", place["model"],
        "--service", "zimage", "--host", place["host"], "--port", str(place["port"]), "--metrics-port", str(place["metrics"]),
        "--replica", f"r{number}", "--data", str(folder / f"data{number}"), *OPTIONS,
    ]  # fmt: skip
    with (folder / f"{number}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    (folder / f"{number}.pid").write_text(str(process.pid))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
