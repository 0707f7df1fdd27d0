"""From a clone to the first picture: what somebody waits for and downloads who tries lightmeter.

Clones this repository, makes its environment as ``make env`` does, starts a server with the tiny
model, and asks for a picture. ``--environment PATH`` takes one that is there, and installs nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from bench import common


MIB = 1024**2


def size(folder: Path) -> float:
    """Add up what is in a folder, MiB."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / MIB


def picture(program: Path, folder: Path) -> tuple[float, float]:
    """Start a server and ask it for a picture until it comes; return seconds to ready, and to it."""
    begin = time.perf_counter()
    command = [program, "serve", "--port", "0", "--metrics-port", "0", "--data", folder]
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, text=True
    ) as server:
        url = ""
        try:
            for line in server.stdout or ():
                url = line.split()[1] if line.startswith("API") else url
                if line.startswith("ready"):
                    break
            ready = time.perf_counter() - begin
            asked = {"prompt": "a red fox in snow", "size": "64x64"}
            httpx.post(f"{url}/v1/images/generations", json=asked, timeout=120, trust_env=False).raise_for_status()  # fmt: skip
            return ready, time.perf_counter() - begin
        finally:
            server.terminate()


def main() -> None:
    """Do it once, from nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--environment", type=Path, help="an environment that is there")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clone = home / "clone"
        seconds, _ = common.run("git", "clone", "--quiet", common.ROOT, clone)
        rows.append({"what": "git clone, from this disk", "seconds": seconds, "MiB": size(clone)})
        environment = args.environment or clone / ".venv"
        if not args.environment:
            seconds, _ = common.run("make", "-C", clone, "env", f"PYTHON={sys.executable}")
            rows.append({"what": "make env", "seconds": seconds, "MiB": size(environment)})
        program = environment / "bin" / "lightmeter"
        ready, first = picture(program, home / "data")
        rows.append({"what": "lightmeter serve, to ready", "seconds": ready, "MiB": ""})
        rows.append({"what": "lightmeter serve, to the first picture", "seconds": first, "MiB": ""})
        seconds, _ = common.run(environment / "bin" / "python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", home / "wheel", clone)  # fmt: skip
        rows.append({"what": "the wheel", "seconds": seconds, "MiB": size(home / "wheel")})
    common.finish(args, common.machine("torch", "diffusers", "pip"), rows, [])


if __name__ == "__main__":
    main()
