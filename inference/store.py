"""The bounded store behind ``response_format: url``: so many bytes, so many seconds, oldest go first.

Several servers can share one: each counts everything that lies there, looks again every minute, and
leaves alone what has another kind of name. A name holds 96 random bits, so who has it may see it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from inference.shelf import Entry, Shelf
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


@dataclass(frozen=True)
class Bounds:
    """What a store may hold: bytes in all, and seconds for each file."""

    most_bytes: int
    most_seconds: float


def picture_name(request_id: str, index: int, output_format: str) -> str:
    """Name a stored picture: request id, place in the request, format."""
    return f"{request_id}-{index}.{output_format}"


def kind_of(name: str) -> str | None:
    """Media type of a stored picture; None where the name cannot be one's."""
    match = _PICTURE.fullmatch(name)
    return KINDS[match["format"]] if match else None


def surplus(entries: Iterable[Entry], bounds: Bounds, now: float) -> list[Entry]:
    """Choose what has to go: what is too old, then the oldest until the rest fits."""
    ordered = sorted(entries, key=lambda entry: (entry.at, entry.name))
    left = sum(entry.size for entry in ordered)
    gone = []
    for entry in ordered:
        if left <= bounds.most_bytes and now - entry.at <= bounds.most_seconds:
            break
        gone.append(entry)
        left -= entry.size
    return gone


class PictureStore:
    """Pictures by name. All work is done in threads of its own, so a slow place holds up nobody."""

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
        self._index: dict[str, Entry] = {}
        self._writing: set[str] = set()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store")
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
        await self._off_loop(self._put, name, data)

    async def look(self, name: str) -> Entry | None:
        """Say how large and how old a file is; None where it is not here, or too old.

        Raises:
            StoreError: the place does not answer.
        """
        return await self._off_loop(self._fresh, name)

    async def get(self, name: str) -> bytes | None:
        """Return a file; None where it is not here, or too old.

        Raises:
            StoreError: the place does not answer.
        """
        return await self._off_loop(self._get, name)

    def left(self, entry: Entry) -> float:
        """Seconds until a file is too old."""
        return entry.at + self.bounds.most_seconds - self._clock()

    async def keep(self) -> None:
        """Look again and again at what is there, and drop what is too much, until cancelled."""
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, self.bounds.most_seconds / 2))
            try:
                await self._off_loop(self._look)
            except StoreError as error:
                _log.warning("%s", error)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _off_loop(self, work: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await loop.run_in_executor(self._threads, lambda: work(*arguments, **named))
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
            self._index[name] = Entry(name, len(data), self._clock())
            going = self._drop_surplus()
        try:
            self._remove(going)
            self._shelf.write(name, data)
        except StoreError:
            with self._lock:
                self._index.pop(name, None)
            raise
        finally:
            self._writing.discard(name)
        with self._lock:
            crowded_out = name not in self._index  # by others, while it was being written
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
            unlisted = {name: self._index[name] for name in self._writing & self._index.keys()}
            self._index = {entry.name: entry for entry in ours} | unlisted
            going = self._drop_surplus()
        self._remove(going)

    def _drop_surplus(self) -> list[Entry]:
        going = surplus(self._index.values(), self.bounds, self._clock())
        for entry in going:
            del self._index[entry.name]
        return going

    def _remove(self, going: list[Entry]) -> None:
        for entry in going:
            self._shelf.remove(entry.name)
