"""Take the picture of the live page: a real run of ``lightmeter up`` under load, seen by a real Chromium.

``python docs/picture.py`` writes ``docs/pictures/live-page.png``; it takes five minutes, in which the
load rises and falls. The system's Chromium and the development environment have to be there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from PIL import Image
from playwright.sync_api import sync_playwright


PICTURE = Path(__file__).parent / "pictures" / "live-page.png"
LIGHTMETER = [sys.executable, "-P", "-m", "lightmeter.cli"]
LOADS = ((1, 60), (4, 70), (8, 70), (2, 50))
"""Clients at the same time, and for how many seconds."""
WIDTH, HEIGHT, COLOURS = 1280, 900, 64
MOST_BYTES = 150_000
ROOM_SECONDS = 180
"""For the start, and for the picture."""


def main() -> None:
    """Run, load, look, shrink."""
    seconds = ROOM_SECONDS + sum(length for _, length in LOADS)
    with tempfile.TemporaryDirectory() as folder:
        command = [*LIGHTMETER, "up", "--load", "0.3", "--duration", str(seconds)]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as running:  # noqa: S603  (our own command)
            try:
                api, page = _addresses(running)
                for clients, length in LOADS:
                    _load(api, clients, length)
                _look(page)
            finally:
                running.terminate()
                running.communicate()


def _addresses(running: subprocess.Popen[str]) -> tuple[str, str]:
    found: dict[str, str] = {}
    for line in running.stdout or ():
        found |= dict(re.findall(r"^\s+(web page|live page|logs)\s+(\S+)", line))
        if "logs" in found:
            return found["web page"], found["live page"]
    sys.exit("lightmeter up ended before it said where everything is")


def _load(api: str, clients: int, seconds: int) -> None:
    options = ["--url", api, "--concurrency", str(clients), "--duration", f"{seconds}s"]
    subprocess.run([*LIGHTMETER, "load", *options, "--shape", "64x64@0.8", "--shape", "96x96@0.2"], stdout=subprocess.DEVNULL, check=False)  # noqa: S603  (our own command)  # fmt: skip


def _look(address: str) -> None:
    with sync_playwright() as play, tempfile.TemporaryDirectory() as folder:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])  # fmt: skip
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(f"{address}/?from=now-5m&to=now")
        page.locator(".u-wrap canvas").nth(1).wait_for()
        time.sleep(5)  # every panel that can be seen has been asked for and drawn
        taken = Path(folder) / "taken.png"
        page.screenshot(path=taken)
        browser.close()
        PICTURE.parent.mkdir(exist_ok=True)
        Image.open(taken).convert("RGB").quantize(COLOURS).save(PICTURE, optimize=True)
    size = PICTURE.stat().st_size
    click.echo(f"{PICTURE}: {size} bytes")
    if size > MOST_BYTES:
        sys.exit(f"more than {MOST_BYTES}")


if __name__ == "__main__":
    main()
