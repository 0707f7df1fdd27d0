"""A source of readings that asks dcgm-exporter for its text once a second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

import httpx

from exporter.dcgmtext import Peaks, Text, parse, snapshots
from exporter.snapshot import Fleet, Health, Owner, Snapshot
from lightmeter.catalog import GpuState
from lightmeter.units import without_password


EVERY_SECONDS = 1.0
TIMEOUT_SECONDS = 5.0
STALE_SECONDS = 10.0
"""Readings that are older are absent."""
MAX_BYTES = 16 * 2**20
_NOTHING = Text({}, 0)
_log = logging.getLogger(__name__)


class TooLongError(ValueError):
    """The page goes beyond `MAX_BYTES`."""


def fetch(client: httpx.Client, url: str) -> str:
    """Read a page, but no more of it than is decent.

    Raises:
        httpx.HTTPError: it cannot be had. TooLongError: there is no end of it.
    """
    with client.stream("GET", url) as answer:
        answer.raise_for_status()
        parts, size = [], 0
        for part in answer.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > MAX_BYTES:
                raise TooLongError(f"its page is longer than {MAX_BYTES} bytes")
    return b"".join(parts).decode(errors="replace")


class DcgmSource:
    """Asks a URL in a thread until it is closed; ``window`` is that of the peaks, seconds."""

    def __init__(
        self,
        url: str,
        *,
        window: float = 60.0,
        expected: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lines_skipped = 0
        self._url = url
        self._window = window
        self._configured = expected
        self._clock = clock
        self._peaks = Peaks(window)
        self._since = clock()
        self._at = 0.0
        self._text = _NOTHING
        self._snapshots: tuple[Snapshot, ...] = ()
        self._seen: dict[str, int] = {}
        self._reason = ""
        self._end = threading.Event()
        threading.Thread(target=self._work, name="dcgm", daemon=True).start()

    def fleet(self) -> Fleet:
        """Tell what the last page said, if it is not too old."""
        fresh = self._at > 0 and self._clock() - self._at <= STALE_SECONDS
        return Fleet(
            snapshots=self._snapshots if fresh else (),
            health=self._health(fresh=fresh),
            expected=self._configured or len(self._seen) or None,
            source="dcgm",
            peak_window_seconds=self._window,
        )

    def exclusive(self) -> Mapping[str, Owner]:
        """Tell the containers that the text names as the only holders of a device, by UUID."""
        holders: dict[str, set[Owner]] = {}
        for reading in self._text.readings.values():
            holders.setdefault(reading.gpu.uuid, set()).update(reading.holders)
        return {uuid: next(iter(owners)) for uuid, owners in holders.items() if len(owners) == 1}

    def close(self) -> None:
        """Stop asking."""
        self._end.set()

    def _health(self, *, fresh: bool) -> tuple[Health, ...]:
        age = max(0.0, self._clock() - self._at) if self._at else None
        told = {reading.gpu.uuid for reading in self._text.readings.values()}
        states = {
            uuid: GpuState.UNREACHABLE
            if not fresh
            else GpuState.OK
            if uuid in told
            else GpuState.LOST
            for uuid in self._seen
        }
        if not states:
            nobody = (
                GpuState.STARTING if not self._at and self._reason == "" else GpuState.UNREACHABLE
            )
            return (Health(index=None, uuid=None, up=False, reason=nobody, age_seconds=age, detail=self._reason),)  # fmt: skip
        return tuple(
            Health(
                index=self._seen[uuid],
                uuid=uuid,
                up=state is GpuState.OK,
                reason=state,
                age_seconds=age,
                detail=self._reason,
            )
            for uuid, state in states.items()
        )

    def _work(self) -> None:
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            while not self._end.is_set():
                try:
                    self._take(fetch(client, self._url))
                    self._turn("")
                except (httpx.HTTPError, httpx.InvalidURL, TooLongError) as error:
                    self._turn(str(error) or type(error).__name__)
                self._end.wait(EVERY_SECONDS)

    def _turn(self, reason: str) -> None:
        if reason and not self._reason:
            _log.warning("dcgm-exporter at %s is not read: %s", without_password(self._url), reason)
        elif self._reason and not reason:
            _log.warning("dcgm-exporter at %s is read again", without_password(self._url))
        self._reason = reason

    def _take(self, page: str) -> None:
        now = self._clock()
        text = parse(page)
        self._snapshots = tuple(snapshots(text, self._peaks, now, self._since))
        self._seen |= {reading.gpu.uuid: reading.gpu.index for reading in text.readings.values()}
        self.lines_skipped += text.skipped
        self._text, self._at = text, now
