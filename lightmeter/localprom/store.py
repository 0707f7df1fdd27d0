"""Samples in memory, bounded by age and by the number of series.

Times are Unix milliseconds. A series is two growing arrays; what a reader was given stays as it
is, whatever is appended afterwards. One thread appends, any number read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from lightmeter.localprom.frame import Bools, Floats, Ints
from lightmeter.localprom.labels import NAME, Labels
from lightmeter.localprom.patterns import compiled


STALE_BITS = 0x7FF0000000000002
"""The NaN that says 'gone' (https://github.com/prometheus/prometheus/blob/main/model/value/value.go)."""
STALE: float = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
DAY_MS = 86_400_000
_FIRST_ROOM = 16


def stale(values: Floats) -> Bools:
    """Say which values are staleness markers."""
    marks: Bools = values.view(np.uint64) == np.uint64(STALE_BITS)
    return marks


class Kept(StrEnum):
    """What became of a sample."""

    YES = "kept"
    FULL = "the store holds as many series as it may"
    OLD = "it is not newer than the series' last sample"


class Series:
    """The samples of one label set, oldest first."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self._times: Ints = np.empty(_FIRST_ROOM, np.int64)
        self._values: Floats = np.empty(_FIRST_ROOM, np.float64)
        self._begin = self._end = 0

    def __len__(self) -> int:
        return self._end - self._begin

    @property
    def last_ms(self) -> int:
        """When its last sample was taken; before all times while it has none."""
        return int(self._times[self._end - 1]) if len(self) else -(2**62)

    def extend(self, times: Ints, values: Floats) -> None:
        """Put samples at the end; all are newer than the last."""
        end = self._end + len(times)
        if end > len(self._times):
            self._grow(2 * (end - self._begin))
            end = self._end + len(times)
        self._times[self._end : end] = times
        self._values[self._end : end] = values
        self._end = end

    def append(self, time_ms: int, value: float) -> None:
        """Put one sample at the end."""
        if self._end == len(self._times):
            self._grow(2 * len(self) + 2)
        self._times[self._end] = time_ms
        self._values[self._end] = value
        self._end += 1

    def _grow(self, room: int) -> None:
        times, values = self.read()
        self._times, self._values = np.empty(room, np.int64), np.empty(room, np.float64)
        self._times[: len(times)], self._values[: len(times)] = times, values
        self._begin, self._end = 0, len(times)

    def forget(self, before_ms: int) -> None:
        """Drop what is older; the memory is given back when half of it is unused."""
        times, _ = self.read()
        self._begin += int(np.searchsorted(times, before_ms))
        if self._begin > len(self._times) // 2:
            self._grow(max(2 * len(self), _FIRST_ROOM))

    def read(self, begin_ms: int | None = None, end_ms: int | None = None) -> tuple[Ints, Floats]:
        """Return times and values, staleness markers among them; both bounds are included."""
        times, values = self._times[self._begin : self._end], self._values[self._begin : self._end]
        low = 0 if begin_ms is None else int(np.searchsorted(times, begin_ms))
        high = len(times) if end_ms is None else int(np.searchsorted(times, end_ms, side="right"))
        return times[low:high], values[low:high]


@dataclass(frozen=True)
class Match:
    """A condition on one label; ``kind`` is one of ``=``, ``!=``, ``=~``, ``!~``."""

    name: str
    kind: str
    value: str

    def accepts(self, value: str) -> bool:
        """Say whether a label's value (empty where it has none) is as wanted.

        Raises:
            QueryError: the regular expression cannot be used.
        """
        if self.kind in ("=", "!="):
            return (value == self.value) == (self.kind == "=")
        return compiled(self.value).matches(value) == (self.kind == "=~")


class Store:
    """All series, found by their labels."""

    def __init__(self, *, retention_ms: int = 3 * DAY_MS, most_series: int = 50_000) -> None:
        self.retention_ms = retention_ms
        self.most_series = most_series
        self.refused = 0
        self._series: dict[Labels, Series] = {}
        self._index: dict[tuple[str, str], dict[Labels, Series]] = {}

    def __len__(self) -> int:
        return len(self._series)

    def append(self, labels: Labels, time_ms: int, value: float) -> Kept:
        """Keep a sample; when full, known series go on and new ones are refused and counted."""
        series = self._series.get(labels) or self._new(labels)
        if series is None:
            self.refused += 1
            return Kept.FULL
        if time_ms <= series.last_ms:
            return Kept.OLD
        series.append(time_ms, value)
        return Kept.YES

    def extend(self, labels: Labels, times: Ints, values: Floats) -> Kept:
        """Keep samples in order of time, those newer than the series' last."""
        series = self._series.get(labels) or self._new(labels)
        if series is None:
            self.refused += len(times)
            return Kept.FULL
        newer = int(np.searchsorted(times, series.last_ms, side="right"))
        series.extend(times[newer:], values[newer:])
        return Kept.OLD if newer else Kept.YES

    def end(self) -> None:
        """End every series a millisecond after its last sample: nobody knows what came then."""
        for series in self._series.values():
            _, values = series.read()
            if len(values) and not stale(values[-1:])[0]:
                series.append(series.last_ms + 1, STALE)

    def _new(self, labels: Labels) -> Series | None:
        if len(self._series) >= self.most_series:
            return None
        series = Series(labels)
        self._series[labels] = series
        for pair in labels:
            self._index.setdefault(pair, {})[labels] = series
        return series

    def forget(self, now_ms: int) -> None:
        """Drop samples older than the retention, and series that have none left."""
        for labels, series in list(self._series.items()):
            series.forget(now_ms - self.retention_ms)
            if not len(series):
                self._drop(labels)

    def _drop(self, labels: Labels) -> None:
        del self._series[labels]
        for pair in labels:
            del self._index[pair][labels]
            if not self._index[pair]:
                del self._index[pair]

    def select(self, matches: Sequence[Match]) -> list[Series]:
        """Find the series that meet all conditions, in the order of their labels.

        Raises:
            QueryError: a regular expression cannot be used.
        """
        exact = [match for match in matches if match.kind == "=" and match.value]
        other = [match for match in matches if match not in exact]
        found = self._exact(exact)
        for match in other:
            known: dict[str, bool] = {}
            found = [series for series in found if _asked(known, match, series.labels)]
        return sorted(found, key=lambda series: series.labels)

    def _exact(self, matches: list[Match]) -> list[Series]:
        if not matches:
            return list(self._series.values())
        sets = [self._index.get((match.name, match.value), {}) for match in matches]
        smallest = min(sets, key=len)
        return [series for labels, series in list(smallest.items()) if all(labels in one for one in sets)]  # fmt: skip

    def names(self, within: Iterable[Series] | None = None) -> list[str]:
        """List the names of labels, of all series or of some."""
        chosen = self._series.values() if within is None else within
        return sorted({name for series in list(chosen) for name, _ in series.labels})

    def values(self, name: str, within: Iterable[Series] | None = None) -> list[str]:
        """List the values of a label, of all series or of some."""
        if within is None:
            return sorted({value for label, value in list(self._index) if label == name})
        return sorted({value for series in within for label, value in series.labels if label == name})  # fmt: skip

    def metrics(self) -> list[str]:
        """List the names of metrics."""
        return self.values(NAME)


def _asked(known: dict[str, bool], match: Match, labels: Labels) -> bool:
    value = next((value for name, value in labels if name == match.name), "")
    if value not in known:
        known[value] = match.accepts(value)
    return known[value]
