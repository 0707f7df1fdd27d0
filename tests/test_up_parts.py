"""What `lightmeter up` does when a part of it dies, and when another one wants its folder."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from pathlib import Path

import httpx
import psutil

from lightmeter.cli import up_
from lightmeter.cli.child import Child
from lightmeter.cli.revive import MOST_TIMES, Reviver
from lightmeter.settings_up import Up
from support.server import eventually
from support.up import SOON, asked, free_ports, start, wait_for


def part_of(process: subprocess.Popen[str], word: str) -> psutil.Process:
    """Find the process of a part by its command."""
    return next(each for each in psutil.Process(process.pid).children() if word in each.cmdline())


def test_store_killed(tmp_path: Path) -> None:
    """A store that dies is said and comes back at its address with what it knew; pictures go on.

    A second `lightmeter up` in the same folder is refused meanwhile, with what to do.
    """
    with start(tmp_path, *free_ports(), "--model", "still", "--duration", "300", **SOON) as process:
        words = wait_for(process, "requests answered")
        assert eventually(lambda: asked(words, "up == 1"))
        with start(tmp_path, *free_ports(), "--model", "still", "--duration", "1") as second:
            _, refused = second.communicate(timeout=60)
        part_of(process, "localprom").kill()
        said = wait_for(process, "is started again")
        back = eventually(lambda: _answers(words))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert 2 == second.returncode
    assert "is in use by another lightmeter up; end that one, or name another folder" in refused
    assert "localprom was ended by SIGKILL; it is started again; its log is" in said
    assert back
    assert 0 == process.returncode


def _answers(words: str) -> bool:
    try:
        return bool(asked(words, "count_over_time(up[1h]) > 1"))
    except (ValueError, httpx.HTTPError):
        return False


def test_server_killed(tmp_path: Path) -> None:
    """Without its server everything ends, and the line says what ended it."""
    with start(tmp_path, *free_ports(), "--model", "still", "--duration", "300") as process:
        wait_for(process, "requests answered")
        part_of(process, "serve").kill()
        _, err = process.communicate(timeout=60)

    assert 3 == process.returncode
    assert "the server was ended by SIGKILL; its log is" in err


def test_part_that_keeps_ending(tmp_path: Path) -> None:
    """A part that ends again and again is left alone, which is said once; the rest goes on."""
    lines: list[str] = []
    with Child("nonsense", Up.model_validate({}), tmp_path) as part:
        reviver = Reviver({"export": part}, lines.append)
        for _ in range(MOST_TIMES + 3):
            assert eventually(lambda: part.ended)
            reviver.look()

    assert MOST_TIMES + 1 == len(lines)
    assert "ended with code 2" in lines[0]
    assert "no command 'nonsense'" in lines[0]
    assert "is now left alone" in lines[-1]


def test_figures_of_a_busy_server() -> None:
    """A server that is too busy to tell its metrics is no dead one: that is said, and it is asked again."""
    lines: list[str] = []

    def late(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    async def shown() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(late)) as client:
            stop = asyncio.Event()
            await up_._show(client, lambda: None, "http://x/metrics", stop=stop, seconds=0.1, tell=lines.append)  # fmt: skip

    asyncio.run(shown())

    assert ["metrics: cannot be read at http://x/metrics, which is asked again"] == lines


def test_interrupt_while_starting(tmp_path: Path) -> None:
    """Ctrl-C while the model loads ends all and says why there is no plan; an old history is left alone."""
    with start(tmp_path, *free_ports(), "--duration", "300") as process:
        assert eventually(lambda: list((tmp_path / "logs").glob("scale-*")))
        time.sleep(0.5)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert 0 == process.returncode, err
    assert "No plan: it was ended before the server was ready" in out
    assert eventually(lambda: not any(child.is_running() for child in family))


def test_interrupted_twice(tmp_path: Path) -> None:
    """A second Ctrl-C waits for nothing, and leaves nothing behind."""
    with start(tmp_path, *free_ports(), "--model", "still", "--duration", "300") as process:
        wait_for(process, "requests answered")
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        said = wait_for(process, "Ctrl-C again")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert "Ending all parts" in said
    assert 130 == process.returncode
    assert eventually(lambda: not any(child.is_running() for child in family))
