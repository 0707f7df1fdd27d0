"""Asks targets for their metrics at a steady pace."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from urllib.parse import urlsplit

import httpx

from lightmeter.errors import HistoryError, OutsideError, ServerError
from lightmeter.localprom.exposition import Page, Reader
from lightmeter.localprom.keep import Keeper
from lightmeter.localprom.labels import NAME, Labels, changed, pack
from lightmeter.localprom.store import STALE


ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5"
BODY_BYTES = 16 << 20
"""Of one page; 2,000 series take about 200 kB."""
MOST_SAMPLES = 50_000
Clock = Callable[[], float]


@dataclass(frozen=True)
class Target:
    """Who is asked; the labels ``job`` and ``instance`` are added to all that it exposes."""

    url: str
    job: str
    labels: Mapping[str, str] = field(default_factory=dict)
    interval_seconds: float = 5.0
    timeout_seconds: float = 4.0

    @property
    def own_labels(self) -> Labels:
        """What it is known by."""
        return pack({"job": self.job, "instance": urlsplit(self.url).netloc, **self.labels})


@dataclass
class State:
    """How the last scrape went; times are Unix milliseconds."""

    target: Target
    up: bool = False
    error: str = ""
    last_ms: int | None = None
    took_seconds: float = 0.0
    series: set[Labels] = field(default_factory=set)


class Scraper:
    """Scrapes one target; the client is the caller's."""

    def __init__(self, target: Target, keeper: Keeper, client: httpx.AsyncClient) -> None:
        self.state = State(target)
        self._keeper = keeper
        self._client = client
        self._reader = Reader(target.own_labels)

    async def scrape(self, now_ms: int) -> None:
        """Ask once and keep what comes; a target that fails is down, and its series end.

        Raises:
            HistoryError: the disk refuses the samples.
        """
        begun, page, state = time.perf_counter(), Page(), self.state
        try:
            page = await self._page()
            state.up, state.error = True, ""
        except OutsideError as error:
            state.up, state.error = False, str(error)
        state.last_ms, state.took_seconds = now_ms, time.perf_counter() - begun
        self._keep(page, now_ms)

    async def _page(self) -> Page:
        target = self.state.target
        try:
            async with asyncio.timeout(target.timeout_seconds):
                kind, body = await self._asked()
        except TimeoutError as error:
            raise ServerError(f"target {target.url} took longer than {target.timeout_seconds:g} s") from error  # fmt: skip
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServerError(f"target {target.url} cannot be read: {str(error) or type(error).__name__}") from error  # fmt: skip
        try:
            page = self._reader.read(body.decode(), openmetrics="openmetrics" in kind)
        except UnicodeDecodeError as error:
            raise ServerError(f"target {target.url} sends what is not UTF-8") from error
        if len(page.samples) > MOST_SAMPLES:
            raise ServerError(f"target {target.url} sends {len(page.samples)} samples; {MOST_SAMPLES} are taken")  # fmt: skip
        return page

    async def _asked(self) -> tuple[str, bytes]:
        """Ask, and once more where the connection that was kept since the last time was just hung up."""
        try:
            return await self._body()
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return await self._body()

    async def _body(self) -> tuple[str, bytes]:
        url = self.state.target.url
        async with self._client.stream("GET", url, headers={"Accept": ACCEPT}) as answer:
            if answer.status_code != httpx.codes.OK:
                raise ServerError(f"target {url} answers {answer.status_code}")
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > BODY_BYTES:
                    raise ServerError(f"target {url} sends more than {BODY_BYTES >> 20} MiB")
            return answer.headers.get("content-type", ""), bytes(body)

    def _keep(self, page: Page, now_ms: int) -> None:
        state, own = self.state, self.state.target.own_labels
        fresh = {labels: value for labels, value, at in page.samples if at is None}
        ended = dict.fromkeys(state.series - fresh.keys(), STALE)
        state.series = set(fresh)
        facts = {"up": float(state.up), "scrape_duration_seconds": state.took_seconds, "scrape_samples_scraped": float(len(page.samples))}  # fmt: skip
        told = {changed(own, {NAME: name}): value for name, value in facts.items()}
        stamped = sorted((at, labels, value) for labels, value, at in page.samples if at is not None)  # fmt: skip
        for at, group in groupby(stamped, key=lambda each: each[0]):
            self._keeper.write(at, [(labels, value) for _, labels, value in group])
        self._keeper.write(now_ms, [*fresh.items(), *ended.items(), *told.items()])
        self._keeper.about.update(page.about)
        for labels, exemplar in page.exemplars:
            self._keeper.remember(labels, exemplar)


def first_wait(target: Target, now_seconds: float) -> float:
    """Say how long to wait for the target's own place in its interval, so that not all come at once.

    The place depends on the target only, so that samples stay evenly apart over a restart.
    """
    share = zlib.crc32(target.url.encode()) / 2**32
    return (share * target.interval_seconds - now_seconds) % target.interval_seconds


async def follow(scraper: Scraper, said: Callable[[str], None], *, clock: Clock = time.time) -> None:  # fmt: skip
    """Scrape at the target's pace until cancelled; a scrape that takes too long skips a turn.

    Samples carry the moment that was planned, so that they are evenly apart and pack well.
    ``said`` hears in one line when the disk refuses samples.
    """
    target = scraper.state.target
    planned = clock() + first_wait(target, clock())
    while True:
        await asyncio.sleep(max(0.0, planned - clock()))
        try:
            await scraper.scrape(round(planned * 1000))
        except HistoryError as error:
            said(str(error))
        missed = max(0, int((clock() - planned) // target.interval_seconds))
        planned += (missed + 1) * target.interval_seconds
