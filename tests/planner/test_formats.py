"""Importing tables of one's own and the public traces: what is read, what is said, what is refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lightmeter import cli
from lightmeter.errors import HistoryError
from lightmeter.history import History
from planner import importers, packed


JOBS = """\
request_id,arrived_at,service,images,service_seconds,outcome
a,2026-11-20T09:30:00Z,fox,2,4.5,ok
b,2026-11-20T11:31:00+02:00,fox,,,shed
"""


def write(tmp_path: Path, content: str | bytes, name: str = "jobs.csv") -> Path:
    """Write a file to import."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def known(format_: str, path: Path, **more: Any) -> list[dict[str, Any]]:
    """Import a file, and give what its rows know beside their ids."""
    found = importers.read(format_, path, **more).table.to_pylist()
    return [
        {name: value for name, value in row.items() if value is not None and name != "request_id"}
        for row in found
    ]


def notes(format_: str, path: Path, **more: Any) -> str:
    """Import a file, and give what is said of it."""
    return "\n".join(importers.read(format_, path, **more).notes)


def at(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def test_csv(tmp_path: Path) -> None:
    """A table whose columns are named like ours is read; what is empty stays unknown, zones are kept."""
    path = write(tmp_path, JOBS)

    assert [
        {"arrived_at": at("2026-11-20 09:30"), "service": "fox", "images": 2, "service_seconds": 4.5, "outcome": "ok"},
        {"arrived_at": at("2026-11-20 09:31"), "service": "fox", "outcome": "shed"},
    ] == known("csv", path)  # fmt: skip
    assert ["a", "b"] == importers.read("csv", path).table["request_id"].to_pylist()
    assert not notes("csv", path)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_separators(tmp_path: Path, separator: str) -> None:
    """Semicolons, tabs, a byte-order mark, Windows's line ends and gzip do not matter."""
    text = JOBS.replace(",", separator).replace("\n", "\r\n").encode("utf-8-sig")

    plain = known("csv", write(tmp_path, JOBS))
    assert plain == known("csv", write(tmp_path, text, "other"))
    assert plain == known("csv", write(tmp_path, gzip.compress(text), "packed"))


def test_mapping(tmp_path: Path) -> None:
    """Columns called otherwise are mapped, ids made up, and what is no usage column named."""
    path = write(tmp_path, "created,took,colour,size\n2026-11-20 09:30:00,3.5,red,7\n")
    mapping = {"arrived_at": "created", "service_seconds": "took"}

    assert [{"arrived_at": at("2026-11-20 09:30"), "service_seconds": 3.5, "service": "fox"}] == known(
        "csv", path, mapping=mapping, service="fox"
    )  # fmt: skip
    said = notes("csv", path, mapping=mapping)
    assert "left out: colour, size; --column OURS=THEIRS maps one" in said
    assert "times without a zone are taken to be UTC" in said
    assert (
        "1 of 1 rows have no service, and the planner leaves them out; --service names it" in said
    )


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (("1763631000", "1763631060.5"), "read as Unix time in seconds"),
        (("1763631000000", "1763631060500"), "read as Unix time in milliseconds"),
        (("2025-11-20T09:30:00", "2025-11-20T09:31:00.5Z"), "without a zone (1 of 2) are taken to be UTC"),
        (("2025-11-20 09:30", "2025-11-20 09:31:00.5"), "without a zone are taken to be UTC"),
    ],
)  # fmt: skip
def test_times(tmp_path: Path, times: tuple[str, str], said: str) -> None:
    """Unix times and times without a zone are read, and how is said."""
    path = write(tmp_path, "arrived_at,service\n" + "".join(f"{time},fox\n" for time in times))

    assert said in notes("csv", path)
    assert [at("2025-11-20 09:30"), at("2025-11-20 09:31:00.5")] == [
        row["arrived_at"] for row in known("csv", path)
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("4.5", "soon", "line 2: service_seconds is 'soon'; it must be a number, 0 or more, or empty"),
        ("4.5", "-4.5", "line 2: service_seconds is '-4.5'; it must be a number"),
        ("4.5", "inf", "line 2: service_seconds is 'inf'; it must be a number"),
        ("fox,2", "fox,2.5", "line 2: images is '2.5'; it must be a whole number"),
        ("fox,2", "fox,3000000000", "line 2: images is '3000000000'; it must be a whole number"),
        ("shed", "dropped", "line 3: outcome is 'dropped'; it must be one of ok, "),
        ("2026-11-20T11:31:00+02:00", "yesterday", "line 3: arrived_at is 'yesterday'; write it like 2026-"),
        ("2026-11-20T11:31:00+02:00", "", "line 3: arrived_at is empty; every row needs one"),
        ("2026-11-20T11:31:00+02:00", "1926-11-20", "line 3: arrived_at is '1926-11-20'; it must lie between"),
        ("\nb,", "\n,", "line 3: request_id is empty; every row needs one"),
        ("\nb,", '\n\n"b\nb",', None),
        ("shed", '"dropped\n"', "line 4: outcome is 'dropped\\n'"),
    ],
)  # fmt: skip
def test_bad_value(tmp_path: Path, old: str, new: str, said: str | None) -> None:
    """A bad value refuses the table in one line that names file, line, column, value and what to do."""
    path = write(tmp_path, JOBS.replace(old, new))
    if said is None:
        assert 2 == len(known("csv", path))
        return
    with pytest.raises(HistoryError, match=re.escape(said)) as refusal:
        importers.read("csv", path)

    assert str(refusal.value).startswith(str(path))


@pytest.mark.parametrize(
    ("content", "mapping", "said"),
    [
        (b"time,x\n1,2\n", {}, "lacks the column 'arrived_at'; it has time, x; --column arrived_at=NAME"),
        (b"time,x\n1,2\n", {"arrived_at": "tme"}, "has no column 'tme' for arrived_at; did you mean 'time'?"),
        (b"time,x\n1,2\n", {"arived": "time"}, "--column 'arived' is no usage column; did you mean 'arrived_at'?"),
        (b"arrived_at\n", {}, "holds no rows"),
        (b"arrived_at,x\n2026-11-20,1,2\n", {}, "has more fields in its rows than in its header"),
        (b"arrived_at,x\n2026-11-20,1\n2026-11-20,1,2\n", {}, "is no CSV: "),
        (b"", {}, "is no CSV"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", {}, "is no CSV"),
    ],
)  # fmt: skip
def test_no_table(tmp_path: Path, content: bytes, mapping: dict[str, str], said: str) -> None:
    """A file that is no such table is refused, and what it lacks said."""
    with pytest.raises(HistoryError, match=re.escape(said)):
        importers.read("csv", write(tmp_path, content), mapping=mapping)


AZURE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
"""


def test_azure(tmp_path: Path) -> None:
    """A language model's trace gives arrivals alone, and is said to be no image demand."""
    path = write(tmp_path, AZURE, "any name")

    assert [
        {"arrived_at": at("2023-11-16 18:17:03.979960")},
        {"arrived_at": at("2023-11-16 18:17:04.031960")},
    ] == known("azure-llm", path)
    assert "not for pictures" in notes("azure-llm", path)
    assert "no time on a GPU is known" in notes("azure-llm", path)


KATZ = [
    {"timestamp": 1700000000.25, "ip": "10.0.0.1", "scene_id": "A", "base_model_id": 17, "controlnets": ["c"], "loras": ["x", "y"]},
    {"timestamp": 1700000001.5, "ip": "10.0.0.2", "scene_id": "B", "base_model_id": None, "controlnets": None, "loras": None},
]  # fmt: skip


@pytest.mark.parametrize("kind", ["json", "csv", "text"])
def test_katz(tmp_path: Path, kind: str) -> None:
    """Katz's trace is read as its publisher's JSON or as a table: the scene is the service."""
    frame = pd.DataFrame(KATZ)
    if kind == "text":
        frame["timestamp"] = ["2023-11-14 22:13:20.25", "2023-11-14 22:13:21.5"]
    text = json.dumps(KATZ) if kind == "json" else frame.to_csv(index=False)
    first, second = known("katz", write(tmp_path, text, "trace"))

    assert {"arrived_at": at("2023-11-14 22:13:20.25"), "service": "A", "loras": 2} == {
        name: value for name, value in first.items() if name != "model"
    }
    assert first["model"] in {"17", "17.0"}
    assert {"arrived_at": at("2023-11-14 22:13:21.5"), "service": "B", "loras": 0} == second


def test_diffusiondb(tmp_path: Path) -> None:
    """DiffusionDB's metadata is read from its Parquet file: each row is a picture with its size."""
    frame = pd.DataFrame(
        {
            "image_name": ["a.png", "b.png"],
            "prompt": ["a fox", "an owl"],
            "seed": [1, 2],
            "step": [50, 30],
            "width": [512, 1024],
            "height": [768, 512],
            "user_name": ["u1", "u2"],
            "timestamp": pd.to_datetime(["2022-08-07 22:57:00", "2022-08-07 22:58:00"], utc=True),
        }
    )
    path = tmp_path / "metadata"
    frame.to_parquet(path)
    first = known("diffusiondb", path)[0]

    assert {
        "arrived_at": at("2022-08-07 22:57:00"),
        "tenant": "u1",
        "width": 512,
        "height": 768,
        "images": 1,
        "forwards": 50,
        "outcome": "ok",
    } == first
    with pytest.raises(HistoryError, match="has the columns of diffusiondb; import it as that"):
        importers.read("katz", path)


@pytest.mark.parametrize(
    ("format_", "content", "said"),
    [
        ("gentd26", AZURE.encode(), "has the columns of azure-llm; import it as that"),
        ("katz", b"[1, 2]", "is no list of objects"),
        ("katz", b'[{"timestamp": 1}', "is no JSON"),
        ("katz", b'[{"timestamp": 1}]', "lacks the column 'scene_id'; it has timestamp"),
        ("diffusiondb", b"PAR1 and no more", "is damaged; fetch it again"),
        ("azure-llm", AZURE.replace("2023-11-16 18:17:04.0319600", "noon").encode(), "TIMESTAMP: "),
    ],
)
def test_wrong_trace(tmp_path: Path, format_: str, content: bytes, said: str) -> None:
    """A damaged file, or one of another trace, is refused in words that name it."""
    with pytest.raises(HistoryError, match=re.escape(said)):
        importers.read(format_, write(tmp_path, content))


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[Any, str, str]:
    """Run ``history import``; return its exit code and what it printed and said."""
    with pytest.raises(SystemExit) as end:
        cli.main(["history", "import", *map(str, arguments)])
    return end.value.code, *capsys.readouterr()


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command maps columns, says its notes on stderr, and changes nothing the second time."""
    path = write(tmp_path, "when,colour\n2026-11-20T09:30:00Z,red\n2026-11-21T09:30:00Z,red\n")
    arguments: list[str | Path] = ["csv", path, "--column", "arrived_at=when", "--service", "fox", "--out", tmp_path / "h"]  # fmt: skip

    code, out, err = run(capsys, *arguments)
    again = run(capsys, *arguments, "--json")

    assert (0, 1) == (code, err.count("\n"))
    assert "2 rows imported" in out
    assert err.startswith("note: columns that are no usage columns are left out: colour")
    assert (0, 2) == (again[0], json.loads(again[1])["rows"])
    assert {"fox": 2} == History(tmp_path / "h").summary()["services"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gentd26", "--column", "a=b"], "--column is for csv, not for gentd26"),
        (["csv", "--since", "30d"], "--since is for prometheus, not for csv"),
        (["csv", "--bearer-token-file", "x"], "--bearer-token-file is for prometheus, not for csv"),
        (["csv", "--column", "arrived_at"], "--column 'arrived_at' is not understood; write it OURS="),
        (["csv", "--column", "arrived_at="], "is not understood; write it OURS=THEIRS"),
    ],
)  # fmt: skip
def test_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """A mapping that cannot be is bad usage: exit code 2, one line, nothing written."""
    path = write(tmp_path, JOBS)
    code, _, err = run(capsys, *arguments, path, "--out", tmp_path / "h")

    assert (2, 1) == (code, err.count("\n"))
    assert said in err
    assert not (tmp_path / "h").exists()


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a bar says what is being done; elsewhere nothing is drawn."""
    path, plain, screen = write(tmp_path, JOBS), io.StringIO(), Terminal()
    monkeypatch.setenv("TERM", "xterm")
    for stream in (plain, screen):
        monkeypatch.setattr(sys, "stderr", stream)
        with pytest.raises(SystemExit):
            cli.main(["history", "import", "csv", str(path), "--out", str(tmp_path / "h")])

    assert not plain.getvalue()
    assert "writing" in screen.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(bytes(packed.GROWTH_FROM + 1)), "unpacks to more than 250 times its size, which no log does"),
        (b"a" * (packed.HEAD_BYTES + 1), "its first line is longer than 1 MiB"),
        (b"arrived_at" + b",x" * packed.MOST_COLUMNS + b"\n", "has 10001 columns, more than 10000"),
        (b"arrived_at" + b",x" * 9_000 + b"\n" + b"1\n" * 20_000, "rows that are too short for them"),
        (b"[" + b",".join(b'{"a%d":1}' % n for n in range(5_000)) + b"]", "has 5000 names of columns, and few of them in each object"),
    ],
    ids=["zeros", "line", "columns", "short", "names"],
)  # fmt: skip
def test_bomb(tmp_path: Path, content: bytes, said: str) -> None:
    """A small file whose table would fill the memory is refused in one line, before there is one."""
    (tmp_path / "x").write_bytes(content)

    for format_ in ("gentd26", "csv"):
        if format_ == "csv" and content[:1] == b"[":
            continue
        with pytest.raises(HistoryError, match=said):
            importers.read(format_, tmp_path / "x")


def test_device(tmp_path: Path) -> None:
    """What has no end is refused instead of read; a pipe that is named is read like a file."""
    with pytest.raises(HistoryError, match="'/dev/zero' is a device, not a file"):
        importers.read("csv", Path("/dev/zero"))

    os.mkfifo(tmp_path / "x")
    with subprocess.Popen(["/bin/sh", "-c", f"printf 'arrived_at\n1790000000\n' > {tmp_path}/x"]):
        assert 1 == importers.read("csv", tmp_path / "x").table.num_rows
