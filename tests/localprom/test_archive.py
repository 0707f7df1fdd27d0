"""What localprom still knows after a restart, a crash and a damaged disk."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from lightmeter.errors import HistoryError
from lightmeter.localprom.archive import SEGMENT_MS, Archive, Sample, load, segments
from lightmeter.localprom.labels import pack
from lightmeter.localprom.store import STALE, Store, stale


def batch(*values: float) -> list[Sample]:
    return [(pack({"__name__": f"m{at}", "job": "ä"}), value) for at, value in enumerate(values)]


def written(folder: Path) -> None:
    archive = Archive(folder)
    archive.write(1000, batch(1.5, -2))
    archive.write(2000, batch(1.5, float("nan"), 7))
    archive.write(3000, batch(STALE))
    archive.close()


def loaded(folder: Path) -> tuple[Store, list[str]]:
    store = Store()
    return store, load(folder, store)


def test_restart_keeps_the_past(tmp_path: Path) -> None:
    """Every sample is there after a restart, bit for bit, the marks of ended series too."""
    written(tmp_path)

    store, said = loaded(tmp_path)

    assert [] == said
    first, second, third = (series.read() for series in store.select([]))
    assert [1000, 2000, 3000] == first[0].tolist()
    assert [1.5, 1.5] == first[1][:2].tolist()
    assert [False, False, True] == stale(first[1]).tolist()
    assert [False, False] == stale(second[1]).tolist()
    assert [7.0] == third[1].tolist()


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_torn_record_is_dropped(tmp_path: Path, cut: int) -> None:
    """A crash in the middle of a write costs that write, and nothing is said of it."""
    written(tmp_path)
    (path,) = segments(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])

    store, said = loaded(tmp_path)

    assert [] == said
    assert [1000, 2000] == store.select([])[0].read()[0].tolist()


def test_damage_is_set_aside(tmp_path: Path) -> None:
    """A flipped bit costs what stands after it; the file is set aside, and it is said."""
    written(tmp_path)
    (path,) = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)

    store, said = loaded(tmp_path)

    assert 1 == len(said)
    assert "set aside" in said[0]
    assert [] == segments(tmp_path)
    assert 1000 == store.select([])[0].read()[0][0]


def test_foreign_file_is_set_aside(tmp_path: Path) -> None:
    """A file that is no segment does not stop the start."""
    (tmp_path / "1-1.samples").write_text("hello")

    store, said = loaded(tmp_path)

    assert 0 == len(store)
    assert "does not begin" in said[0]


def test_old_segments_go(tmp_path: Path) -> None:
    """The folder holds no more than the retention and the segment that is open."""
    archive = Archive(tmp_path)
    for at in range(4):
        archive.write(at * SEGMENT_MS, batch(at))

    archive.forget(3 * SEGMENT_MS)

    assert 2 == len(segments(tmp_path))
    assert [2 * SEGMENT_MS, 3 * SEGMENT_MS] == loaded(tmp_path)[0].select([])[0].read()[0].tolist()


def test_no_folder_can_be_made(tmp_path: Path) -> None:
    """A place that cannot be written is said in one line."""
    (tmp_path / "file").touch()

    with pytest.raises(HistoryError, match="metrics folder"):
        Archive(tmp_path / "file" / "folder")


def test_steady_values_are_small(tmp_path: Path) -> None:
    """A value that stays costs next to nothing, so that a day fits on any disk."""
    archive = Archive(tmp_path)
    steady = [(pack({"__name__": f"m{at}"}), float(at)) for at in range(1000)]
    for at in range(20):
        archive.write(at * 5000, steady)
    archive.close()

    assert np.sum([path.stat().st_size for path in segments(tmp_path)]) < 20 * 1000 * 4


@contextmanager
def almost_full(extra: int, folder: Path) -> Iterator[None]:
    """Let no file grow by more than some bytes, as a disk does that has that much left."""
    (path,) = segments(folder)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + extra, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("extra", [0, 1, 12])
def test_full_disk_costs_only_what_it_refused(tmp_path: Path, extra: int) -> None:
    """When there is room again, what came before and what comes after are there, with the right values."""
    archive = Archive(tmp_path)
    archive.write(1000, batch(1.5, 3))
    with almost_full(extra, tmp_path), pytest.raises(HistoryError, match="metrics folder"):
        archive.write(2000, batch(2.5, 4, 5))
    archive.write(3000, batch(3.5, 6, 7))
    archive.close()

    store, said = loaded(tmp_path)

    assert [] == said
    found = {series.labels[0][1]: [each.tolist() for each in series.read()] for series in store.select([])}  # fmt: skip
    assert {"m0": [[1000, 3000], [1.5, 3.5]], "m1": [[1000, 3000], [3.0, 6.0]], "m2": [[3000], [7.0]]} == found  # fmt: skip


def test_full_disk_is_not_filled_with_empty_files(tmp_path: Path) -> None:
    """A disk with no room at all gets no file for each try."""
    archive = Archive(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, before[1]))
    try:
        for at in (1000, 2000, 3000):
            with pytest.raises(HistoryError, match="metrics folder"):
                archive.write(at, batch(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert [] == segments(tmp_path)
