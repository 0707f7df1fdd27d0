"""Importing a public trace: what its rows become, and what is refused."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from lightmeter import cli
from lightmeter.errors import HistoryError
from lightmeter.history import History
from planner import importers, traces
from support import gentd26


LOG = gentd26.log(400, days=5)
FIRST = LOG.index[LOG["predict_status"] == "SUCCEED"][0]


def read(path: Path, content: bytes | pd.DataFrame) -> pa.Table:
    """Write a file and import it."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        gentd26.write(path, content)
    return importers.read("gentd26", path)[0]


def changed(column: str, value: Any) -> pd.DataFrame:
    """Return the log with one value replaced, in a row that succeeded."""
    table = LOG.copy()
    table[column] = table[column].astype(object)
    table.loc[FIRST, column] = value
    return table


def csv() -> bytes:
    """Return the log as plain CSV."""
    return LOG.to_csv(index=False).encode()


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.tar.gz"])
def test_packed(tmp_path: Path, name: str) -> None:
    """The rows are the same however the publisher packed them, a stray ._file in the tar or not."""
    found = read(tmp_path / name, LOG)

    assert 400 == found.num_rows
    assert read(tmp_path / "plain.csv", LOG).equals(found)


@pytest.mark.parametrize("name", ["lora_request_trace", "Anfrage Tag 1 (2).dat", "x.zip"])
def test_odd_name(tmp_path: Path, name: str) -> None:
    """A trace is recognised by its columns, whatever its file is called."""
    assert 400 == read(tmp_path / name, csv()).num_rows
    assert 400 == read(tmp_path / name, gzip.compress(csv())).num_rows


def test_column_order(tmp_path: Path) -> None:
    """Columns are read by name: their order, a byte-order mark and line ends do not matter."""
    mixed = LOG[LOG.columns[::-1]].to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig")

    tables = [read(tmp_path / "plain", LOG), read(tmp_path / "mixed", mixed)]

    plain, other = (table.drop_columns(["request_id"]) for table in tables)
    assert plain.equals(other)


def test_one_row(tmp_path: Path) -> None:
    """The service is the checkpoint, the tenant the group, the time on the GPU the execution time."""
    table = pd.DataFrame(
        {
            "gmt_create": ["2024-11-16 03:04:05"],
            "predict_type": ["TXT_2_IMG"],
            "predict_status": ["SUCCEED"],
            "exec_time_seconds": [32.0],
            "groupId": ["G0007"],
            "prompt_length": [63.0],
            "negative_prompt_length": [None],
            "num_images_per_prompt": [4.0],
            "num_inference_steps": [30.0],
            "checkpoint_model_version_id": ["M0003"],
            "num_lora": [2],
        }
    )
    known = {name: value for name, value in read(tmp_path / "x", table).to_pylist()[0].items()
             if value is not None}  # fmt: skip

    assert {
        "arrived_at": pd.Timestamp("2024-11-16 03:04:05", tz="UTC"),
        "service": "M0003",
        "model": "M0003",
        "tenant": "G0007",
        "images": 4,
        "forwards": 30,
        "loras": 2,
        "service_seconds": 32.0,
        "total_seconds": 32.0,
        "outcome": "ok",
    } == {name: value for name, value in known.items() if name != "request_id"}
    assert known["request_id"].startswith("gentd26-")


def test_outcomes(tmp_path: Path) -> None:
    """Success is ok, failure error; what had not ended has neither an outcome nor a time."""
    found = read(tmp_path / "x", LOG).to_pandas()
    status = LOG["predict_status"]

    assert {"ok"} == set(found["outcome"][status == "SUCCEED"])
    assert {"error"} == set(found["outcome"][status == "FAILED"])
    pending = found[status == "PENDING"]
    assert len(pending)
    assert pending[["outcome", "service_seconds", "total_seconds", "images"]].isna().all(axis=None)
    assert found["service_seconds"][status != "PENDING"].notna().all()


def test_processing(tmp_path: Path) -> None:
    """A request still in progress has no time yet, even where the log states one."""
    row = read(tmp_path / "x", changed("predict_status", "PROCESSING")).to_pylist()[FIRST]

    assert (None, None) == (row["outcome"], row["service_seconds"])


@pytest.mark.parametrize("again", ["log.csv", "renamed.csv", "log.csv.gz"])
def test_twice(tmp_path: Path, again: str) -> None:
    """Importing the same requests again changes nothing, renamed or packed or not."""
    out = tmp_path / "history"
    for name in ("log.csv", again):
        path = gentd26.write(tmp_path / name, LOG)
        with pytest.raises(SystemExit):
            cli.main(["history", "import", "gentd26", str(path), "--out", str(out)])

    assert 400 == History(out).summary()["rows"]


def test_two_parts(tmp_path: Path) -> None:
    """Two different parts of a trace add up."""
    out = tmp_path / "history"
    for name, part in (("1", LOG[:150]), ("2", LOG[150:])):
        path = gentd26.write(tmp_path / name, part)
        with pytest.raises(SystemExit):
            cli.main(["history", "import", "gentd26", str(path), "--out", str(out)])

    assert 400 == History(out).summary()["rows"]


@pytest.mark.parametrize("name", traces.FORMATS["gentd26"].columns)
def test_missing_column(tmp_path: Path, name: str) -> None:
    """A table without a needed column is refused, and the column named."""
    with pytest.raises(HistoryError, match=f"lacks the column '{name}'; it has "):
        read(tmp_path / "x", LOG.drop(columns=name))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("exec_time_seconds", -3.0, "service_seconds is -3.0; it must be a number, 0 or more"),
        ("exec_time_seconds", "inf", "service_seconds is inf; it must be a number, 0 or more"),
        ("exec_time_seconds", "soon", "exec_time_seconds: .*'soon'"),
        ("num_images_per_prompt", -1, "images is -1; it must be a number, 0 or more"),
        ("num_images_per_prompt", 1.5, r"images.*1\.5"),
        ("num_inference_steps", 1e12, "(inference_steps|forwards).*(1e.?12|1000000000000)"),
        ("gmt_create", "yesterday", "gmt_create: .*yesterday"),
        ("gmt_create", "", "'arrived_at' has empty values"),
    ],
)
def test_impossible(tmp_path: Path, column: str, value: Any, said: str) -> None:
    """One impossible value refuses the file, in one line that names file, column and value."""
    with pytest.raises(HistoryError, match=said) as refusal:
        read(tmp_path / "bad.csv", changed(column, value))

    assert "bad.csv" in str(refusal.value)
    assert "\n" not in str(refusal.value)


PACKED = gzip.compress(csv(), mtime=0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PACKED[:900], r"is damaged \(.*\); fetch it again"),
        (PACKED[:10] + b"\xff" * 100, r"is damaged \(.*\); fetch it again"),
        (PACKED[:-8] + b"12345678", r"is damaged \(.*\); fetch it again"),
        (b"\x1f\x8b" + bytes(200), r"is damaged \(.*\); fetch it again"),
        (b"", "is no CSV"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is no CSV"),
        (bytes(1000), "lacks the column 'gmt_create'; it has none"),
        (csv() + b'"unterminated,', "is no CSV"),
        (b"a,b\n1,2\n", "lacks the column 'gmt_create'; it has a, b"),
    ],
)
def test_junk(tmp_path: Path, content: bytes, said: str) -> None:
    """A damaged or foreign file is refused in words that name it."""
    with pytest.raises(HistoryError, match=rf"^trace '.*junk\.csv' {said}"):
        read(tmp_path / "junk.csv", content)


def test_cut_tar(tmp_path: Path) -> None:
    """An archive that was cut short is damaged, not a table of strange columns."""
    whole = gzip.decompress(gentd26.write(tmp_path / "log.tar.gz", LOG).read_bytes())

    with pytest.raises(HistoryError, match="is damaged"):
        read(tmp_path / "cut.tar.gz", gzip.compress(whole[:4000]))


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str]:
    """Run the command, and return its exit code and what it said on stderr."""
    with pytest.raises(SystemExit) as end:
        cli.main(list(arguments))
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nothing.csv", "nothing.csv' does not exist"),
        ("folder", "folder' is a folder, not a file"),
    ],
)
def test_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, said: str
) -> None:
    """A path that cannot be read is bad input: exit code 2 and one line, and nothing is written."""
    (tmp_path / "folder").mkdir()
    out = tmp_path / "out"
    code, message = failure(
        capsys, "history", "import", "gentd26", str(tmp_path / source), "--out", str(out)
    )

    assert (2, 1) == (code, message.count("\n"))
    assert said in message
    assert not out.exists()


def test_no_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log of a header alone is said to hold no requests."""
    path = gentd26.write(tmp_path / "empty.csv", LOG[:0])
    code, message = failure(
        capsys, "history", "import", "gentd26", str(path), "--out", str(tmp_path / "out")
    )

    assert 2 == code
    assert "empty.csv" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_no_permission(tmp_path: Path) -> None:
    """A file that this user may not read is said to be so."""
    path = gentd26.write(tmp_path / "log.csv", LOG)
    path.chmod(0)
    with pytest.raises(HistoryError, match="may not be read"):
        importers.read("gentd26", path)
