"""``lightmeter load`` against a real server, as a person or a script runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightmeter.history import History
from support.cli import Ran, clean_environment, lightmeter
from support.server import Server


FIELDS = {
    "schema", "url", "model", "began", "loop", "load", "seconds", "interrupted", "requests", "pictures", "throughput",
    "latency_seconds", "queue_seconds", "gpu_seconds", "errors", "client", "retries", "roofline", "checks", "notes",
}  # fmt: skip
QUICK = ("--shape", "64x64:1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server of grey pictures to all tests."""
    with Server(tmp_path_factory.mktemp("data"), "--queue", "10000") as found:
        yield found.ready()


def load(server: Server, *options: str | Path, cwd: Path, **variables: str) -> Ran:
    return lightmeter("load", "--url", server.api, *options, cwd=cwd, **variables)


def test_json(server: Server, tmp_path: Path) -> None:
    """With --json, standard output is the result and nothing else, and the server agrees with it."""
    before = len(History(server.history).frame([])) if server.history.exists() else 0
    ran = load(server, "--concurrency", "4", "--requests", "30", "--warmup", "5", *QUICK, "--n", "2", "--json", cwd=tmp_path)  # fmt: skip
    result = json.loads(ran.out)

    assert (0, "") == (ran.code, ran.err)
    assert FIELDS == set(result)
    assert ("still", "closed", 30, 60) == (result["model"], result["loop"], result["requests"]["ok"], result["pictures"])  # fmt: skip
    assert {"mean", "p50", "p90", "p95", "p99", "max"} == set(result["latency_seconds"]["measured"])
    assert result["queue_seconds"]["p50"] >= 0
    assert result["gpu_seconds"]["p50"] > 0
    assert 35 == len(History(server.history).frame([])) - before


def test_text(server: Server, tmp_path: Path) -> None:
    """Without a terminal the result is all there is: no bar, no colour."""
    ran = load(server, "--rps", "50", "--requests", "20", *QUICK, cwd=tmp_path)

    assert (0, "") == (ran.code, ran.err)
    assert "20 ok" in ran.out
    assert "as measured" in ran.out
    assert "\x1b" not in ran.out


def test_files(server: Server, tmp_path: Path) -> None:
    """The log has a line on every request, warm-up included; the chart is drawn."""
    ran = load(server, "--rps", "100", "--requests", "20", "--warmup", "3", *QUICK, "--out", "log.jsonl", "--plot", "chart.svg", cwd=tmp_path)  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]

    assert 0 == ran.code, ran.err
    assert (23, 3) == (len(lines), sum(line["warmup"] for line in lines))
    assert {("ok", 64, 1)} == {(line["end"], line["width"], line["forwards"]) for line in lines}
    assert "<svg" in (tmp_path / "chart.svg").read_text()


def test_history_replayed(server: Server, tmp_path: Path) -> None:
    """The server's own history can be sent again, many times as fast."""
    load(server, "--requests", "10", *QUICK, cwd=tmp_path)
    recorded = len(History(server.history).frame([]))
    ran = load(server, "--trace", server.history, "--speed", "20", "--json", cwd=tmp_path)

    assert recorded == json.loads(ran.out)["requests"]["ok"]


def test_check(server: Server, tmp_path: Path) -> None:
    """A limit that is missed is exit code 1, with the result; one that is kept is 0."""
    missed = load(server, "--requests", "5", *QUICK, "--check", "rate=100000", cwd=tmp_path)
    kept = load(server, "--requests", "5", *QUICK, "--check", "p95=1h,errors=0", cwd=tmp_path)

    assert (1, 0) == (missed.code, kept.code)
    assert "MISSED" in missed.out
    assert "" == missed.err


def test_interrupted(server: Server, tmp_path: Path) -> None:
    """Ctrl-C ends the load early and still prints the result."""
    command = [sys.executable, "-P", "-m", "lightmeter.cli", "load", "--url", server.api, "--duration", "1h", *QUICK, "--out", "log", "--json"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=clean_environment()) as process:  # fmt: skip
        while not (tmp_path / "log").exists() or not (tmp_path / "log").stat().st_size:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert (0, "") == (process.returncode, err)
    assert json.loads(out)["interrupted"]
    assert json.loads(out)["requests"]["ok"] > 0


def test_terminal(server: Server, tmp_path: Path) -> None:
    """On a terminal a bar shows how it goes; the result is on standard output all the same."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-P", "-m", "lightmeter.cli", "load", "--url", server.api, "--requests", "60", "--rps", "60", *QUICK]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True, cwd=tmp_path, env=clean_environment(TERM="xterm")) as process:  # fmt: skip
        os.close(theirs)
        out, _ = process.communicate(timeout=60)
    shown = os.read(ours, 1_000_000).decode()
    os.close(ours)

    assert 0 == process.returncode
    assert "60 ok" in out
    assert re.search(r"\d+ ok", shown)


def test_no_server(tmp_path: Path) -> None:
    """A dead port is one line and exit code 3."""
    ran = lightmeter("load", "--url", "http://127.0.0.1:1", "--json", cwd=tmp_path)

    assert "server http://127.0.0.1:1/v1/images/generations cannot be reached (no connection); is it running? name another with --url" == ran.refusal(3)  # fmt: skip


def test_nothing_answered(server: Server, tmp_path: Path) -> None:
    """A run in which every request failed prints its result, and ends with 3 and the reason."""
    ran = load(server, "--requests", "3", "--shape", "63x63", cwd=tmp_path)

    assert 3 == ran.code
    assert "3 failed" in ran.out
    assert ran.err.startswith("lightmeter: no request was answered with a picture; most often: 422, size is '63x63'")  # fmt: skip
    assert 1 == len(ran.err.splitlines())


REFUSED = {
    "--rps 1 --concurrency 1": "give one of --concurrency, --rps and --trace",
    "--rps -1": "load.rps is '-1' (from --rps)",
    "--duration soon": "load.duration is 'soon' (from --duration): duration 'soon' is not understood",
    "--warmup x": "load.warmup is 'x'",
    "--shape 5": "shape '5' is not understood",
    "--prompts absent": "prompts 'absent' does not exist",
    "--trace absent": "trace 'absent' does not exist",
    "--check p95": "check 'p95'",
    "--api-key-file absent": "API key file 'absent' does not exist",
    "--plot a.pdf": "plot 'a.pdf' must end in .png or .svg",
    "--out absent/log": "log 'absent/log' does not exist",
    "--gpu H1000": "GPU 'H1000' is in no table of peaks",
    "--api-key s3cret": "No such option",
}


@pytest.mark.parametrize("options", REFUSED)
def test_refused(options: str, tmp_path: Path) -> None:
    """Bad options are one line and exit code 2, before the server is even looked for."""
    ran = lightmeter("load", "--url", "http://127.0.0.1:1", *options.split(), cwd=tmp_path)

    assert REFUSED[options] in ran.refusal()
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "two words", "schl\u00fcssel", "a\nb"])
def test_key_refused(content: str, tmp_path: Path) -> None:
    """What is no single key is refused without being repeated."""
    (tmp_path / "key").write_text(content, encoding="utf-8")
    ran = lightmeter("load", "--url", "http://127.0.0.1:1", "--api-key-file", "key", cwd=tmp_path)

    said = "must hold one API key and nothing else" if content.isascii() else "is no ASCII text"
    assert said in ran.refusal()
    assert not content or content not in ran.err


def test_key_from_environment(server: Server, tmp_path: Path) -> None:
    """The key may come from the environment; it stands in no output."""
    ran = load(server, "--requests", "1", *QUICK, "--json", cwd=tmp_path, LIGHTMETER_LOAD_API_KEY="s3cret")  # fmt: skip
    shown = lightmeter("config", "show", cwd=tmp_path, LIGHTMETER_LOAD_API_KEY="s3cret")

    assert (0, 0) == (ran.code, shown.code), ran.err
    assert "s3cret" not in ran.out + ran.err + shown.out + shown.err


def test_docs(server: Server, tmp_path: Path) -> None:
    """The commands of the page run as printed, against any server, and leave what they say."""
    page = (Path(__file__).parents[2] / "docs" / "load.md").read_text()
    blocks = re.findall(r"```console\n(.*?)```", page, flags=re.DOTALL)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    (tmp_path / "lightmeter-data").mkdir()
    (tmp_path / "lightmeter-data" / "history").symlink_to(server.history)

    assert len(commands) >= 5
    said = ""
    for command in commands:
        ran = lightmeter(*command[1:], cwd=tmp_path, LIGHTMETER_LOAD_URL=server.api)
        assert ("lightmeter", 0) == (command[0], ran.code), ran.err
        said += ran.out
    assert "impossible: measured above the limit" in said
    assert (tmp_path / "latency.svg").exists()
