"""Samples on disk: append-only segments, so that a restart keeps the past.

A segment begins with `MAGIC` and holds records: length and CRC-32 of the payload (4 bytes each,
little-endian), a kind, the payload. ``S`` is new label sets as JSON; ``B`` is a batch of one
moment: zlib of the time, the series' numbers, and each value XORed with the series' last one, the
bytes of equal weight side by side. A value that stays the same is eight zeros, as most are.
"""

from __future__ import annotations

import itertools
import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lightmeter.errors import HistoryError, explain
from lightmeter.localprom.frame import Floats
from lightmeter.localprom.labels import Labels
from lightmeter.localprom.store import Store


ANY_VERSION = b"lightmeter-samples-"
MAGIC = ANY_VERSION + b"1\n"
SUFFIX = ".samples"
SEGMENT_MS = 2 * 3_600_000
_HEAD = struct.Struct("<IIc")
_BATCH = struct.Struct("<qI")
Bits = npt.NDArray[np.uint64]
Sample = tuple[Labels, float]


class Archive:
    """A folder of segments, of which one is open; one thread writes."""

    def __init__(self, folder: Path) -> None:
        """Open it.

        Raises:
            HistoryError: the folder cannot be made or written.
        """
        self._folder = folder
        self._file = -1
        self._begun_ms = 0
        self._numbers: dict[Labels, int] = {}
        self._last: Bits = np.zeros(0, np.uint64)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HistoryError(f"metrics folder {str(folder)!r} {explain(error)}; name a writable one") from error  # fmt: skip

    def write(self, time_ms: int, samples: Sequence[Sample]) -> None:
        """Put the samples of one moment on disk; afterwards they outlive the process.

        Raises:
            HistoryError: the disk refuses them.
        """
        try:
            if self._file < 0 or time_ms - self._begun_ms >= SEGMENT_MS:
                self._begin(time_ms)
            _put(self._file, self._records(time_ms, samples))
        except OSError as error:
            self.close()  # values are told by their change: after one that is missing, none can be
            raise HistoryError(f"metrics folder {str(self._folder)!r} {explain(error)}") from error

    def _begin(self, time_ms: int) -> None:
        self.close()
        name = f"{time_ms:015d}-{os.getpid()}{SUFFIX}"
        self._file = os.open(self._folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o640)  # fmt: skip
        try:
            _put(self._file, MAGIC)
        except OSError:
            (self._folder / name).unlink(missing_ok=True)  # a full disk is asked again and again
            raise
        self._begun_ms = time_ms
        self._numbers, self._last = {}, np.zeros(0, np.uint64)

    def _records(self, time_ms: int, samples: Sequence[Sample]) -> bytes:
        new = list(dict.fromkeys(labels for labels, _ in samples if labels not in self._numbers))
        for labels in new:
            self._numbers[labels] = len(self._numbers)
        self._last = np.concatenate([self._last, np.zeros(len(new), np.uint64)])
        numbers = np.array([self._numbers[labels] for labels, _ in samples], np.uint32)
        bits = np.array([value for _, value in samples], np.float64).view(np.uint64)
        changes = bits ^ self._last[numbers]
        self._last[numbers] = bits
        begun = _record(b"S", json.dumps(new).encode()) if new else b""
        return begun + _record(b"B", _packed(time_ms, numbers, changes))

    def forget(self, before_ms: int) -> None:
        """Delete segments all of whose samples are older."""
        found = segments(self._folder)
        for path, following in itertools.pairwise(found):
            if _began(following) < before_ms:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the open segment."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _put(file: int, data: bytes) -> None:
    """Append all of it or nothing; a disk that is almost full takes a part, and says no error.

    Raises:
        OSError: the disk refuses it.
    """
    before, rest = os.fstat(file).st_size, memoryview(data)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        os.ftruncate(file, before)
        raise


def _packed(time_ms: int, numbers: npt.NDArray[np.uint32], changes: Bits) -> bytes:
    beside = np.diff(numbers, prepend=np.uint32(0)).astype(np.uint32)
    planes = np.ascontiguousarray(changes.view(np.uint8).reshape(-1, 8).T)
    return zlib.compress(_BATCH.pack(time_ms, len(numbers)) + beside.tobytes() + planes.tobytes(), 1)  # fmt: skip


def _record(kind: bytes, payload: bytes) -> bytes:
    return _HEAD.pack(len(payload), zlib.crc32(kind + payload), kind) + payload


def segments(folder: Path) -> list[Path]:
    """List a folder's segments, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def _began(path: Path) -> int:
    digits = path.name.partition("-")[0]
    return int(digits) if digits.isdigit() else 0


@dataclass
class _Read:
    labels: list[Labels] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    numbers: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    last: Bits = field(default_factory=lambda: np.zeros(0, np.uint64))


def load(folder: Path, store: Store) -> list[str]:
    """Put what a folder holds into a store; return a line for each thing that was wrong.

    A last record that a crash cut short is dropped. A segment that is damaged gives what stands
    before the damage and is set aside under another name; one of another version stays.

    Raises:
        HistoryError: a segment cannot be read or set aside.
    """
    said: list[str] = []
    for path in segments(folder):
        try:
            data = path.read_bytes()
            if data.startswith(ANY_VERSION) and not data.startswith(MAGIC):
                said.append(f"{path.name}: another version of lightmeter wrote it; it is left as it is, for that one")  # fmt: skip
                continue
            read, wrong = _segment(data)
            if wrong:
                path.rename(path.with_suffix(".damaged"))
                said.append(f"{path.name}: {wrong}; what stood before it is kept, and the file is set aside")  # fmt: skip
        except OSError as error:
            raise HistoryError(f"metrics file {str(path)!r} {explain(error)}") from error
        _fill(store, read)
    return said


def _segment(data: bytes) -> tuple[_Read, str]:
    read = _Read()
    if not data.startswith(MAGIC):
        return read, "" if MAGIC.startswith(data) else "it does not begin as a file of samples does"
    try:
        for kind, payload in _payloads(data):
            _take(read, kind, payload)
    except (ValueError, zlib.error, struct.error, IndexError) as error:
        return read, f"damaged ({error})"
    return read, ""


def _payloads(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(MAGIC)
    while at + _HEAD.size <= len(data):
        length, crc, kind = _HEAD.unpack_from(data, at)
        begin, at = at + _HEAD.size, at + _HEAD.size + length
        if at > len(data):
            return  # torn
        payload = data[begin:at]
        if zlib.crc32(kind + payload) != crc:
            raise ValueError(f"wrong checksum at byte {begin}")
        yield kind, payload


def _take(read: _Read, kind: bytes, payload: bytes) -> None:
    if kind == b"S":
        new = [tuple((str(name), str(value)) for name, value in labels) for labels in json.loads(payload)]  # fmt: skip
        read.labels += new
        read.last = np.concatenate([read.last, np.zeros(len(new), np.uint64)])
        return
    batch = zlib.decompress(payload)
    time_ms, count = _BATCH.unpack_from(batch)
    numbers = np.cumsum(np.frombuffer(batch, np.uint32, count, _BATCH.size), dtype=np.uint32)
    planes = np.frombuffer(batch, np.uint8, 8 * count, _BATCH.size + 4 * count)
    changes = np.ascontiguousarray(planes.reshape(8, -1).T).view(np.uint64).ravel()
    bits = changes ^ read.last[numbers]
    read.last[numbers] = bits
    read.times.append(time_ms)
    read.numbers.append(numbers)
    read.values.append(bits.view(np.float64))


def _fill(store: Store, read: _Read) -> None:
    if not read.times:
        return
    numbers, values = np.concatenate(read.numbers), np.concatenate(read.values)
    times = np.repeat(np.array(read.times, np.int64), [len(each) for each in read.numbers])
    order = np.lexsort((times, numbers))
    edges = np.searchsorted(numbers[order], np.arange(len(read.labels) + 1))
    for number, labels in enumerate(read.labels):
        part = order[edges[number] : edges[number + 1]]
        if len(part):
            store.extend(labels, times[part], values[part])
