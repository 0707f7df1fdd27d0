"""Scraping: what is read, what is refused, and what a dashboard sees when a target fails."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from lightmeter.errors import ServerError
from lightmeter.localprom import scrape
from lightmeter.localprom.exposition import Reader
from lightmeter.localprom.keep import Keeper
from lightmeter.localprom.labels import Labels, pack
from lightmeter.localprom.scrape import Scraper, Target, first_wait
from lightmeter.localprom.store import Store, stale


def registry() -> CollectorRegistry:
    found = CollectorRegistry()
    Counter("jobs", "Jobs.", ["kind"], registry=found).labels('odd " \\ \n {x="y"} # 1').inc(3)
    Gauge("level", "Level.", registry=found).set(math.inf)
    Histogram("took_seconds", "Time.", registry=found).observe(0.2, {"trace_id": "abc"})
    return found


def read(text: str, *, om: bool = False, extra: Labels = ()) -> dict[Labels, float]:
    page = Reader(extra).read(text, openmetrics=om)
    return {labels: value for labels, value, _ in page.samples}


def test_reads_what_prometheus_client_writes() -> None:
    """Both formats are read as their reference reads them, odd labels included."""
    text = generate_latest(registry()).decode()

    expected = {pack({"__name__": each.name, **each.labels}): each.value for family in text_string_to_metric_families(text) for each in family.samples}  # fmt: skip

    assert expected == read(text)
    page = Reader(()).read(openmetrics.generate_latest(registry()).decode(), openmetrics=True)  # type: ignore[no-untyped-call]  # untyped upstream
    assert expected.keys() <= {labels for labels, _, _ in page.samples}
    ((labels, exemplar),) = page.exemplars
    assert ("le", "0.25") in labels
    assert ((("trace_id", "abc"),), 0.2) == (exemplar.labels, exemplar.value)
    assert {"type": "gauge", "help": "Level."} == page.about["level"]


def test_timestamps_and_bounds() -> None:
    """A time of its own is milliseconds in text, seconds in OpenMetrics; bounds are floats."""
    text = Reader(()).read('a 1 1500\nb_bucket{le="1"} 2\n', openmetrics=False)
    other = Reader(()).read("a 1 1.5\n# EOF\n", openmetrics=True)

    assert [1500, None] == [at for _, _, at in text.samples]
    assert pack({"__name__": "b_bucket", "le": "1.0"}) == text.samples[1][0]
    assert 1500 == other.samples[0][2]


def test_labels_of_the_target_win() -> None:
    """A label that the target sets itself is kept under another name, as in Prometheus."""
    (labels,) = read('a{job="x",b="1"} 1', extra=(("job", "j"),))

    assert pack({"__name__": "a", "b": "1", "exported_job": "x", "job": "j"}) == labels


@pytest.mark.parametrize("line", ["a", "a{ 1", 'a{b="1} 1', "a{b=1} 1", 'a{b="1",b="2"} 1', "a one", "1a 1", 'a{b="1"}', "a 1 2 3", "a 1_0"])  # fmt: skip
def test_bad_lines_are_refused(line: str) -> None:
    """A page that cannot be read is refused whole, with its line."""
    with pytest.raises(ServerError, match="line 2"):
        read(f"good 1\n{line}\n")


@pytest.mark.parametrize("line", ["a" + " " * 200_000, "a" + "\t" * 200_000 + "x", "a 1" + " " * 200_000 + "#"])  # fmt: skip
def test_long_line_of_nothing_is_refused_at_once(line: str) -> None:
    """A hostile target's page of blanks does not stop the scrapes of the others."""
    with pytest.raises(ServerError, match="line 1"):
        read(line)


def test_openmetrics_cut_short_is_refused() -> None:
    """Half a page of OpenMetrics is no page."""
    with pytest.raises(ServerError, match="EOF"):
        read("a 1\n", om=True)


def answering(*answers: httpx.Response | Exception) -> httpx.MockTransport:
    """Make a target that answers what it is told to, one after the other."""
    rest = list(answers)

    def answer(_: httpx.Request) -> httpx.Response:
        following = rest.pop(0)
        if isinstance(following, Exception):
            raise following
        return following

    return httpx.MockTransport(answer)


def scraped(*answers: httpx.Response | Exception) -> tuple[Store, Scraper]:
    """Scrape once for each answer, five seconds apart."""
    store = Store()

    async def run() -> Scraper:
        async with httpx.AsyncClient(transport=answering(*answers)) as client:
            scraper = Scraper(Target("http://host:1/metrics", "j", timeout_seconds=0.5), Keeper(store), client)  # fmt: skip
            for turn in range(len(answers)):
                await scraper.scrape(5000 * turn)
            return scraper

    return store, asyncio.run(run())


def series(store: Store, name: str) -> list[float]:
    found = [each for each in store.select([]) if dict(each.labels)["__name__"] == name]
    return [math.nan if gone else float(value) for each in found for value, gone in zip(each.read()[1], stale(each.read()[1]), strict=True)]  # fmt: skip


def test_target_that_fails_is_down_and_its_series_end() -> None:
    """A graph of a dead target ends at once and `up` is 0; when it is back, both are."""
    store, scraper = scraped(httpx.Response(200, text="a 1\n"), httpx.ConnectError("refused"), httpx.Response(200, text="a 2\n"))  # fmt: skip

    first, gone, last = series(store, "a")
    assert (1, 2) == (first, last)
    assert math.isnan(gone)
    assert [1, 0, 1] == series(store, "up")
    assert scraper.state.up


def test_kept_connection_is_hung_up() -> None:
    """A target that hangs up just as it is asked again is not down: it is asked on a new connection."""

    async def one_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\na 1\n")
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async def run() -> None:
        async with await asyncio.start_server(one_answer, "127.0.0.1", 0) as server:
            address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics"
            async with httpx.AsyncClient(trust_env=False) as client:
                scraper = Scraper(Target(address, "j"), Keeper(store), client)
                for turn in range(3):
                    await scraper.scrape(5000 * turn)
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    store = Store()
    asyncio.run(run())

    assert [1, 1, 1] == series(store, "up")


def test_series_that_is_no_longer_exposed_ends() -> None:
    """A worker that was removed does not stay on the board for five minutes."""
    store, _ = scraped(httpx.Response(200, text="a 1\nb 1\n"), httpx.Response(200, text="a 1\n"))

    assert [1, 1] == series(store, "a")
    assert math.isnan(series(store, "b")[1])


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b"# " + b"x" * (1 << 20) + b"\n"


async def _silent() -> AsyncIterator[bytes]:
    yield b"a 1\n"
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (httpx.Response(500), "answers 500"),
        (httpx.Response(200, content=b"\xff\xfe 1\n"), "UTF-8"),
        (httpx.Response(200, text="a{ 1\n"), "line 1"),
        (httpx.ReadTimeout(""), "ReadTimeout"),
    ],
)
def test_bad_answers(answer: httpx.Response | Exception, why: str) -> None:
    """Whatever a target answers, it is down with its reason, and scraping goes on."""
    store, scraper = scraped(answer)

    assert [0] == series(store, "up")
    assert why in scraper.state.error


def test_answers_without_end() -> None:
    """A target that sends without end, or nothing more, is given up in time."""
    _, endless = scraped(httpx.Response(200, content=_endless()))
    _, silent = scraped(httpx.Response(200, content=_silent()))

    assert "more than 16 MiB" in endless.state.error
    assert "longer than" in silent.state.error


def test_targets_do_not_come_at_once() -> None:
    """Each target has a place of its own in the interval, the same after a restart."""
    waits = [first_wait(Target(f"http://host-{number}/metrics", "j"), 100.0) for number in range(50)]  # fmt: skip

    assert len(set(waits)) == 50
    assert all(0 <= wait < 5 for wait in waits)
    again = first_wait(Target("http://host-0/metrics", "j"), 101.0)
    assert math.isclose((waits[0] - 1) % 5, again)
    assert scrape.BODY_BYTES == 16 << 20
