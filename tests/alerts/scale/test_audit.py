"""The audit: what is on disk when something goes wrong."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest

from alerts.scale.audit import KEPT, Audit, read
from lightmeter.errors import AuditError, InputError


def record(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"{number:04}", "to": number, "result": None, **more}


def test_written(tmp_path: Path) -> None:
    """A decision is on disk before it is acted on, and then has its result, in one line."""
    audit = Audit(tmp_path)
    audit.write(record(1))
    before = list(read(tmp_path))
    audit.settle("started 2")
    audit.write(record(2))

    assert [record(1)] == before
    assert ["started 2", None] == [one["result"] for one in read(tmp_path)]
    assert 2 == (tmp_path / "decisions.jsonl").read_text().count("\n")
    assert ["0001", "0002"] == [one["id"] for one in audit.last]


def test_long_result(tmp_path: Path) -> None:
    """A result that is too long for its place is cut, and the next line is whole."""
    audit = Audit(tmp_path)
    audit.write(record(1))
    audit.settle("failed: " + 'x"\\' * 100)
    audit.write(record(2))

    assert ["0001", "0002"] == [one["id"] for one in read(tmp_path)]


def test_rotated(tmp_path: Path) -> None:
    """Files are bounded in size and number, and read from the oldest on."""
    audit = Audit(tmp_path, most_bytes=1000)
    for number in range(100):
        audit.write(record(number))
    ids = [one["id"] for one in read(tmp_path)]

    assert KEPT == len(list(tmp_path.glob("decisions*.jsonl")))
    assert all(path.stat().st_size <= 1000 for path in tmp_path.glob("decisions*.jsonl"))
    assert sorted(ids) == ids
    assert "0099" == ids[-1]


def test_half_a_line(tmp_path: Path) -> None:
    """What a kill left behind the last whole line is written over."""
    audit = Audit(tmp_path)
    audit.write(record(1))
    audit.close()
    with (tmp_path / "decisions.jsonl").open("ab") as file:
        file.write(b'{"id": "00')
    torn = list(read(tmp_path))
    again = Audit(tmp_path)
    again.write(record(2))

    assert ["0001"] == [one["id"] for one in torn]
    assert ["0001", "0002"] == [one["id"] for one in read(tmp_path)]


def test_full(tmp_path: Path) -> None:
    """On a full disk a decision is refused whole, and the next one that fits is written."""
    audit = Audit(tmp_path)
    audit.write(record(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        with pytest.raises(AuditError):
            audit.write(record(2, reason="x" * 500))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    audit.write(record(3))

    assert ["0001", "0003"] == [one["id"] for one in read(tmp_path)]


def test_no_folder(tmp_path: Path) -> None:
    """A folder that cannot be made is named with what to do."""
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="give another --data"):
        Audit(tmp_path / "file")
    with pytest.raises(InputError, match="does not exist; name the folder"):
        list(read(tmp_path / "nothing.jsonl"))
