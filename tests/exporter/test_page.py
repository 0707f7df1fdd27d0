"""The page as a whole."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from exporter.attribution import Known, prepare
from exporter.exposition import OPENMETRICS, TEXT, Form
from exporter.host import Host
from exporter.http1 import Request
from exporter.page import FRESH_SECONDS, Content, Page
from exporter.render import Naming
from exporter.snapshot import Fleet, Owner
from lightmeter import catalog
from support.clock import Clock
from support.fleet import Readings, fleet, parse, snapshot, values


def page(readings: Readings | None = None, **options: Any) -> tuple[Page, Clock]:  # fmt: skip
    clock = Clock()
    content = Content(
        fleet=(readings or Readings()).fleet,
        naming=Naming("node-7"),
        version="1.2.3",
        blocks=dict,
    )
    return Page(content, clock=clock, **options), clock


@pytest.mark.parametrize("form", [TEXT, OPENMETRICS], ids=["text", "openmetrics"])
def test_whole(form: Form) -> None:
    """A page with everything on it is valid in either format, and each series is there once."""
    known = Known(
        owners={1000: Owner("studio", "a", "main")}, busy={fleet(1).snapshots[0].gpu.uuid: {Owner("studio", "a", "main"): 2.0}}
    )  # fmt: skip
    host = Host()
    content = Content(
        fleet=Readings().fleet, naming=Naming("x"), blocks=lambda: prepare(fleet(8), known, 1000), host=host, lines_skipped=lambda: 3
    )  # fmt: skip
    try:
        found = parse(Page(content).bytes(form).decode(), form)
    finally:
        host.close()

    series = [(s.name, tuple(sorted(s.labels.items()))) for s in found]
    assert len(series) == len(set(series)) > 200
    assert [3.0] == values(found, catalog.DCGM_LINES_SKIPPED)


def test_fresh() -> None:
    """Scrapes of one moment get the same page; a tick later it is a new one."""
    readings = Readings()
    made, clock = page(readings)
    first = made.bytes()
    readings.now = fleet(1)
    assert first is made.bytes()
    clock.now += 2 * FRESH_SECONDS
    assert first != made.bytes()


def test_scrapes() -> None:
    """The exporter counts its scrapes and says its version."""
    made, clock = page()
    for _ in range(2):
        made.bytes()
    clock.now += 1
    found = parse(made.bytes().decode(), TEXT)

    assert [3.0] == values(found, catalog.SCRAPES)
    assert [1.0] == values(found, catalog.EXPORTER_BUILD, version="1.2.3")


def test_dropped() -> None:
    """A full page keeps what tells of the exporter itself, and counts what it left out."""
    made, clock = page(limit=20)
    made.bytes()
    clock.now += 1
    found = parse(made.bytes().decode(), TEXT)
    missing = len(parse(page()[0].bytes().decode(), TEXT)) - len(found)

    assert [2.0 * missing] == values(found, catalog.SERIES_DROPPED)
    assert missing > 100


def test_nothing_dropped() -> None:
    """On an ordinary page nothing is left out."""
    assert [0.0] == values(parse(page()[0].bytes().decode(), TEXT), catalog.SERIES_DROPPED)


def test_negotiation() -> None:
    """A scraper gets the format it prefers; compressed only where that is switched on."""
    plain, small = page()[0], page(compress=True)[0]
    asked = Request("GET", "/metrics", {"accept": "application/openmetrics-text", "accept-encoding": "gzip"})  # fmt: skip

    assert OPENMETRICS.content_type == plain.answer(asked).content_type
    assert {} == plain.answer(asked).extra
    answer = small.answer(asked)
    assert "gzip" == answer.extra["Content-Encoding"]
    assert gzip.decompress(answer.body).endswith(b"# EOF\n")
    assert "Content-Encoding" not in small.answer(Request("GET", "/metrics")).extra


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/healthz", 200), ("/metrics", 200), ("/admin", 404)])  # fmt: skip
def test_paths(path: str, status: int) -> None:
    """There is a landing page, a liveness probe and the page."""
    assert status == page()[0].answer(Request("GET", path)).status


def test_no_readings() -> None:
    """Without a single GPU the page is valid all the same."""
    none = Fleet(snapshots=(), health=(), expected=None, source="nvml")
    text = page(Readings(none))[0].bytes(OPENMETRICS).decode()

    assert [0.0] == values(parse(text, OPENMETRICS), catalog.GPUS_SEEN)


def test_same_gpu_twice() -> None:
    """A GPU that a source tells of twice is on the page once, and that is counted."""
    twice = fleet(1, snapshots=(snapshot(0), snapshot(0)))
    found = parse(page(Readings(twice))[0].bytes().decode(), TEXT)

    assert 1 == len(values(found, catalog.GPU_BUSY))
    assert values(found, catalog.SERIES_DROPPED)[0] > 10
