"""The two text formats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.exposition import (
    LABEL_CHARS,
    OPENMETRICS,
    TEXT,
    Form,
    Sheet,
    choose,
    document,
    label,
    labels,
)
from lightmeter import catalog
from lightmeter.catalog import Dcgm, Kind, Metric
from support.fleet import samples


BOTH = pytest.mark.parametrize("form", [TEXT, OPENMETRICS], ids=["text", "openmetrics"])
ENERGY = next(metric for metric in catalog.DCGM if metric.name == Dcgm.ENERGY)
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def sheet(*rows: tuple[Metric, str, float | None], limit: int = 100) -> Sheet:
    made = Sheet(limit)
    for metric, joined, value in rows:
        made.add(metric, joined, value)
    return made


@BOTH
def test_counter(form: Form) -> None:
    """A counter's samples are the same in both formats."""
    found = samples(sheet((catalog.GPU_BUSY, 'gpu="0"', 1.5)), form)

    assert [("lightmeter_gpu_busy_seconds_total", {"gpu": "0"}, 1.5)] == [s[:3] for s in found]


def test_dcgm_counter() -> None:
    """DCGM's counters keep their names, which lack _total, in either format."""
    page = sheet((ENERGY, 'gpu="0"', 5.0))

    assert f"# TYPE {Dcgm.ENERGY} counter\n" in page.text(TEXT)
    assert f"# TYPE {Dcgm.ENERGY} unknown\n" in page.text(OPENMETRICS)
    assert [Dcgm.ENERGY] == [s.name for s in samples(page, OPENMETRICS)]


def test_absent() -> None:
    """What is unknown, infinite or no number is not there at all, not even its head."""
    page = sheet(
        (catalog.GPU_BUSY, "", None),
        (catalog.GPU_SAMPLED, "", float("nan")),
        (catalog.GPU_ENERGY, "", float("inf")),
    )

    assert b"" == document(TEXT, [page])
    assert 0 == page.series == page.dropped


def test_zero() -> None:
    """A zero is a value."""
    assert [0.0] == [s.value for s in samples(sheet((catalog.GPU_BUSY, "", 0)))]


def test_twice() -> None:
    """A series that is there is not written again; that is counted."""
    page = sheet((catalog.GPU_BUSY, 'gpu="0"', 1.0), (catalog.GPU_BUSY, 'gpu="0"', 2.0))

    assert [1.0] == [s.value for s in samples(page)]
    assert 1 == page.dropped


def test_limit() -> None:
    """A full page takes no more series, and says how many it left out."""
    rows = [(catalog.GPU_BUSY, f'gpu="{i}"', float(i)) for i in range(10)]
    page = sheet(*rows, limit=4)

    assert [0.0, 1.0, 2.0, 3.0] == [s.value for s in samples(page)]
    assert 6 == page.dropped


def test_end() -> None:
    """OpenMetrics pages end as they must, even empty ones."""
    assert b"# EOF\n" == document(OPENMETRICS, [Sheet(), Sheet()])


@BOTH
@given(st.text())
def test_hostile(form: Form, value: str) -> None:
    """Whatever a label is made to say, the page can be read and has that one sample."""
    found = samples(sheet((catalog.GPU_BUSY, labels(("a", value), ("b", "x")), 1.0)), form)

    assert ["x"] == [s.labels["b"] for s in found]
    assert len(found[0].labels["a"]) <= LABEL_CHARS


@given(st.text(alphabet=st.characters(categories=("L", "N", "P")), max_size=LABEL_CHARS))
def test_kept(value: str) -> None:
    """A decent label comes back as it was, quotes and backslashes included."""
    found = samples(sheet((catalog.GPU_BUSY, labels(("a", value)), 1.0)), TEXT)

    assert value == found[0].labels["a"]


def test_bytes() -> None:
    """Names that are no UTF-8 are printable all the same."""
    assert label(b"caf\xe9".decode(errors="surrogateescape")) == "caf�"


@BOTH
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63))
def test_numbers(form: Form, value: float) -> None:
    """A value is read back as it was."""
    gauge = Metric("x", Kind.GAUGE, "", "X.", "exporter")

    assert [float(value)] == [float(s.value) for s in samples(sheet((gauge, "", value)), form)]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html, */*;q=0.1", TEXT),
        (PROMETHEUS, OPENMETRICS),
        ("text/plain;version=0.0.4;q=1,application/openmetrics-text;q=0.9", TEXT),
        ("application/openmetrics-text; version=0.0.1", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;q=much", TEXT),
        (";;=,=;q", TEXT),
    ],
)
def test_choose(accept: str, form: Form) -> None:
    """A scraper gets the format that it asks for; nobody is refused."""
    assert form is choose(accept)
