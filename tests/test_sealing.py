"""Sealing journals into Parquet: nothing lost, nothing doubled, whatever happens meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PosixPath
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset

from lightmeter import history, journal, tables
from lightmeter.history import History
from lightmeter.journal import Journal
from lightmeter.rows import MEASURES, UsageRow
from support.cli import clean_environment, python
from support.rows import DAY, every, row


BUSY_WRITER = """
import sys, time
from pathlib import Path
from lightmeter import history
from lightmeter.journal import Journal
from support.rows import DAY, row
folder = Path(sys.argv[1])
for turn in range(25):
    with Journal(folder) as book:
        for n in range(20):
            book.append(row(turn * 20 + n + DAY * (n % 2)))
            time.sleep(0.001)
    history.seal_orphans(folder)
"""
FULL_DISK = """
import resource, sys
from pathlib import Path
from lightmeter import history
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
history.seal_orphans(Path(sys.argv[1]))
"""


def append(folder: Path, *usage: UsageRow) -> Path:
    """Write rows to a journal and close it."""
    with Journal(folder) as book:
        for one in usage:
            book.append(one)
    return book.path


def ids(folder: Path) -> list[str]:
    """Read the ids of a folder, in order of arrival."""
    return list(History(folder).frame(["request_id"])["request_id"])


def test_sealed(tmp_path: Path) -> None:
    """Sealing moves the rows into a Parquet file for each day and changes none of them."""
    full: dict[str, Any] = dict.fromkeys(MEASURES, 3) | {
        "peak_vram_bytes": 2**40,
        "queue_seconds": 0.1,
    }
    usage = [row(0.0), row(DAY, **full)]
    path = append(tmp_path, *usage)
    before = pa.concat_tables(History(tmp_path).tables())

    assert 2 == history.seal_orphans(tmp_path)
    assert before == pa.concat_tables(History(tmp_path).tables())
    assert usage == [UsageRow(**values) for values in before.to_pylist()]
    assert not path.exists()
    assert ["date=2026-10-01", "date=2026-10-02"] == sorted(
        file.parent.name for file in tmp_path.glob(f"*/{path.stem}.parquet")
    )


def test_schema(tmp_path: Path) -> None:
    """A sealed file has the contract's columns and types, for whatever program reads it next."""
    history.seal(tmp_path, append(tmp_path, row(0.0)))
    (file,) = tmp_path.glob("date=*/*.parquet")

    strings = [
        "request_id",
        "service",
        "model",
        "tenant",
        "priority",
        "outcome",
        "gpu_uuid",
        "gpu_name",
        "anomaly",
    ]
    floats = ["queue_seconds", "service_seconds", "gpu_seconds", "total_seconds", "energy_joules"]
    ints = ["width", "height", "images", "forwards", "loras", "batch_size"]
    assert {
        "arrived_at": pa.timestamp("us", tz="UTC"),
        **dict.fromkeys(strings, pa.string()),
        **dict.fromkeys(floats, pa.float64()),
        **dict.fromkeys(ints, pa.int32()),
        "peak_vram_bytes": pa.int64(),
        "feedback": pa.int8(),
    } == {field.name: field.type for field in pq.read_schema(file)}


def test_nothing_to_seal(tmp_path: Path) -> None:
    """A folder without journals is sealed already."""
    assert 0 == history.seal_orphans(tmp_path)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(("count", "offset"), [(48, "+00:00"), (1, "-13:00")])
def test_crash_while_sealing(count: int, offset: str, tmp_path: Path) -> None:
    """A crash between writing Parquet and removing the journal doubles no row."""
    path = append(tmp_path, *every(3600, count, first=DAY / 2))
    path.write_text(path.read_text().replace("+00:00", offset))
    expected, left = ids(tmp_path), path.read_bytes()
    history.seal(tmp_path, path)
    path.write_bytes(left)

    assert expected == ids(tmp_path)
    assert count == History(tmp_path).summary()["rows"]
    history.seal_orphans(tmp_path)
    assert expected == ids(tmp_path)


def test_crash_between_days(tmp_path: Path) -> None:
    """A crash after the first of three days was written loses no row of the others."""
    path = append(tmp_path, *every(DAY, 3))
    expected, left = ids(tmp_path), path.read_bytes()
    history.seal(tmp_path, path)
    for day in ("02", "03"):
        (tmp_path / f"date=2026-10-{day}" / f"{path.stem}.parquet").unlink()
    path.write_bytes(left)

    assert 3 == len(expected)
    assert expected == ids(tmp_path)


def test_other_readers(tmp_path: Path) -> None:
    """Other programs read the sealed rows as a dataset partitioned by date, a journal beside them."""
    history.seal(tmp_path, append(tmp_path, *every(DAY, 3)))
    append(tmp_path, row(5.0))
    found = dataset.dataset(tmp_path, format="parquet", partitioning="hive").to_table()

    assert ["2026-10-01", "2026-10-02", "2026-10-03"] == sorted(found["date"].to_pylist())


def test_unreadable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot even be opened is named in the log, and the other journals are sealed."""
    append(tmp_path, row(0))
    (tmp_path / journal.FOLDER / "a.jsonl").mkdir()

    assert 1 == history.seal_orphans(tmp_path)
    assert "journal a.jsonl is not sealed" in caplog.text


def test_live_journal(tmp_path: Path) -> None:
    """A journal that is still written stays, and its rows are read all the same."""
    with Journal(tmp_path) as book:
        book.append(row(0.0))
        assert 0 == history.seal_orphans(tmp_path)
        assert [book.path] == journal.journals(tmp_path)
        assert ["a-0.0"] == ids(tmp_path)


def test_torn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A torn last row is logged with its file; the whole rows before it are sealed."""
    path = append(tmp_path, *every(1, 3))
    path.write_bytes(path.read_bytes()[:-5])

    assert 2 == history.seal_orphans(tmp_path)
    assert ["a-0.0", "a-1.0"] == ids(tmp_path)
    assert str(path) in caplog.text


def test_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Sealing a whole journal logs nothing."""
    append(tmp_path, row(0.0))

    assert 1 == history.seal_orphans(tmp_path)
    assert "" == caplog.text


def test_written_again(tmp_path: Path) -> None:
    """The same import twice is the same history."""
    for _ in range(2):
        assert 5 == history.write(tables.table_of(every(1, 5)), tmp_path, "trace")

    assert 5 == History(tmp_path).summary()["rows"]
    assert not list(tmp_path.glob("*/.*"))


def test_full_disk(tmp_path: Path) -> None:
    """On a full disk sealing is refused in words, the journal stays and no scrap is left."""
    path = append(tmp_path, row(0.0))

    said = python(FULL_DISK, tmp_path).err
    assert said.endswith(f"{path.stem}.parquet' failed: File too large\n")
    assert ["a-0.0"] == ids(tmp_path)
    assert path.exists()
    assert [] == list(tmp_path.glob("date=*/*"))


class Interrupted(PosixPath):
    """A folder in which something happens between two looks at it: at the n-th, `countdown`."""

    happening: Callable[[], object]
    countdown: int

    def glob(self, pattern: str) -> Iterator[Self]:  # type: ignore[override]  # as good as a generator
        """List the matches; what happens then is not among them."""
        found = list(super().glob(pattern))
        self._look()
        return iter(found)

    def read_bytes(self) -> bytes:
        """Read what is left after it happened."""
        self._look()
        return super().read_bytes()

    def _look(self) -> None:
        cls = type(self)
        cls.countdown -= 1
        if cls.countdown == 0:
            cls.happening()


def interruptions(folder: Path) -> Iterator[Path]:
    """Yield a fresh folder with two orphans for each moment at which another process may seal them."""
    for moment in range(1, 100):
        inner = folder / str(moment)
        append(inner, *every(DAY, 3))
        append(inner, row(5.0))
        Interrupted.countdown = moment
        Interrupted.happening = partial(history.seal_orphans, inner)
        yield Interrupted(inner)
        if Interrupted.countdown > 0:
            return


def test_seal_meanwhile(tmp_path: Path) -> None:
    """A seal in the middle of a read, at whatever moment, hides no row and doubles none."""
    counts = [History(folder).summary()["rows"] for folder in interruptions(tmp_path)]

    assert len(counts) > 4
    assert {4} == set(counts)


def test_sealed_by_another(tmp_path: Path) -> None:
    """Two servers that seal the same orphans at the same time do not trip over each other."""
    for folder in interruptions(tmp_path):
        history.seal_orphans(folder)

        assert [] == journal.journals(folder)
        assert ["a-0.0", "a-5.0", "a-86400.0", "a-172800.0"] == ids(Path(folder))


def test_reader_meanwhile(tmp_path: Path) -> None:
    """While another process appends and seals, a reader never sees fewer rows than before."""
    append(tmp_path, row(0.5))
    history.seal_orphans(tmp_path)
    seen = [1]
    environment = clean_environment(PYTHONPATH=str(Path(__file__).parent))
    with subprocess.Popen(
        [sys.executable, "-c", BUSY_WRITER, str(tmp_path)], env=environment
    ) as writer:
        while writer.poll() is None:
            found = ids(tmp_path)
            assert len(set(found)) == len(found)
            seen.append(len(found))

    assert 0 == writer.returncode
    assert sorted(seen) == seen
    assert len(set(seen)) > 3
    assert 501 == len(ids(tmp_path))
