"""Workers whose devices have not the same memory."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from inference.engine import Job, warmup_job
from inference.instruments import Instruments
from inference.limits import Limits
from inference.making import Shared
from inference.pool import Pool
from inference.tickets import Answer, Ticket
from inference.waiting import WaitingRoom
from lightmeter.catalog import Priority
from lightmeter.settings import Serve


SMALL_AND_LARGE = """#!{python}
import json, os, sys
spec = json.loads(sys.argv[4])
if spec["index"] == 0:
    spec["vram_cap"] = "8.3GiB"
sys.argv[4] = json.dumps(spec)
os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Two workers of the stand-in, of which the first has room for a picture of 512 x 512."""
    program = tmp_path / "python"
    program.write_text(SMALL_AND_LARGE.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    return Serve.model_validate({"model": "still", "data": tmp_path, "workers": 2})


async def ask(settings: Serve, jobs: Sequence[Job]) -> list[tuple[str, object]]:
    """Have pictures made one after the other; return what came of each, and at which worker."""
    limits = Limits.of(settings)
    room = WaitingRoom(limits, 0.1)
    shared = Shared(settings, room, limits, Instruments(CollectorRegistry(), "s", "m"))
    pool = Pool(shared)
    pool.start()
    found = []
    try:
        while pool.able < len(pool.workers):  # noqa: ASYNC110  (nobody tells of the second)
            await asyncio.sleep(0.01)
        for job in jobs:
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            ticket = Ticket(job, Priority.INTERACTIVE, time.monotonic(), future)
            room.put(ticket)
            answer = await asyncio.wait_for(future, 30)
            found.append((answer.header["kind"], ticket.worker["memory_total_bytes"]))
    finally:
        await pool.stop()
    return found


def test_left_to_the_larger(settings: Serve) -> None:
    """What fits one worker only is made there, whichever of them asks first for work."""
    found = asyncio.run(ask(settings, [warmup_job(1024, 1), warmup_job(512, 1)] * 4))

    assert {"result"} == {kind for kind, _ in found}
    assert [24 * 2**30] * 4 == [total for _, total in found[::2]]


def test_fits_nobody(settings: Serve) -> None:
    """What fits no worker is not left to the other for ever."""
    found = asyncio.run(ask(settings, [warmup_job(4096, 1, images=4)]))

    assert ["oom"] == [kind for kind, _ in found]
