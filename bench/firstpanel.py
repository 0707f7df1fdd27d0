"""From a server that is ready to a panel with data, in a real browser: what somebody waits for after `lightmeter up`.

Everything is started as a newcomer does, with the tiny model, a load of one request a second and an
empty folder; a browser with an empty cache holds the live page open from the moment that the server
is ready, and is not touched. `Spend against budget` does not count: it draws a setting.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench import common


LIMIT_SECONDS = 20.0
"""From ready to the first panel with data."""
PATIENCE_SECONDS = 120.0
CONSTANT = "Spend against budget"
DRAWN = f"""() => [...document.querySelectorAll('.panel')].filter((one) =>
    !one.classList.contains('empty') && one.querySelector('h3')?.textContent !== '{CONSTANT}'
    && one.querySelector('.figure strong, .u-wrap canvas, .states li, .bars li')).map((one) => one.querySelector('h3').textContent)"""
LINES = f"""() => ({DRAWN})().length >= 8"""
PORTS = ("--port", "--metrics-port", "--exporter-port", "--scaler-port", "--localprom-port")


@contextmanager
def running(folder: str) -> Iterator[tuple[float, float, str]]:
    """Run all of it; give the time of its start, of its being ready, and the page's address."""
    free = [word for port in PORTS for word in (port, "0")]
    kept = {name: text for name, text in os.environ.items() if not name.startswith("LIGHTMETER_")}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [common.LIGHTMETER, "up", "--data", folder, "--duration", "600", *free],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=kept,
    )  # fmt: skip
    try:
        ready, page = 0.0, ""
        for line in process.stdout or ():
            ready = time.perf_counter() if line.startswith("Ready after") else ready
            if line.split()[:2] == ["live", "page"]:
                page = line.split()[2]
                break
        if not page:
            raise SystemExit("`lightmeter up` told no address of the live page")
        yield begun, ready, page
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def watched(browser: Browser, page_at: str) -> dict[str, Any]:
    """Hold the page open until much of it has data; say when the first panel had, and which."""
    page = browser.new_page(viewport={"width": 1440, "height": 2800})
    page.goto(page_at)
    page.wait_for_function(f"() => ({DRAWN})().length", timeout=PATIENCE_SECONDS * 1000)
    first, names = time.perf_counter(), page.evaluate(DRAWN)
    page.wait_for_function(LINES, timeout=PATIENCE_SECONDS * 1000)
    return {"first": first, "eight": time.perf_counter(), "names": names}


def main() -> None:
    """Measure, print, judge."""
    given = common.arguments(__doc__)
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("there is no chromium here; apt-get install chromium")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=["--no-sandbox"]) as browser,
        tempfile.TemporaryDirectory() as folder,
        running(folder) as (begun, ready, page),
    ):
        seen = watched(browser, page)
        about = common.machine("playwright") | {"browser": browser.version}
    waited = seen["first"] - ready
    rows = [
        {"from": "the command", "to": "a server that is ready", "seconds": ready - begun},
        {"from": "a server that is ready", "to": f"the first panel with data ({seen['names'][0]})", "seconds": waited},
        {"from": "a server that is ready", "to": "eight panels with data", "seconds": seen["eight"] - ready},
    ]  # fmt: skip
    late = [f"the first panel has data {waited:.1f} s after the server is ready; the limit is {LIMIT_SECONDS:g} s"]  # fmt: skip
    common.finish(given, about, rows, late if waited > LIMIT_SECONDS else [])


if __name__ == "__main__":
    main()
