"""Verify and repair: each kind of damage is named, and what can be saved is."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lightmeter import history, journal, late, lines, parquet, repair, tables, verify
from lightmeter.errors import HistoryError
from lightmeter.history import History
from lightmeter.journal import Journal
from lightmeter.rows import UsageRow
from lightmeter.verify import Fault
from support import rows
from support.cli import inside
from support.rows import DAY, START, every, row


NOW = START + timedelta(days=30)
FIRST = "date=2026-10-01"


def faults(folder: Path) -> list[Fault]:
    return [one.fault for one in verify.verify(folder, NOW, lambda *_: None).findings]


def mend(folder: Path) -> list[repair.Mended]:
    done, left = repair.repair(folder, NOW, lambda *_: None)
    assert [] == left.findings
    return done


def ids(folder: Path) -> list[str]:
    return list(History(folder).frame(["request_id"])["request_id"])


def place(folder: Path, table: pa.Table, name: str = "own", day: str = FIRST) -> Path:
    path = folder / day / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=10, compression="none", use_dictionary=False, write_page_checksum=True)  # fmt: skip
    return path


def flip(path: Path, column: str, group: int) -> None:
    """Change a byte within a column of a row group."""
    with pq.ParquetFile(path) as file:
        index = file.schema_arrow.names.index(column)
        chunk = file.metadata.row_group(group).column(index)
        at = chunk.data_page_offset + chunk.total_compressed_size - 1
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


def test_sound(tmp_path: Path) -> None:
    """A history with journals, a running server and ratings is sound, and a repair leaves it so."""
    rows.folder(tmp_path, [row(0.0), row(DAY)])
    file = late.LateFile(tmp_path)
    file.append(late.Rating(request_id="a-0.0", at=START, score=3))
    with Journal(tmp_path) as book:
        book.append(row(1.0))
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

        assert [] == faults(tmp_path)
        assert [] == mend(tmp_path)
        assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    file.close()


def test_one_byte(tmp_path: Path) -> None:
    """A flipped byte is found by its checksum; the other rows, and the other columns, are saved."""
    path = place(tmp_path, tables.table_of(every(1.0, 30)))
    flip(path, "request_id", 0)
    flip(path, "service_seconds", 1)
    damaged = path.read_bytes()

    assert [Fault.DAMAGED] == faults(tmp_path)
    (done,) = mend(tmp_path)
    frame = History(tmp_path).frame(["service_seconds"])
    assert (20, 10) == (len(frame), int(frame["service_seconds"].isna().sum()))
    assert (20, damaged) == (done.kept, done.aside.read_bytes())


def test_cut(tmp_path: Path) -> None:
    """A file without its end holds nothing; it is set aside, and the rest can be read again."""
    rows.folder(tmp_path, [row(0.0)])
    path = place(tmp_path, tables.table_of([row(1.0)]))
    path.write_bytes(path.read_bytes()[:-20])

    assert [Fault.DAMAGED] == faults(tmp_path)
    mend(tmp_path)
    assert ["a-0.0"] == ids(tmp_path)


def test_cut_while_sealing(tmp_path: Path) -> None:
    """Where the journal is still there, its rows come back whole."""
    with Journal(tmp_path) as book:
        book.append(row(0.0))
        book.append(row(1.0))
    path = place(tmp_path, tables.table_of([row(0.0)]), book.path.stem)
    path.write_bytes(path.read_bytes()[:-20])

    mend(tmp_path)
    assert ["a-0.0", "a-1.0"] == ids(tmp_path)


def test_invalid(tmp_path: Path) -> None:
    """Rows that cannot be are left out, and the others stay."""
    table = tables.table_of([row(0.0), row(1.0), row(2.0)])
    seconds = table.column_names.index("service_seconds")
    place(tmp_path, table.set_column(seconds, "service_seconds", pa.array([1.0, -1.0, 2.0])))

    assert [Fault.INVALID] == faults(tmp_path)
    mend(tmp_path)
    assert ["a-0.0", "a-2.0"] == ids(tmp_path)


def test_misplaced(tmp_path: Path) -> None:
    """Rows in the folder of another day go to their own; so do those of a folder that is no day."""
    place(tmp_path, tables.table_of([row(0.0), row(DAY)]))
    place(tmp_path, tables.table_of([row(DAY + 1)]), day="date=tomorrow")

    assert [Fault.MISPLACED, Fault.MISPLACED] == faults(tmp_path)
    mend(tmp_path)
    assert ["a-0.0", "a-86400.0", "a-86401.0"] == ids(tmp_path)
    assert 1 == len(list((tmp_path / FIRST).glob("*.parquet")))
    assert not list((tmp_path / "date=tomorrow").glob("*.parquet"))


def test_duplicates(tmp_path: Path) -> None:
    """A request that is there three times is left once, the first; nothing else is touched."""
    place(tmp_path, tables.table_of([row(0.0), row(1.0), row(0.0)]), "a")
    place(tmp_path, tables.table_of([row(0.0, service="b", request_id="a-0.0"), row(2.0)]), "b")
    whole = place(tmp_path, tables.table_of([row(5.0)]), "c")
    before = whole.read_bytes()

    assert [Fault.DUPLICATE, Fault.DUPLICATE] == faults(tmp_path)
    mend(tmp_path)
    assert ["a-0.0", "a-1.0", "a-2.0", "a-5.0"] == sorted(ids(tmp_path))
    assert before == whole.read_bytes()


def test_journals(tmp_path: Path) -> None:
    """A torn last line is dropped, a broken one in the middle too; whole rows are sealed."""
    with Journal(tmp_path) as book:
        book.append(row(0.0))
        book.append(row(1.0))
    content = book.path.read_bytes().split(b"\n")
    book.path.write_bytes(b"\n".join([content[0], b'{"request_id": 7}', content[1], b'{"requ']))

    assert [Fault.DAMAGED] == faults(tmp_path)
    with pytest.raises(HistoryError):
        ids(tmp_path)
    mend(tmp_path)
    assert ["a-0.0", "a-1.0"] == ids(tmp_path)
    assert [] == journal.journals(tmp_path)


def test_torn_journal(tmp_path: Path) -> None:
    """A last row that a crash cut short is told, and gone after a repair."""
    with Journal(tmp_path) as book:
        book.append(row(0.0))
    book.path.write_bytes(book.path.read_bytes() + b'{"request')

    assert [Fault.TORN] == faults(tmp_path)
    mend(tmp_path)
    assert ["a-0.0"] == ids(tmp_path)


def test_ratings(tmp_path: Path) -> None:
    """A rating that is none is taken out of its file; the others still count."""
    rows.folder(tmp_path, [row(0.0)])
    file = late.LateFile(tmp_path)
    file.append(late.Rating(request_id="a-0.0", at=START, score=3))
    file.close()
    (path,) = lines.files(tmp_path / late.FOLDER)
    path.write_bytes(b'{"score": 9}\n' + path.read_bytes())

    assert [Fault.DAMAGED] == faults(tmp_path)
    mend(tmp_path)
    assert [3] == list(History(tmp_path).frame(["feedback"])["feedback"])


def test_leftover(tmp_path: Path) -> None:
    """A file that a crash left half written goes; one that is being written stays."""
    rows.folder(tmp_path, [row(0.0)])
    old, new = (tmp_path / FIRST / f".x.parquet.{number}" for number in (1, 2))
    old.write_bytes(b"PAR1")
    new.write_bytes(b"PAR1")
    os.utime(old, (0, 0))

    assert [Fault.PARTIAL] == faults(tmp_path)
    mend(tmp_path)
    assert (False, True) == (old.exists(), new.exists())


def test_clock_ahead(tmp_path: Path) -> None:
    """Rows from the future are told and left alone: which clock is wrong is for a person to say."""
    rows.folder(tmp_path, [row(40 * DAY)])
    done, left = repair.repair(tmp_path, NOW, lambda *_: None)

    assert ([], [Fault.AHEAD]) == (done, [one.fault for one in left.findings])


def older(path: Path, usage: list[UsageRow]) -> None:
    """Write what lightmeter wrote before its files had a version."""
    path.parent.mkdir(parents=True)
    pq.write_table(tables.table_of(usage), path, compression="zstd")


def test_older_schema(tmp_path: Path) -> None:
    """Files from before versions were kept are read, and are sound; rewriting gives them one."""
    path = tmp_path / FIRST / "old.parquet"
    older(path, [row(0.0), row(1.0)])
    found = verify.verify(tmp_path, NOW, lambda *_: None)

    assert ({"1": 1}, []) == (found.versions, found.findings)
    assert ["a-0.0", "a-1.0"] == ids(tmp_path)
    history.write(parquet.read(path), tmp_path, "old")
    assert {str(parquet.VERSION): 1} == verify.verify(tmp_path, NOW, lambda *_: None).versions
    assert ["a-0.0", "a-1.0"] == ids(tmp_path)


def test_newer_schema(tmp_path: Path) -> None:
    """A file of a later lightmeter is refused, by name, with what to do; a repair leaves it alone."""
    table = tables.table_of([row(0.0)]).replace_schema_metadata({parquet.VERSION_KEY: b"9"})
    path = place(tmp_path, table)
    before = path.read_bytes()

    for look in (lambda: ids(tmp_path), lambda: History(tmp_path).summary()):
        with pytest.raises(HistoryError, match=r"schema is version '9'.*upgrade lightmeter"):
            look()
    assert [Fault.NEWER] == faults(tmp_path)
    repair.repair(tmp_path, NOW, lambda *_: None)
    assert before == path.read_bytes()


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 says that something is wrong, 0 that nothing is, 2 that there is no such folder."""
    place(tmp_path, tables.table_of([row(0.0), row(0.0)]))

    assert 1 == inside("history", "verify", tmp_path, "--json")
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert ("duplicate", 1) == (found["fault"], found["rows"])
    assert 0 == inside("history", "repair", tmp_path)
    assert "duplicate" in capsys.readouterr().out
    assert 0 == inside("history", "verify", tmp_path)
    assert "1 file, 1 row: sound" in capsys.readouterr().out
    for command in ("verify", "repair"):
        assert 2 == inside("history", command, tmp_path / "none")
        assert 2 == inside("history", command, tmp_path.parent)


def test_twice_in_journals(tmp_path: Path) -> None:
    """A journal that was copied is found: beside the journal, and beside what was sealed of it."""
    with Journal(tmp_path) as book:
        book.append(row(0.0))
        book.append(row(1.0))
    book.path.with_name("copy.jsonl").write_bytes(book.path.read_bytes())
    rows.folder(tmp_path, [row(1.0)], "sealed")

    found = verify.verify(tmp_path, NOW, lambda *_: None).findings
    assert [(Fault.DUPLICATE, 1), (Fault.DUPLICATE, 2)] == [(one.fault, one.rows) for one in found]
    mend(tmp_path)
    assert ["a-0.0", "a-1.0"] == ids(tmp_path)


def test_sealed_but_not_removed(tmp_path: Path) -> None:
    """A journal that a crash left behind after it was sealed repeats nothing: no reader sees it."""
    with Journal(tmp_path) as book:
        book.append(row(0.0))
    rows.folder(tmp_path, [row(0.0)], book.path.stem)

    assert [] == faults(tmp_path)
