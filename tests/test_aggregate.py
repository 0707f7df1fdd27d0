"""Sums by the hour: the same from DuckDB, from another engine and by hand; nothing is lost."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from lightmeter import aggregate, history, late, tables
from lightmeter.history import History
from lightmeter.journal import Journal
from lightmeter.rows import UsageRow
from support import rows
from support.cells import same, usage
from support.cli import inside
from support.rows import DAY, START, row


def on_sqlite(stored: Sequence[UsageRow]) -> pa.Table:
    """Run the same words on SQLite."""
    with sqlite3.connect(":memory:") as database:
        database.execute(f"create table usage ({', '.join(aggregate.READS)})")
        marks = ", ".join("?" * len(aggregate.READS))
        for one in stored:
            values: dict[str, Any] = vars(one) | {"arrived_us": round(one.arrived_at.timestamp() * 1e6)}  # fmt: skip
            database.execute(f"insert into usage values ({marks})", [values[name] for name in aggregate.READS])  # noqa: S608  (marks alone)  # fmt: skip
        found = database.execute(aggregate.QUERY)
        names = [column[0] for column in found.description]
        listed = [dict(zip(names, values, strict=True)) for values in found]
    return pa.Table.from_pylist(listed, schema=aggregate.SCHEMA)


def test_another_engine(tmp_path: Path) -> None:
    """SQLite sums the same rows to the same cells, so a fleet's engine may take DuckDB's place."""
    made = usage()

    same(on_sqlite(made), History(rows.folder(tmp_path, made)).cells())


@pytest.mark.skipif(find_spec("pyspark") is not None, reason="pyspark is here")
def test_no_spark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without pyspark the command says what to install."""
    rows.folder(tmp_path, usage(3))

    assert 2 == inside("history", "demand", str(tmp_path), "--engine", "spark")
    assert "pip install pyspark" in capsys.readouterr().err


def test_rolled_up(tmp_path: Path) -> None:
    """Days by service say what the rows say: counts, GPU time, pictures, peaks; waits to a bucket."""
    made = usage()
    found = aggregate.demand(History(rows.folder(tmp_path, made)).cells(), 24)
    frame = rows.frame(made)
    mine = frame[(frame["service"] == "b") & (frame["arrived_at"] < "2026-10-02")]
    day = found[(found["service"] == "b")].iloc[0]
    exact = mine["queue_seconds"].quantile(0.95)

    assert (2000, 8) == (int(found["requests"].sum()), len(found))
    assert len(mine) == day["requests"]
    assert mine["gpu_seconds"].fillna(mine["service_seconds"]).sum() == pytest.approx(day["gpu_seconds"])  # fmt: skip
    assert day["gpu_seconds"] / DAY == pytest.approx(day["busy_gpus"])
    assert mine["images"].fillna(1).sum() == day["images"]
    assert mine["peak_vram_bytes"].max() == day["peak_vram_bytes"]
    assert (mine["outcome"] == "shed").sum() == day["shed"]
    assert exact / aggregate.FACTOR <= day["wait_p95_seconds"] <= exact * aggregate.FACTOR


def test_waits() -> None:
    """A wait of nothing is nothing, and one service's waits say nothing of another's."""
    made = [row(0, service="idle", queue_seconds=0.0), row(1, service="late", queue_seconds=100.0), row(2, service="new")]  # fmt: skip
    found = aggregate.demand(on_sqlite(made)).set_index("service")["wait_p95_seconds"]

    assert found["idle"] <= aggregate.LEAST_WAIT * aggregate.FACTOR
    assert 100 / aggregate.FACTOR <= found["late"] <= 100 * aggregate.FACTOR
    assert math.isnan(found["new"])


def test_everything_counts(tmp_path: Path) -> None:
    """Rows in a journal, an older file that lacks columns and a late rating are all summed."""
    rows.folder(tmp_path, [row(0.0, request_id="x", feedback=1)])
    old = tables.table_of([row(1.0)]).select(["request_id", "arrived_at", "service", "service_seconds", "outcome"])  # fmt: skip
    import pyarrow.parquet as pq

    pq.write_table(old, tmp_path / "date=2026-10-01" / "old.parquet")
    with Journal(tmp_path) as book:
        book.append(row(2.0))
    file = late.LateFile(tmp_path)
    file.append(late.Rating(request_id="x", at=START, score=5))
    file.close()
    cells = History(tmp_path).cells()

    assert 3 == sum(count for _, count in aggregate.counts(cells, "service"))
    assert [("a", 5)] == aggregate.counts(cells, "service", "stars")
    assert 30.0 == sum(cells["gpu_seconds"].to_pylist())


def test_window(tmp_path: Path) -> None:
    """Only what arrived in the window is summed: from its first instant on, up to its last."""
    folder = rows.folder(tmp_path, [row(0.0), row(DAY - 1), row(DAY)])
    until = START.replace(day=2)

    assert 2 == sum(History(folder).cells(until=until)["requests"].to_pylist())
    assert 1 == sum(History(folder).cells(since=until)["requests"].to_pylist())
    assert 0 == History(folder).cells(since=until, until=until).num_rows


def test_ten_thousand_services(tmp_path: Path) -> None:
    """Ten thousand services are ten thousand rows."""
    made = [row(float(index), service=f"s{index}") for index in range(10_000)]
    found = aggregate.demand(History(rows.folder(tmp_path, made)).cells(), 24)

    assert (10_000, 10_000) == (len(found), int(found["requests"].sum()))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a table, JSON or CSV, and the query for other engines."""
    folder = str(rows.folder(tmp_path / "h", usage(100)))

    assert 0 == inside("history", "demand", folder)
    assert "2026-10-01 00:00" in capsys.readouterr().out
    assert 0 == inside("history", "demand", folder, "--by", "hour", "--json")
    assert 100 == sum(row["requests"] for row in json.loads(capsys.readouterr().out))
    assert 0 == inside("history", "demand", folder, "--csv", str(tmp_path / "d.csv"))
    assert 100 == pd.read_csv(tmp_path / "d.csv")["requests"].sum()
    capsys.readouterr()
    assert 0 == inside("history", "demand", folder, "--sql")
    assert "group by 1, 2, 3, 4" in capsys.readouterr().out
    assert 2 == inside("history", "demand", folder, "--since", "soon")
    assert "write it like 2026-11-01" in capsys.readouterr().err


def test_odd_file_name(tmp_path: Path) -> None:
    """A quote in a path is part of the path."""
    history.write(tables.table_of([row(0.0)]), tmp_path / "it's", "a'b")

    assert 1 == History(tmp_path / "it's").summary()["rows"]


def test_nothing_else_is_printed() -> None:
    """DuckDB's progress bar stays out of what the commands print, however long it takes."""
    with aggregate._database() as database:
        found = database.execute("select current_setting('enable_progress_bar')").fetchone()

    assert (False,) == found
