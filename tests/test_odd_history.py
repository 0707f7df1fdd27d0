"""History that others wrote: refused in one line, or read soundly, never with a traceback."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lightmeter import lookup, parquet
from lightmeter.errors import HistoryError
from lightmeter.history import History, seal_orphans, write
from lightmeter.journal import FOLDER
from lightmeter.repair import repair
from lightmeter.tables import SCHEMA, table_of
from lightmeter.verify import Fault, verify
from support.rows import row


AT = pa.array([datetime(2026, 10, 1, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
NOW = datetime(2026, 11, 1, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "request_id": ["r"],
    "arrived_at": AT,
    "service": ["a"],
    "service_seconds": [1.0],
    "outcome": ["ok"],
}


def refusal(folder: Path, table: pa.Table, name: str = "odd.parquet") -> str:
    """Read a folder with this table in it, and return what is said of it."""
    path = folder / "date=2026-10-01" / name
    path.parent.mkdir()
    pq.write_table(table, path)
    with pytest.raises(HistoryError) as error:
        History(folder).summary()
    return str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arrived_at": [1_790_000_000]}, "column 'arrived_at' is of type int64, not timestamp"),
        ({"arrived_at": pa.array([2**62], pa.timestamp("us"))}, "between the years 2000 and 2200"),
        ({"arrived_at": pa.array([-(10**18)], pa.timestamp("us"))}, "row 1: arrived_at does not"),
        ({"service_seconds": [True]}, "column 'service_seconds' is of type bool"),
        ({"outcome": ["weird"]}, "row 1: outcome is 'weird'; it must be one of ok, anomalous"),
        ({"priority": ["urgent"]}, "priority is 'urgent'; it must be one of interactive, batch"),
        ({"feedback": [6]}, "feedback is 6; it must be a number, 0 or more and at most 5"),
    ],
)
def test_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    """A value that no server of ours could have meant is named, with its place."""
    found = refusal(tmp_path, pa.table(GOOD | change))

    assert said in found
    assert "odd.parquet" in found


def test_column_twice(tmp_path: Path) -> None:
    """A table that has a column twice is refused, since one of them must be wrong."""
    names = [*GOOD, "service"]
    table = pa.Table.from_arrays([*pa.table(GOOD).columns, pa.chunked_array([["b"]])], names=names)

    assert "column 'service' is there twice" in refusal(tmp_path, table)


@pytest.mark.parametrize(
    "line",
    [
        '{"request_id": "r", "arrived_at": "0001-01-01T00:00:00+14:00"}',
        '{"request_id": "r", "arrived_at": "2026-10-01T00:00:00+00:00", "tenant": "\\ud800"}',
        '{"request_id": "r", "arrived_at": "2026-10-01T00:00:00+00:00", "outcome": "weird"}',
        "[" * 100_000,
    ],
    ids=["ancient", "surrogate", "outcome", "deep"],
)
def test_journal_refused(tmp_path: Path, line: str) -> None:
    """A line of a journal that is no row of ours is named by file and number."""
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "odd.jsonl").write_text(line + "\n")

    with pytest.raises(HistoryError, match=r"odd\.jsonl line 1"):
        History(tmp_path).summary()


def test_no_zone_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are sorted into UTC days where the system knows no time zones."""
    monkeypatch.setenv("TZDIR", str(tmp_path / "none"))
    write(table_of([row(0.0), row(86_399.0), row(86_400.0)]), tmp_path / "h", "x")

    assert ["date=2026-10-01", "date=2026-10-02"] == sorted(
        p.name for p in (tmp_path / "h").iterdir()
    )


def test_in_the_way(tmp_path: Path) -> None:
    """A file where the history folder should be is said, and left as it is."""
    (tmp_path / "file").write_text("mine")

    with pytest.raises(HistoryError, match="is a file, not a folder"):
        write(table_of([row(0.0)]), tmp_path / "file", "x")
    assert "mine" == (tmp_path / "file").read_text()


def test_types() -> None:
    """The columns have the types of the contract."""
    assert {
        "request_id": "string", "arrived_at": "timestamp[us, tz=UTC]", "service": "string",
        "model": "string", "tenant": "string", "priority": "string", "width": "int32",
        "height": "int32", "images": "int32", "forwards": "int32", "loras": "int32",
        "queue_seconds": "double", "service_seconds": "double", "gpu_seconds": "double",
        "total_seconds": "double", "batch_size": "int32", "outcome": "string",
        "gpu_uuid": "string", "gpu_name": "string", "peak_vram_bytes": "int64",
        "energy_joules": "double", "anomaly": "string", "feedback": "int8",
    } == {field.name: str(field.type) for field in SCHEMA}  # fmt: skip


@pytest.mark.parametrize("part", ["_journal/a.jsonl", "_late/a.jsonl", "date=2026-10-01/a.parquet"])
@pytest.mark.parametrize(("kind", "said"), [("pipe", "is no regular file"), ("link", "leads out of its folder, to"), ("circle", "leads to itself"), ("day", "leads out of its folder, to")])  # fmt: skip
def test_no_file(tmp_path: Path, part: str, kind: str, said: str) -> None:
    """A pipe is not waited for and a link not followed out of the folder: each is named, and left."""
    history, path = tmp_path / "h", tmp_path / "h" / part
    if kind == "circle" and path.suffix != ".parquet":
        return  # a journal that leads nowhere is one that was sealed meanwhile
    write(table_of([row(0.0)]), tmp_path / "theirs", "a")
    write(table_of([row(86_400.0)]), history, "good")
    secret = tmp_path / "theirs" / "date=2026-10-01" / "a.parquet"
    if kind == "day":
        (secret.parent / path.name).touch()
        path.parent.symlink_to(secret.parent)
    else:
        path.parent.mkdir()
        {"pipe": lambda: os.mkfifo(path), "link": lambda: path.symlink_to(secret), "circle": lambda: path.symlink_to(path)}[kind]()  # fmt: skip

    with pytest.raises(HistoryError, match=said):
        History(history).summary()
    with pytest.raises(HistoryError, match=said):
        History(history).frame(["feedback"])
    assert [Fault.DAMAGED] == [one.fault for one in verify(history, NOW, lambda *_: None).findings]
    with pytest.raises(HistoryError, match=said):
        repair(history, NOW, lambda *_: None)
    assert 0 == seal_orphans(history)
    assert lookup.holds(history, "not there", seconds=5.0) is False
    assert secret.exists()


def test_linked_folder(tmp_path: Path) -> None:
    """The folder itself may be a link: it is the one that was named."""
    write(table_of([row(0.0)]), tmp_path / "h", "a")
    (tmp_path / "link").symlink_to(tmp_path / "h")

    assert 1 == History(tmp_path / "link").summary()["rows"]


def test_bits(tmp_path: Path) -> None:
    """Bytes of a file's footer that are wrong refuse it by its name; none ends the process."""
    write(table_of([row(float(second)) for second in range(50)]), tmp_path, "a")
    path = next(tmp_path.glob("date=*/a.parquet"))
    whole, chance = path.read_bytes(), random.Random(7)
    refused = 0
    for _ in range(24):
        bits = bytearray(whole)
        bits[chance.randrange(len(bits) - 4000, len(bits))] ^= 1 << chance.randrange(8)
        path.write_bytes(bits)
        for ask in (
            lambda: History(tmp_path).summary(),
            lambda: History(tmp_path).frame(["width"]),
        ):
            try:
                ask()
            except HistoryError as error:
                refused += path.name in str(error)

    assert 15 < refused


def test_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that says more rows than memory holds, or a journal of a terabyte of holes, is not read."""
    write(table_of([row(0.0), row(1.0)]), tmp_path / "h", "a")
    monkeypatch.setattr(parquet, "MOST_ROWS", 1)
    with pytest.raises(HistoryError, match="says that it has 2 rows, more than 1"):
        History(tmp_path / "h").summary()

    (tmp_path / "j" / FOLDER).mkdir(parents=True)
    with (tmp_path / "j" / FOLDER / "a.jsonl").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(HistoryError, match="has 1024 GiB, more than 4"):
        History(tmp_path / "j").summary()


def test_file_name(tmp_path: Path) -> None:
    """The name of a file neither ends the line in which it is told nor colours a terminal."""
    said = refusal(tmp_path, pa.table(GOOD | {"feedback": [6]}), "odd\n\x1b[31m.parquet")

    assert "odd\\n\\x1b[31m.parquet" in said
