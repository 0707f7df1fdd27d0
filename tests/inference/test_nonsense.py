"""Workers that talk nonsense, work beside the requests that fails: nothing hangs, nothing is silent."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client import CollectorRegistry

from inference import aside
from inference.aside import keep_up
from inference.engine import warmup_job
from inference.instruments import Instruments
from inference.keeper import backoff
from inference.limits import Limits
from inference.making import Shared
from inference.pool import Pool
from inference.process import WorkerProcess
from inference.tickets import Answer, Ticket
from inference.waiting import WaitingRoom
from lightmeter.catalog import Priority
from lightmeter.settings import Serve
from support.cli import lightmeter


READY = {
    "kind": "ready",
    "default_side": 64,
    "device": "none",
    "gpu_name": None,
    "gpu_uuid": None,
    "phases": {},
    "memory_total_bytes": None,
}
RESULT = {
    "kind": "result",
    "shape": [1, 64, 64, 3],
    "nan": [False],
    "stages": {},
    "steps": [],
    "clock": "host",
    "forwards": 1,
    "gpu_seconds": 1.0,
    "peak_vram_bytes": None,
}
ODD = """#!{python}
import os, pathlib, sys
mark = pathlib.Path({mark!r})
if mark.exists():
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
mark.touch()
from inference import wire
def say(frame):
    sys.stdout.buffer.write(wire.pack(frame))
    sys.stdout.buffer.flush()
say({ready!r})
wire.read(sys.stdin.buffer)
say({answer!r})
sys.stdin.buffer.read()
"""


HALF = """#!{python}
import json, os, sys, time
if json.loads(sys.argv[4])["index"]:
    time.sleep(1)
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
from inference import wire
def say(frame):
    sys.stdout.buffer.write(wire.pack(frame))
    sys.stdout.buffer.flush()
{refusal}
"""


async def ask_odd(settings: Serve) -> tuple[Answer, int]:
    """Have a picture made by a worker that is odd once; return the answer and the worker's deaths."""
    limits = Limits.of(settings)
    room = WaitingRoom(limits, 0.1)
    pool = Pool(Shared(settings, room, limits, Instruments(CollectorRegistry(), "s", "m")))
    pool.start()
    future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    room.put(Ticket(warmup_job(64, 1), Priority.INTERACTIVE, time.monotonic(), future))
    try:
        return await asyncio.wait_for(future, 30), pool.workers[0].deaths
    finally:
        await pool.stop()


@pytest.mark.parametrize(
    "answer",
    [
        [1, 2, 3],
        RESULT | {"stages": {"dreaming": 1.0}},
        RESULT | {"gpu_seconds": None},
        RESULT | {"clock": "sundial"},
        {"kind": "result"},
    ],
)
def test_odd_answer(answer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker that talks nonsense was asked for is made by its replacement, and soon."""
    program = tmp_path / "odd"
    program.write_text(
        ODD.format(python=sys.executable, mark=str(tmp_path / "mark"), ready=READY, answer=answer)
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    settings = Serve.model_validate({"model": "still", "data": tmp_path})
    made, deaths = asyncio.run(ask_odd(settings))

    assert ("result", 1) == (made.header["kind"], deaths)


@pytest.mark.parametrize("refusal", ["say({'kind': 'failed', 'error': 'no room'})", "sys.exit(1)"])
def test_one_of_two_loads(refusal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU on which the model cannot be loaded does not take the others down with it."""
    program = tmp_path / "half"
    program.write_text(HALF.format(python=sys.executable, refusal=refusal))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    settings = Serve.model_validate({"model": "still", "data": tmp_path, "workers": 2})
    made, _ = asyncio.run(ask_odd(settings))

    assert "result" == made.header["kind"]


def test_none_loads(tmp_path: Path) -> None:
    """Where no worker can load the model, the server says so, once, and ends."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model_index.json").write_text('{"_class_name": "ZImagePipeline"}')
    free = ("--port", "0", "--metrics-port", "0", "--workers", "2", "--data", str(tmp_path))
    ran = lightmeter("serve", "--model", str(tmp_path / "model"), *free, cwd=tmp_path)

    assert 2 == ran.code
    assert f"lightmeter: model '{tmp_path / 'model'}' cannot be loaded" in ran.err


def test_no_room(tmp_path: Path) -> None:
    """A model that the memory does not hold is not taken for one that is damaged."""
    free = ("--port", "0", "--metrics-port", "0", "--data", str(tmp_path))
    ran = lightmeter("serve", "--model", "still", "--vram-cap", "1MiB", *free, cwd=tmp_path)

    assert 2 == ran.code
    assert ran.err.endswith("try --offload, smaller --warmup-shapes, a larger --vram-cap or a larger GPU\n")  # fmt: skip


def test_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that cannot be started, try after try, use up no files."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    settings = Serve.model_validate({"model": "still", "data": tmp_path})

    async def start() -> None:
        with pytest.raises(OSError, match="nothing"):
            await WorkerProcess.start(settings, 0)

    def open_files_after(tries: int) -> int:
        for _ in range(tries):
            asyncio.run(start())
        return psutil.Process().num_fds()

    assert open_files_after(1) == open_files_after(10)


def test_kept_up(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Work beside the requests that fails is told of with its trace, and goes on."""
    monkeypatch.setattr(aside, "PAUSE_SECONDS", 0.01)
    rounds: list[int] = []

    async def work() -> None:
        rounds.append(len(rounds))
        if len(rounds) < 3:
            raise ZeroDivisionError

    with caplog.at_level(logging.ERROR):
        asyncio.run(_until_done(work))

    assert [0, 1, 2] == rounds
    assert ["the counting failed; it begins again in 0.01 s"] * 2 == caplog.messages
    assert "ZeroDivisionError" in caplog.text


async def _until_done(work: Any) -> None:
    await keep_up("the counting", work)


def test_backoff() -> None:
    """Starts are tried again ever more seldom, up to half a minute, for as long as it takes."""
    assert [0.5, 1.0, 2.0, 30.0, 30.0] == [backoff(failures) for failures in (1, 2, 3, 8, 100_000)]
