"""What localprom still knows after a restart, a crash and a damaged disk."""

from __future__ import annotations

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
