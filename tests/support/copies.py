"""Copies of ``lightmeter scale`` that scale the Deployment ``images/zimage`` of a cluster."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx

from support.cli import clean_environment
from support.promapi import Api


KNOBS = ("--interval", "1", "--min", "1", "--max", "4", "--wait", "1", "--cold-start", "5", "--hold-least", "1", "--violation-price", "60", "--turn-price", "0")  # fmt: skip


class Copy:
    """A scaler in a process and a folder of its own, as a pod with a claim would be."""

    def __init__(self, folder: Path, kubeconfig: Path, source: Api, *options: str, act: bool = True) -> None:  # fmt: skip
        folder.mkdir()
        self.folder = folder
        command = [sys.executable, "-P", "-m", "lightmeter.cli", "scale", *(["--act"] if act else []), "--port", "0", "--prometheus", source.url, "--service", "zimage", "--target", "deployment:images/zimage", "--data", str(folder), *KNOBS, *options]  # fmt: skip
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(command, env=clean_environment(KUBECONFIG=str(kubeconfig)), stdout=subprocess.PIPE, stderr=log, text=True)  # fmt: skip
        assert self.process.stdout
        self.url = next(line.split()[1] for line in self.process.stdout if line.startswith("scaler"))  # fmt: skip

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """Read what was decided so far."""
        try:
            lines = (self.folder / "scale/decisions.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.strip()]

    @property
    def orders(self) -> list[dict[str, Any]]:
        """Choose the decisions by which something was written to the Deployment."""
        return [one for one in self.decisions if str(one["result"]).startswith("spec.replicas")]

    @property
    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text()

    @property
    def holds(self) -> bool:
        """Say whether it has the Lease."""
        return bool(httpx.get(f"{self.url}/healthz", trust_env=False).json()["lease"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=30)
