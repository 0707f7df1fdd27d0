"""The history folder: files and journals read as one, and what is wrong is named."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lightmeter import history, tables
from lightmeter.errors import HistoryError
from lightmeter.history import History
from lightmeter.journal import Journal
from lightmeter.rows import COLUMNS, UsageRow
from support import rows
from support.rows import DAY, START, every, row


def append(folder: Path, *usage: UsageRow) -> Path:
    """Write rows to a journal and close it."""
    with Journal(folder) as book:
        for one in usage:
            book.append(one)
    return book.path


def place(folder: Path, table: pa.Table) -> Path:
    """Put a Parquet file into a history folder as some other program would."""
    path = folder / "date=2026-10-01" / "other.parquet"
    path.parent.mkdir()
    pq.write_table(table, path)
    return path


def with_column(name: str, values: Any) -> pa.Table:
    """Make a table of two rows with one column changed or added."""
    table = tables.table_of(every(1, 2))
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, pa.array(values))
    return table.append_column(name, pa.array(values))


def refusal(folder: Path) -> str:
    """Return the one line with which a folder is refused."""
    with pytest.raises(HistoryError) as caught:
        History(folder).summary()
    assert 1 == len(str(caught.value).splitlines())
    return str(caught.value)


def test_as_one(tmp_path: Path) -> None:
    """Journals and Parquet files read as one history, in order of arrival."""
    append(tmp_path, row(3.0))
    rows.folder(tmp_path, [row(2.0), row(0.0)], "late")
    append(tmp_path, row(1.0), row(4.0))

    found = History(tmp_path).frame(["request_id"])
    assert ["a-0.0", "a-1.0", "a-2.0", "a-3.0", "a-4.0"] == list(found["request_id"])


def test_torn(tmp_path: Path) -> None:
    """A torn last row is said to the reader, with the file; the whole rows are read."""
    path = append(tmp_path, *every(1, 3))
    path.write_bytes(path.read_bytes()[:-5])
    past = History(tmp_path)

    assert 2 == past.summary()["rows"]
    (note,) = past.notes
    assert str(path) in note
    assert "2 whole rows" in note


def test_no_notes(tmp_path: Path) -> None:
    """A history that is whole has nothing to note."""
    append(tmp_path, *every(1, 3))
    past = History(tmp_path)

    assert 3 == past.summary()["rows"]
    assert [] == past.notes


def test_broken_journal(tmp_path: Path) -> None:
    """A broken line in the middle of a journal is refused with the file and the line."""
    path = append(tmp_path, *every(1, 3))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1][:30] + "\n" + lines[2])

    assert f"{path.name} line 2: not a usage row" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("expected", "since", "until"),
    [
        ([0.0, 1.0, 2.0, 3.0], None, None),
        ([1.0, 2.0], 1, 3),
        ([3.0], 3, None),
        ([0.0], None, 1),
        ([], 4, None),
    ],
)
def test_window(
    expected: list[float], since: int | None, until: int | None, tmp_path: Path
) -> None:
    """A window takes its first instant in and leaves its last one out."""
    append(tmp_path, *every(1, 4))
    first, end = (None if n is None else START + timedelta(seconds=n) for n in (since, until))

    found = History(tmp_path).frame(["request_id"], since=first, until=end)
    assert [f"a-{at}" for at in expected] == list(found["request_id"])


def test_summary(tmp_path: Path) -> None:
    """The summary counts rows in all and by service and outcome; what has no name is 'unknown'."""
    rows.folder(tmp_path, every(1, 3))
    early = row(-40 * DAY, service=None)
    append(tmp_path, replace(early, outcome="shed"), replace(early, outcome=None))

    assert {
        "rows": 5,
        "first": "2026-08-22T00:00:00+00:00",
        "last": "2026-10-01T00:00:02+00:00",
        "services": {"a": 3, "unknown": 2},
        "outcomes": {"ok": 3, "shed": 1, "unknown": 1},
        "feedback": {},
    } == History(tmp_path).summary()


def test_summary_of_none(tmp_path: Path) -> None:
    """A server that has answered nothing yet has a history of no rows, not an error."""
    with Journal(tmp_path):
        summary = History(tmp_path).summary()
        frame = History(tmp_path).frame(["service"])

    assert 0 == summary["rows"]
    assert summary["first"] is None
    assert ["arrived_at", "service"] == list(frame.columns)
    assert frame.empty


def test_unknown(tmp_path: Path) -> None:
    """Files that know different columns read as one table, and what is unknown is never a zero."""
    rows.folder(tmp_path, [row(0.0)])
    append(tmp_path, row(DAY, width=64, model="m", queue_seconds=0.0, feedback=5))
    frame = History(tmp_path).frame(COLUMNS)

    assert set(COLUMNS) == set(frame.columns)
    for name in ("width", "model", "queue_seconds", "feedback"):
        assert [True, False] == frame[name].isna().tolist()
    assert [64, "m", 0.0, 5] == frame[["width", "model", "queue_seconds", "feedback"]].iloc[1].tolist()  # fmt: skip


@pytest.mark.parametrize("value", [-1.0, math.inf, -math.inf])
def test_impossible_measure(value: float, tmp_path: Path) -> None:
    """An impossible measure in a Parquet file is refused with its file, row, column and value."""
    place(tmp_path, with_column("queue_seconds", [1.0, value]))

    assert (
        f"date=2026-10-01/other.parquet row 2: queue_seconds is {value}; "
        "it must be a number, 0 or more, or empty"
    ) == refusal(tmp_path)


def test_impossible_count(tmp_path: Path) -> None:
    """The row that is named is the first bad one, although others are unknown."""
    place(tmp_path, with_column("images", pa.array([None, -3], pa.int32())))

    assert "other.parquet row 2: images is -3" in refusal(tmp_path)


def test_impossible_write(tmp_path: Path) -> None:
    """An impossible measure is refused before anything is written."""
    table = with_column("images", pa.array([1, -1], pa.int32()))

    with pytest.raises(HistoryError, match="trace row 2: images is -1"):
        history.write(table, tmp_path, "trace")
    assert [] == list(tmp_path.iterdir())


def test_nan(tmp_path: Path) -> None:
    """A NaN in a Parquet file is an unknown, not a number."""
    place(tmp_path, with_column("queue_seconds", [math.nan, 2.0]))
    (table,) = History(tmp_path).tables(["queue_seconds"])

    assert [None, 2.0] == table["queue_seconds"].to_pylist()


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_zones(zone: str | None, tmp_path: Path) -> None:
    """A time without a zone is read as UTC; one with a zone is the same instant."""
    values = pa.array([START, START], pa.timestamp("ns", zone))
    place(tmp_path, with_column("arrived_at", values))

    assert "2026-10-01T00:00:00+00:00" == History(tmp_path).summary()["first"]


def test_absent_columns(tmp_path: Path) -> None:
    """A file may lack columns that its source does not know; they are unknown."""
    needed = ["request_id", "arrived_at", "service", "service_seconds", "outcome"]
    place(tmp_path, tables.table_of(every(1, 2)).select(needed))
    (table,) = History(tmp_path).tables()

    assert list(COLUMNS) == table.column_names
    assert 2 == table["gpu_seconds"].null_count


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (with_column("tennant", ["a", "b"]), "'tennant' is no usage column; did you mean 'tenant'"),
        (with_column("zzz", ["a", "b"]), "'zzz' is no usage column"),
        (tables.table_of([row(0.0)]).drop(["service"]), "column 'service' is missing"),
        (tables.table_of([row(0.0)]).drop(["arrived_at"]), "column 'arrived_at' is missing"),
        (with_column("request_id", ["a", None]), "column 'request_id' has empty values"),
        (with_column("arrived_at", [START, None]), "column 'arrived_at' has empty values"),
        (with_column("queue_seconds", ["a", "b"]), "wrong type or size"),
        (with_column("width", [1.5, 2.0]), "wrong type or size"),
        (with_column("width", [2**40, 1]), "wrong type or size"),
        (with_column("service", [[1], [2]]), "wrong type or size"),
    ],
)
def test_wrong_table(table: pa.Table, words: str, tmp_path: Path) -> None:
    """A table that is none of ours is refused with its file, the column and the nearest known one."""
    place(tmp_path, table)

    assert "date=2026-10-01/other.parquet" in refusal(tmp_path)
    assert words in refusal(tmp_path)


@pytest.mark.parametrize("kept", [0, 4, 1000, -1])
def test_corrupt(kept: int, tmp_path: Path) -> None:
    """A Parquet file that is cut short is refused by name, with what to do."""
    path = place(tmp_path, tables.table_of([row(0.0)]))
    path.write_bytes(path.read_bytes()[:kept])

    assert f"history file {str(path)!r} is damaged or no Parquet file; 'lightmeter history repair' sets it aside and keeps what it still holds" == refusal(tmp_path)  # fmt: skip


def test_damaged(tmp_path: Path) -> None:
    """A Parquet file with damaged bytes inside is refused by name."""
    path = place(tmp_path, tables.table_of(every(1.7, 2000)))
    content = bytearray(path.read_bytes())
    content[100:3000] = bytes(255 - byte for byte in content[100:3000])
    path.write_bytes(content)

    with pytest.raises(HistoryError) as caught:
        History(tmp_path).frame(["request_id"])

    assert f"history file {str(path)!r} " in str(caught.value)
    assert "wrong type or size" not in str(caught.value)


def test_missing(tmp_path: Path) -> None:
    """A folder that is not there is refused with the commands that make one."""
    folder = tmp_path / "absent"

    assert f"history {str(folder)!r} does not exist; make one with 'lightmeter up' or 'lightmeter history import'" == refusal(folder)  # fmt: skip


def test_file(tmp_path: Path) -> None:
    """A file in the folder's place is refused, with what to name instead."""
    path = tmp_path / "trace.csv"
    path.write_text("x")

    assert "is a file, not a folder; name the folder that holds date=YYYY-MM-DD/" in refusal(path)


def test_too_high(tmp_path: Path) -> None:
    """The folder above the history is refused, and the right one is named."""
    rows.folder(tmp_path / "history", [row(0.0)])

    assert f"holds no usage rows; did you mean {str(tmp_path / 'history')!r}?" in refusal(tmp_path)


def test_no_rows(tmp_path: Path) -> None:
    """A folder with nothing of ours is refused, with what to look for."""
    assert "holds no usage rows; name the folder that holds date=" in refusal(tmp_path)
