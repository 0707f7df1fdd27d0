"""`lightmeter up` as a process of its own, and what it tells."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from support.cli import clean_environment


def start(data: Path, *options: str, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "lightmeter.cli", "up", "--data", str(data), *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment(**variables), cwd=data
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str], pattern: str) -> str:
    """Read the output up to a line with the pattern and return it; fail where there is none."""
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        if re.search(pattern, line):
            return "".join(lines)
    raise AssertionError("".join(lines))


def free_ports() -> list[str]:
    names = ("--port", "--metrics-port", "--exporter-port", "--scaler-port", "--localprom-port")
    return [word for name in names for word in (name, "0")]


SOON = {"LIGHTMETER_LOCALPROM_INTERVAL": "1", "LIGHTMETER_SCALE_INTERVAL": "1"}


def told(words: str, name: str) -> str:
    """Find an address in the table."""
    return words.partition(f"  {name} ")[2].split()[0]


def asked(words: str, query: str) -> list[dict[str, Any]]:
    """Ask the store that the table names."""
    base = told(words, "PromQL").partition("?")[0]
    answer = httpx.get(base, params={"query": query}, trust_env=False, timeout=20).json()
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result
