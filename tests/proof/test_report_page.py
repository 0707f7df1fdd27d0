"""The planner's report in a real browser: no wider than the window or the paper, in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from planner import report
from support import plans
from support.debian import need
from support.rows import row


pytestmark = [pytest.mark.proof, pytest.mark.timeout(300)]
LONG = "a-service-with-a-name-that-somebody-made-far-too-long-to-be-read-in-any-table-of-this-world"
A4 = 700
"""Pixels between the margins of the paper, at 96 to the inch."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the browser."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=need("chromium", "chromium"), args=["--no-sandbox"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Plan a history of which everything is known."""
    usage = [row(1800.0 * k, 20.0, (LONG, "b")[k % 2], peak_vram_bytes=7 << 30, queue_seconds=0.5, gpu_uuid=f"GPU-{k % 2}") for k in range(480)]  # fmt: skip
    return plans.document(usage, sweep_points=2)


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [400, 1100])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_everybody(
    browser: Browser,
    document: dict[str, Any],
    tmp_path: Path,
    *,
    language: str,
    width: int,
    scheme: Any,
) -> None:
    """Nothing is in anybody's way, dark and light, in both languages, and nothing is wider than the window."""
    report.write(document, tmp_path, language)
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto((tmp_path / report.HTML).as_uri())
    found = Axe().run(page).response["violations"]
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.close()

    assert [] == [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in found]
    assert width >= wide


def test_paper(browser: Browser, document: dict[str, Any], tmp_path: Path) -> None:
    """On paper no table is cut at the edge, and it is printed in dark ink though the screen is dark."""
    report.write(document, tmp_path)
    page = browser.new_page(color_scheme="dark", viewport={"width": A4, "height": 1000})
    page.goto((tmp_path / report.HTML).as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    wide = page.evaluate("document.documentElement.scrollWidth")
    ink = page.evaluate("getComputedStyle(document.body).color")
    page.close()

    assert A4 >= wide
    assert "rgb(29, 35, 39)" == ink
