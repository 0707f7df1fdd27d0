"""The append-only journal: what it promises when processes die and disks fill."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from lightmeter import journal
from lightmeter.errors import HistoryError
from lightmeter.journal import Journal
from lightmeter.rows import COLUMNS, UsageRow
from support.cli import python


SPARSE = UsageRow(request_id="img_1", arrived_at=datetime(2026, 10, 1, 12, tzinfo=UTC))
FULL = UsageRow(
    request_id="img_2",
    arrived_at=datetime(2026, 10, 1, 23, 59, 59, 999999, tzinfo=UTC),
    service="portraits",
    model="Z-Image-Turbo",
    tenant='Zoë \N{SNOWMAN}\n\N{LINE SEPARATOR}"quoted"',
    priority="batch",
    width=1024,
    height=768,
    images=4,
    forwards=9,
    loras=0,
    queue_seconds=0.1,
    service_seconds=1e-7,
    gpu_seconds=12345.678901234567,
    total_seconds=0.0,
    batch_size=64,
    outcome="ok",
    gpu_uuid="GPU-1",
    gpu_name="NVIDIA L40S",
    peak_vram_bytes=48 * 1024**3,
    energy_joules=3.5,
    anomaly="black",
    feedback=5,
)  # fmt: skip
WRITER = """
import os, resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from lightmeter.journal import Journal
from lightmeter.rows import UsageRow
def row(n):
    return UsageRow(request_id=f"img_{n}", arrived_at=datetime.now(UTC), service="s" * 50)
"""
KILLED = WRITER + """
book = Journal(Path(sys.argv[1]), fsync=sys.argv[2] == "fsync")
for n in range(3):
    book.append(row(n))
os.kill(os.getpid(), signal.SIGKILL)
"""  # fmt: skip
FULL_DISK = WRITER + """
from lightmeter.errors import HistoryError
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
book = Journal(Path(sys.argv[1]))
for n in range(20):
    try:
        book.append(row(n))
        print("took", n)
    except HistoryError as error:
        print("refused", n, error)
"""  # fmt: skip


def the_journal(folder: Path) -> Path:
    """Return the only journal of a folder."""
    (path,) = journal.journals(folder)
    return path


def write_lines(folder: Path, *lines: dict[str, Any]) -> Path:
    """Write a journal as some other program would."""
    path = folder / journal.FOLDER / "other.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def line(**changes: Any) -> dict[str, Any]:
    """Say one usable row the way a journal does."""
    return {"request_id": "a", "arrived_at": "2026-10-01T12:00:00+00:00", **changes}


def test_round_trip(tmp_path: Path) -> None:
    """Every column comes back as it was written, and what is unknown stays unknown."""
    with Journal(tmp_path) as book:
        book.append(FULL)
        book.append(SPARSE)

    assert None not in vars(FULL).values()
    assert [FULL, SPARSE] == journal.scan(the_journal(tmp_path)).rows


def test_unknown_is_absent(tmp_path: Path) -> None:
    """An unknown value is left out of the line; it is never a zero."""
    with Journal(tmp_path) as book:
        book.append(SPARSE)
        book.append(FULL)

    first, second = the_journal(tmp_path).read_text().splitlines()
    assert {"request_id", "arrived_at"} == json.loads(first).keys()
    assert set(COLUMNS) == json.loads(second).keys()


@pytest.mark.parametrize("mode", ["plain", "fsync"])
def test_killed(mode: str, tmp_path: Path) -> None:
    """A row is kept although its process is killed the instant after append."""
    ended = python(KILLED, tmp_path, mode)

    assert -signal.SIGKILL == ended.code
    path = the_journal(tmp_path)
    assert ["img_0", "img_1", "img_2"] == [row.request_id for row in journal.scan(path).rows]
    assert not journal.scan(path).torn
    assert not journal.is_live(path)


def test_torn_anywhere(tmp_path: Path) -> None:
    """Wherever a crash cut the last line, the whole rows before it are kept and the loss is told."""
    with Journal(tmp_path) as book:
        book.append(FULL)
        book.append(SPARSE)
    path = the_journal(tmp_path)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1

    for cut in range(first + 1, len(whole)):
        path.write_bytes(whole[:cut])
        assert journal.Scan([FULL], torn=True) == journal.scan(path)
    path.write_bytes(whole[:first])
    assert journal.Scan([FULL], torn=False) == journal.scan(path)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([], "not a usage row"),
        (line(tennant="x"), "did you mean 'tenant'"),
        ({"arrived_at": "2026-10-01T12:00:00+00:00"}, "request_id"),
        ({"request_id": "a"}, "arrived_at"),
        (line(request_id=None), "request_id"),
        (line(arrived_at="yesterday"), "yesterday"),
        (line(arrived_at=5), "not a usage row"),
        (line(queue_seconds=-0.5), "queue_seconds is -0.5"),
        (line(queue_seconds=math.nan), "queue_seconds is nan"),
        (line(gpu_seconds=math.inf), "gpu_seconds is inf"),
        (line(width="1024"), "width is '1024'; it must be a number"),
        (line(feedback=300), "feedback"),
        (line(width=2**40), "width"),
        (line(service=5), "service"),
    ],
)
def test_broken_line(bad: Any, words: str, tmp_path: Path) -> None:
    """A line that is no row is refused with its file, its number and the reason."""
    path = write_lines(tmp_path, line(), bad, line())

    with pytest.raises(HistoryError) as caught:
        journal.scan(path)

    assert "other.jsonl line 2: " in str(caught.value)
    assert words in str(caught.value)
    assert 1 == len(str(caught.value).splitlines())


@pytest.mark.parametrize("rubbish", [b"{\n", b"\n", b"\xff\xfe\n", b"\0\0\0\0\n"])
def test_rubbish(rubbish: bytes, tmp_path: Path) -> None:
    """Rubbish in the middle is refused with its file and line, and what to do."""
    path = write_lines(tmp_path, line())
    path.write_bytes(path.read_bytes() + rubbish + path.read_bytes())

    with pytest.raises(HistoryError, match=r"other\.jsonl line 2: .*move the file aside"):
        journal.scan(path)


@pytest.mark.parametrize(
    "bad",
    [
        {"queue_seconds": -0.001},
        {"queue_seconds": math.nan},
        {"total_seconds": math.inf},
        {"energy_joules": -math.inf},
        {"images": -1},
        {"feedback": 300},
        {"height": 2**40},
    ],
)
def test_refused(bad: dict[str, Any], tmp_path: Path) -> None:
    """An impossible measure is refused by name and leaves no trace; the next row is taken."""
    (name,) = bad
    with Journal(tmp_path) as book:
        with pytest.raises(HistoryError, match=name):
            book.append(replace(SPARSE, **bad))
        book.append(SPARSE)

        assert 1 == book.rows
        assert [SPARSE] == journal.scan(book.path).rows


def test_naive(tmp_path: Path) -> None:
    """A time without a zone is read as UTC, whatever the zone of the machine."""
    code = (
        "import sys; from pathlib import Path; from lightmeter.history import History;"
        "import os, time; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset();"
        "print(History(Path(sys.argv[1])).summary()['first'])"
    )
    write_lines(tmp_path, line(arrived_at="2026-10-01T12:00:00"))

    assert "2026-10-01T12:00:00+00:00\n" == python(code, tmp_path).out


def test_empty(tmp_path: Path) -> None:
    """A journal that took no row leaves no file."""
    with Journal(tmp_path) as book:
        assert [book.path] == journal.journals(tmp_path)

    assert [] == list((tmp_path / journal.FOLDER).iterdir())


def test_kept(tmp_path: Path) -> None:
    """A journal that took a row is still there after it is closed."""
    with Journal(tmp_path) as book:
        book.append(SPARSE)

    assert [book.path] == journal.journals(tmp_path)


def test_live(tmp_path: Path) -> None:
    """A journal is live while its writer may still append, and no longer."""
    with Journal(tmp_path) as book:
        book.append(SPARSE)
        assert journal.is_live(book.path)

    assert not journal.is_live(book.path)


def test_two_look(tmp_path: Path) -> None:
    """A journal that somebody else looks at just now is not taken for one that is written."""
    with Journal(tmp_path) as book:
        book.append(SPARSE)
    with book.path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not journal.is_live(book.path)


def test_two_writers(tmp_path: Path) -> None:
    """Two servers can share a folder: each has a journal of its own, and no row is lost."""
    with Journal(tmp_path) as one, Journal(tmp_path) as other:
        for number in range(5):
            one.append(replace(SPARSE, request_id=f"one-{number}"))
            other.append(replace(SPARSE, request_id=f"other-{number}"))

    paths = journal.journals(tmp_path)
    assert {one.path, other.path} == set(paths)
    assert [5, 5] == [len(journal.scan(path).rows) for path in paths]


@pytest.mark.parametrize("limit", [500, 1000, 1001])
def test_full_disk(limit: int, tmp_path: Path) -> None:
    """What a full disk refuses is said, and the file holds whole rows only: all that were taken."""
    lines = python(FULL_DISK, tmp_path, str(limit)).out.splitlines()

    taken = [f"img_{text.split()[1]}" for text in lines if text.startswith("took")]
    found = journal.scan(the_journal(tmp_path))
    assert taken == [row.request_id for row in found.rows]
    assert not found.torn
    assert 0 < len(taken) < 20
    assert lines[-1].startswith("refused 19 journal ")
    assert str(tmp_path) in lines[-1]


def test_not_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that the disk takes and cannot keep is refused, and is not in the file either."""
    with Journal(tmp_path, fsync=True) as usage:
        usage.append(SPARSE)
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", _fail)
            with pytest.raises(HistoryError, match="Input/output error"):
                usage.append(replace(SPARSE, request_id="img_9"))
        usage.append(FULL)
        found = journal.scan(usage.path)

    assert [SPARSE, FULL] == found.rows


def _fail(_: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that cannot be begun leaves no file behind, open or not, however often it is tried."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: _fail(0))
    before = psutil.Process().num_fds()
    for _ in range(5):
        with pytest.raises(HistoryError):
            Journal(tmp_path)

    assert [] == list((tmp_path / journal.FOLDER).iterdir())
    assert before == psutil.Process().num_fds()


def test_no_folder(tmp_path: Path) -> None:
    """A history folder that cannot be made is refused by name, with what to do."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(HistoryError, match="is a file, not a folder; name a writable one"):
        Journal(tmp_path / "file")
