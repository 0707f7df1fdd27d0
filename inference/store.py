"""The bounded store behind ``response_format: url``: so many bytes, so many seconds, oldest go first.

Several servers can share one: each counts everything that lies there, looks again every minute, and
leaves alone what has another kind of name. A name holds 96 random bits of its own, so who has it may see it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from inference.shelf import Entry, Shelf
from inference.stock import Bounds, Stock
from lightmeter.errors import InputError, StoreError
from lightmeter.settings import Serve


P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger(__name__)
IMAGES = "/v1/images/"
"""Where stored pictures are served, each under its name."""
KINDS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_PICTURE = re.compile(r"img_[0-9a-f]{24}-\d{1,3}\.(?P<format>png|jpeg|webp)", re.ASCII)
_OURS = re.compile(r"(img|job)_[\w.-]+\.(png|jpeg|webp|json)", re.ASCII)
_PARTIAL = re.compile(rf"\.{_OURS.pattern}\.[\d-]+", re.ASCII)
LOOK_SECONDS = 60.0
"""How often what other servers put there is seen, and what is too old goes."""
PATIENCE_SECONDS = 30.0
"""A place that does not answer so long is taken to be broken."""
_THREADS = 4


class UnknownPicture(InputError):  # noqa: N818  (an answer, not a fault)
    """There is no such picture here, or not any more."""


def picture_names(count: int, output_format: str) -> list[str]:
    """Name the pictures of a request, anew: no log, trace or history that has its id knows them."""
    stem = f"img_{secrets.token_hex(12)}"
    return [f"{stem}-{index}.{output_format}" for index in range(count)]


def kind_of(name: str) -> str | None:
    """Media type of a stored picture; None where the name cannot be one's."""
    match = _PICTURE.fullmatch(name)
    return KINDS[match["format"]] if match else None


class PictureStore:
    """Pictures by name. All work is done in threads of its own, so a slow place holds up nobody.

    Who looks for pictures has other threads than who makes them: anybody may look.
    """

    def __init__(
        self, place: str, bounds: Bounds, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Open the place and take stock.

        Raises:
            SettingError: no such kind of place. StoreError: it cannot be made or listed.
        """
        self.bounds = bounds
        self._clock = clock
        self._shelf = Shelf(place)
        self._lock = threading.Lock()
        self._stock = Stock(bounds)
        self._writing: set[str] = set()
        self._writers = ThreadPoolExecutor(_THREADS, thread_name_prefix="store-write")
        self._readers = ThreadPoolExecutor(_THREADS, thread_name_prefix="store-read")
        self._look()

    @classmethod
    def of(cls, settings: Serve) -> PictureStore:
        """Open the store that the settings describe."""
        place = settings.store or str(settings.data / "images")
        return cls(place, Bounds(settings.store_bytes, settings.store_seconds))

    async def put(self, name: str, data: bytes) -> None:
        """Store a file; older ones go where there is no room.

        Raises:
            StoreError: it is larger than the store, or the place refuses it.
        """
        await self._off_loop(self._writers, self._put, name, data)

    async def look(self, name: str) -> Entry | None:
        """Say how large and how old a file is; None where it is not here, or too old.

        Raises:
            StoreError: the place does not answer.
        """
        return await self._off_loop(self._readers, self._fresh, name)

    async def get(self, name: str) -> bytes | None:
        """Return a file; None where it is not here, or too old.

        Raises:
            StoreError: the place does not answer.
        """
        return await self._off_loop(self._readers, self._get, name)

    def left(self, entry: Entry) -> float:
        """Seconds until a file is too old."""
        return entry.at + self.bounds.most_seconds - self._clock()

    async def keep(self) -> None:
        """Look again and again at what is there, and drop what is too much, until cancelled."""
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, max(1.0, self.bounds.most_seconds / 2)))
            try:
                await self._off_loop(self._writers, self._look)
            except StoreError as error:
                _log.warning("%s", error)

    def close(self) -> None:
        """End the threads."""
        for threads in (self._writers, self._readers):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _off_loop(
        self, threads: Executor, work: Callable[P, T], /, *arguments: P.args, **named: P.kwargs
    ) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await loop.run_in_executor(threads, lambda: work(*arguments, **named))
        except TimeoutError as error:
            raise StoreError(
                f"picture store {self._shelf.place!r} did not answer within {PATIENCE_SECONDS:g} s"
            ) from error

    def _put(self, name: str, data: bytes) -> None:
        if len(data) > self.bounds.most_bytes:
            raise StoreError(
                f"{name} has {len(data)} bytes; the picture store holds {self.bounds.most_bytes}"
            )
        with self._lock:
            self._writing.add(name)
            self._stock.add(Entry(name, len(data), self._clock()))
            going = self._stock.drop_surplus(self._clock())
        try:
            self._remove(going)
            self._shelf.write(name, data)
        except StoreError:
            with self._lock:
                self._writing.discard(name)
                self._stock.drop(name)
            raise
        with self._lock:  # at once: a look in between would not know the file, and it would go
            self._writing.discard(name)
            crowded_out = name not in self._stock  # by others, while it was being written
        if crowded_out:
            self._shelf.remove(name)

    def _get(self, name: str) -> bytes | None:
        return self._shelf.read(name) if self._fresh(name) else None

    def _fresh(self, name: str) -> Entry | None:
        entry = self._shelf.entry(name) if _OURS.fullmatch(name) else None
        return entry if entry and self.left(entry) > 0 else None

    def _look(self) -> None:
        """Take stock of the place, other servers' files too, and drop what is too much."""
        ours = [
            entry
            for entry in self._shelf.entries()
            if _OURS.fullmatch(entry.name) or _PARTIAL.fullmatch(entry.name)
        ]
        with self._lock:
            listed = {entry.name: entry for entry in ours}
            writing = filter(None, map(self._stock.drop, list(self._writing)))
            listed |= {entry.name: entry for entry in writing}
            self._stock = Stock(self.bounds, listed.values())
            going = self._stock.drop_surplus(self._clock())
        self._remove(going)

    def _remove(self, going: list[Entry]) -> None:
        for entry in going:
            self._shelf.remove(entry.name)
