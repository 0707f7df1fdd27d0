"""Ratings that come after the answer: kept through everything, and joined when the history is read."""

from __future__ import annotations

import json
import signal
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lightmeter import history, late, lookup
from lightmeter.errors import HistoryError
from lightmeter.history import History
from lightmeter.journal import Journal
from lightmeter.late import LateFile, Rating
from lightmeter.rows import UsageRow
from support import rows
from support.cli import lightmeter, python
from support.rows import DAY, START, every, row


KILLED = """
import os, signal, sys
from pathlib import Path
from lightmeter.late import LateFile, Rating
from support.rows import START
late = LateFile(Path(sys.argv[1]), fsync=sys.argv[2] == "fsync")
late.append(Rating(request_id="a-0.0", at=START, score=2))
os.kill(os.getpid(), signal.SIGKILL)
"""
FULL_DISK = """
import resource, sys
from pathlib import Path
from lightmeter.errors import HistoryError
from lightmeter.late import LateFile, Rating
from support.rows import START
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
late = LateFile(Path(sys.argv[1]))
for n in range(5):
    try:
        late.append(Rating(request_id=f"img_{n}", at=START, score=3))
        print("took", n)
    except HistoryError as error:
        print("refused", n, error)
"""


def stars(request_id: str, score: int, *tags: str, at: float = 0.0) -> Rating:
    """Make a rating that comes ``at`` seconds after `START`."""
    return Rating(request_id=request_id, at=START + timedelta(seconds=at), score=score, tags=tags)


def rate(folder: Path, *given: Rating) -> None:
    """Write ratings as one server process would."""
    book = LateFile(folder)
    for one in given:
        book.append(one)
    book.close()


def journalled(folder: Path, *usage: UsageRow) -> Path:
    """Write rows to a journal and close it."""
    with Journal(folder) as book:
        for one in usage:
            book.append(one)
    return book.path


def feedback(folder: Path) -> dict[str, Any]:
    """Read the stars by request id; None where there are none."""
    found = History(folder).frame(["request_id", "feedback"])
    known = found["feedback"].astype(object).where(found["feedback"].notna(), None)
    return dict(zip(found["request_id"], known, strict=True))


def late_path(folder: Path) -> Path:
    """Return the only late file of a folder."""
    (path,) = (folder / late.FOLDER).iterdir()
    return path


def test_joined(tmp_path: Path) -> None:
    """A rating is in the feedback column of its row and of no other, in a journal or sealed."""
    journalled(tmp_path, row(0.0), row(1.0))
    rows.folder(tmp_path, [row(DAY), row(DAY + 1)])
    rate(tmp_path, stars("a-0.0", 5), stars(f"a-{DAY}", 2))

    expected = {"a-0.0": 5, "a-1.0": None, f"a-{DAY}": 2, f"a-{DAY + 1}": None}
    assert expected == feedback(tmp_path)
    history.seal_orphans(tmp_path)
    assert expected == feedback(tmp_path)


def test_column_alone(tmp_path: Path) -> None:
    """The ratings come without asking for the request ids, and their column keeps its type."""
    journalled(tmp_path, row(0.0), row(1.0))
    rate(tmp_path, stars("a-1.0", 4))

    (table,) = History(tmp_path).tables(["feedback"])
    assert ["feedback"] == table.column_names
    assert [None, 4] == table["feedback"].to_pylist()
    assert "int8" == str(table.schema.field("feedback").type)


def test_newest(tmp_path: Path) -> None:
    """Of several ratings of one request the newest counts, whichever server took it."""
    journalled(tmp_path, row(0.0), row(1.0))
    rate(tmp_path, stars("a-0.0", 1, at=10), stars("a-1.0", 1, at=10), stars("a-1.0", 2, at=10))
    rate(tmp_path, stars("a-0.0", 5, at=5))

    assert {"a-0.0": 1, "a-1.0": 2} == feedback(tmp_path)


def test_over_the_source(tmp_path: Path) -> None:
    """A rating that the source had stays, until a newer one comes."""
    rows.folder(tmp_path, [row(0.0, feedback=3), row(1.0, feedback=3)])
    rate(tmp_path, stars("a-1.0", 4))

    assert {"a-0.0": 3, "a-1.0": 4} == feedback(tmp_path)


def test_stranger(tmp_path: Path) -> None:
    """A rating of a request that the history no longer holds changes nothing."""
    journalled(tmp_path, row(0.0))
    rate(tmp_path, stars("img_gone", 1))

    assert {"a-0.0": None} == feedback(tmp_path)
    assert 1 == History(tmp_path).summary()["rows"]


def test_tags(tmp_path: Path) -> None:
    """The tags of a rating come back as they were given."""
    rate(tmp_path, stars("a-0.0", 5, "构图", "hands \N{SNOWMAN}"))

    assert ("构图", "hands \N{SNOWMAN}") == late.ratings(tmp_path).newest["a-0.0"].tags


@pytest.mark.parametrize("mode", ["plain", "fsync"])
def test_killed(mode: str, tmp_path: Path) -> None:
    """A rating is kept although its process is killed the instant after it was taken."""
    journalled(tmp_path, row(0.0))
    ended = python(f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{KILLED}", tmp_path, mode)  # fmt: skip

    assert -signal.SIGKILL == ended.code, ended.err
    assert {"a-0.0": 2} == feedback(tmp_path)
    assert [] == History(tmp_path).notes


def test_torn(tmp_path: Path) -> None:
    """Wherever a crash cut the last rating, those before it count and the loss is told."""
    journalled(tmp_path, row(0.0))
    rate(tmp_path, stars("a-0.0", 4), stars("a-0.0", 1, at=1))
    path = late_path(tmp_path)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1

    for cut in (first + 1, (first + len(whole)) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        past = History(tmp_path)
        assert [4] == past.frame(["feedback"])["feedback"].tolist()
        (note,) = past.notes
        assert str(path) in note


def test_live_is_not_torn(tmp_path: Path) -> None:
    """A rating that is being written right now is no loss, and nothing is said of it."""
    book = LateFile(tmp_path)
    book.append(stars("a-0.0", 4))
    with late_path(tmp_path).open("ab") as file:
        file.write(b'{"requ')

    assert [] == late.ratings(tmp_path).notes
    book.close()
    assert 1 == len(late.ratings(tmp_path).notes)


def test_nothing_rated(tmp_path: Path) -> None:
    """A server whose pictures nobody rates leaves no file."""
    LateFile(tmp_path).close()

    assert [] == list(tmp_path.iterdir())
    assert {} == late.ratings(tmp_path).newest


@pytest.mark.parametrize(
    "bad",
    [
        {"score": 0},
        {"score": 6},
        {"score": True},
        {"score": "5"},
        {"request_id": ""},
        {"request_id": None},
        {"at": "yesterday"},
        {"at": None},
        {"tags": [5]},
        {"tags": 5},
    ],
)
def test_broken_line(bad: dict[str, Any], tmp_path: Path) -> None:
    """A line that is no rating is refused with its file and number, on one line."""
    journalled(tmp_path, row(0.0))
    rate(tmp_path, stars("a-0.0", 5))
    path = late_path(tmp_path)
    line = json.loads(path.read_text()) | bad
    path.write_text(path.read_text() + json.dumps(line) + "\n" + path.read_text())

    with pytest.raises(HistoryError, match=rf"{path.name} line 2: not a rating") as caught:
        History(tmp_path).summary()
    assert 1 == len(str(caught.value).splitlines())
    assert 1 == len(History(tmp_path).frame(["service"]))


def test_full_disk(tmp_path: Path) -> None:
    """What a full disk refuses is said; the file holds the ratings that were taken, whole."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{FULL_DISK}"
    lines = python(code, tmp_path).out.splitlines()

    taken = {f"img_{text.split()[1]}" for text in lines if text.startswith("took")}
    assert taken == set(late.ratings(tmp_path).newest)
    assert 0 < len(taken) < 5
    assert lines[-1].startswith("refused 4 late file in ")


def test_many_threads(tmp_path: Path) -> None:
    """Ratings that come at the same time all arrive whole."""
    book = LateFile(tmp_path)

    def some(thread: int) -> None:
        for number in range(50):
            book.append(stars(f"img_{thread}_{number}", 1 + number % 5))

    threads = [threading.Thread(target=some, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book.close()

    assert 400 == len(late.ratings(tmp_path).newest)


def test_summary(tmp_path: Path) -> None:
    """The summary gives the number of ratings and their mean for each service that has any."""
    journalled(tmp_path, *every(1, 3), *every(1, 2, service="b"), row(9.0, service="c"))
    rate(tmp_path, stars("a-0.0", 5), stars("a-1.0", 2), stars("b-0.0", 4))

    expected = {"a": {"ratings": 2, "mean_stars": 3.5}, "b": {"ratings": 1, "mean_stars": 4.0}}
    assert expected == History(tmp_path).summary()["feedback"]
    shown = lightmeter("history", "show", tmp_path, cwd=tmp_path).out
    assert "2  a, 3.50 stars on average" in shown
    silent = lightmeter(
        "history", "show", rows.folder(tmp_path / "other", [row(0.0)]), cwd=tmp_path
    )
    assert "stars" not in silent.out


def test_other_engines(tmp_path: Path) -> None:
    """A program that reads the folder as Parquet does not stumble over the late files."""
    rows.folder(tmp_path, every(1, 3))
    rate(tmp_path, stars("a-0.0", 5))

    assert 3 == len(pd.read_parquet(tmp_path))


def test_found(tmp_path: Path) -> None:
    """A request is found wherever its row is, and one that never was is not."""
    journalled(tmp_path, row(0.0), row(1.0))
    rows.folder(tmp_path, every(DAY, 3, service="b"))

    for known in ("a-0.0", "a-1.0", "b-0.0", f"b-{2 * DAY}"):
        assert lookup.holds(tmp_path, known, seconds=60) is True
    for unknown in ("a-0", "a-9.0", "ok", ""):
        assert lookup.holds(tmp_path, unknown, seconds=60) is False


def test_found_beside_damage(tmp_path: Path) -> None:
    """A damaged file or a torn row hides no other request, and is no request itself."""
    path = journalled(tmp_path, row(0.0), row(1.0))
    path.write_bytes(b'rubbish "a-0.0"\n' + path.read_bytes()[:-3])
    (rows.folder(tmp_path, [row(5.0)]) / "date=2026-10-01" / "broken.parquet").write_text("x")

    assert lookup.holds(tmp_path, "a-0.0", seconds=60)
    assert lookup.holds(tmp_path, "a-5.0", seconds=60)
    assert lookup.holds(tmp_path, "a-1.0", seconds=60) is False


def test_out_of_time(tmp_path: Path) -> None:
    """A search that runs out of time says that it does not know, not that there is nothing."""
    rows.folder(tmp_path, every(DAY, 3))

    assert lookup.holds(tmp_path, "b-0.0", seconds=-1) is None
