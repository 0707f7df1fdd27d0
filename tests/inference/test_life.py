"""Deaths and endings: of the server, of a worker, in the middle of work."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import httpx
import psutil

from lightmeter import catalog, journal
from lightmeter.catalog import WorkerState
from lightmeter.history import History
from lightmeter.journal import journals
from support.server import Server, eventually


LONG = {"num_inference_steps": 200, "size": "16x16"}
LONG_ALLOWED = ("--max-steps", "200")


def test_killed_after_answer(tmp_path: Path) -> None:
    """A request that was answered is in the history though the server dies the next instant."""
    with Server(tmp_path) as server:
        answer = server.ready().post()
        server.kill()

    frame = History(tmp_path / "history").frame(["request_id"])
    assert [answer.json()["id"]] == list(frame["request_id"])


def test_worker_follows(tmp_path: Path) -> None:
    """No worker outlives its server, however that one died."""
    with Server(tmp_path) as server:
        workers = server.ready().worker_pids()
        server.kill()

    assert workers
    assert eventually(lambda: not any(map(psutil.pid_exists, workers)))


def test_worker_follows_quietly(tmp_path: Path) -> None:
    """A worker whose server is killed in mid-batch ends without a trace that accuses the model."""
    with Server(tmp_path, *LONG_ALLOWED) as server:
        workers = server.ready().worker_pids()
        job = server.client.post("/v1/jobs", json={"prompt": "x", **LONG}).json()["id"]
        assert eventually(
            lambda: "running" == server.client.get(f"/v1/jobs/{job}").json()["status"]
        )
        server.kill()
        assert eventually(lambda: not any(map(psutil.pid_exists, workers)))
        log = "".join(server.log)

    assert workers
    assert "Traceback" not in log
    assert "the model failed" not in log


def test_worker_follows_at_work() -> None:
    """A worker that loads, or is in the middle of a batch, ends too: the GPU is the next server's."""
    worker = "import os; from inference import worker; print(os.getpid(), flush=True); worker._follow(os.getppid())"
    server = "import subprocess, sys; subprocess.run([sys.executable, '-P', '-c', sys.argv[1]])"
    command = [sys.executable, "-P", "-c", server, worker]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert "python" in child.name()
        parent.kill()

        assert eventually(lambda: not child.is_running())


def test_sealed_by_next(tmp_path: Path) -> None:
    """The journal of a killed server is sealed by the next one, rows and all."""
    with Server(tmp_path) as first:
        first.ready().post()
        first.kill()
    with Server(tmp_path) as second:
        second.ready()
        assert eventually(lambda: list((tmp_path / "history").glob("date=*/*.parquet")))
        assert 1 == History(second.history).summary()["rows"]

    assert [] == journals(tmp_path / "history")


def ask_in_background(server: Server, count: int) -> tuple[threading.Thread, list[httpx.Response]]:
    """Send long requests at once, and return when the server has them."""
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.extend(server.together([LONG] * count)))
    asking.start()
    assert eventually(lambda: server.value(catalog.IN_FLIGHT) == count)
    return asking, answers


def test_drain(tmp_path: Path) -> None:
    """SIGTERM lets accepted requests finish, ends with code 0 and leaves a sealed history."""
    with Server(tmp_path, *LONG_ALLOWED) as server:
        asking, answers = ask_in_background(server.ready(), 4)
        code = server.stop()
        asking.join()

    assert ([200] * 4, 0) == ([answer.status_code for answer in answers], code)
    assert [] == journals(tmp_path / "history")
    assert {"ok": 4} == History(tmp_path / "history").summary()["outcomes"]


def test_interrupt(tmp_path: Path) -> None:
    """Ctrl-C ends the server just as cleanly."""
    with Server(tmp_path) as server:
        server.ready().process.send_signal(signal.SIGINT)

        assert 0 == server.process.wait(30)


def test_worker_killed(tmp_path: Path) -> None:
    """The requests of a worker that dies are made by its replacement; nobody notices but the log."""
    with Server(tmp_path, *LONG_ALLOWED, "--batch", "1") as server:
        [worker] = server.ready().worker_pids()
        asking, answers = ask_in_background(server, 4)
        os.kill(worker, signal.SIGKILL)
        asking.join()
        log = "".join(server.log)

    assert {200: 4} == Counter(answer.status_code for answer in answers)
    assert "worker w0 died" in log
    assert {"ok": 4} == History(tmp_path / "history").summary()["outcomes"]


def test_worker_killed_twice(tmp_path: Path) -> None:
    """A request that has lost two workers is answered 503, so that it cannot bring down a third."""
    with Server(tmp_path, *LONG_ALLOWED) as server:
        asking, answers = ask_in_background(server.ready(), 1)
        for _ in range(2):
            assert eventually(lambda: server.value(catalog.WORKERS, state=WorkerState.BUSY) == 1)
            os.kill(server.worker_pids()[0], signal.SIGKILL)
            assert eventually(lambda: server.value(catalog.WORKERS, state=WorkerState.BUSY) == 0)
        asking.join()
        assert eventually(lambda: server.post().status_code == 200)

    assert [503] == [answer.status_code for answer in answers]
    assert "retry-after" in answers[0].headers


def test_idle_worker_killed(tmp_path: Path) -> None:
    """A worker that dies with nothing to do is replaced before anybody asks."""
    with Server(tmp_path) as server:
        [worker] = server.ready().worker_pids()
        os.kill(worker, signal.SIGKILL)
        assert eventually(lambda: server.worker_pids() not in ([], [worker]))
        assert eventually(lambda: server.client.get("/readyz").status_code == 200)

        assert 200 == server.post().status_code


def test_two_workers(tmp_path: Path) -> None:
    """Several workers share one queue."""
    with Server(tmp_path, "--workers", "2", "--batch", "1", *LONG_ALLOWED) as server:
        server.ready()
        assert eventually(lambda: server.value(catalog.WORKERS, state=WorkerState.READY) == 2)
        answers = server.together([LONG] * 6)

    assert {200: 6} == Counter(answer.status_code for answer in answers)
    total = max(answer.json()["timings"]["total"] for answer in answers)
    work = sum(answer.json()["usage"]["gpu_seconds"] for answer in answers)
    assert total < work


def test_rotation(tmp_path: Path) -> None:
    """A journal that has grown is sealed while the server goes on, and no row is lost or doubled."""
    with Server(tmp_path, "--seal-rows", "5") as server:
        asked = itertools.count(1)
        server.ready()
        assert eventually(
            lambda: (
                server.post(size="16x16", num_inference_steps=1).is_success
                and next(asked)
                and len(list(server.history.glob("date=*/*.parquet"))) >= 2
            )
        )
        while_running = History(server.history).summary()["rows"]

    posted = next(asked) - 1
    assert [posted] * 2 == [while_running, History(tmp_path / "history").summary()["rows"]]


def test_unwritable(tmp_path: Path) -> None:
    """A request that the disk refuses to record is not answered as a success, and the log says why."""
    with Server(tmp_path) as server:
        recorded = server.ready().post().status_code
        limit = next(iter(journals(server.history))).stat().st_size + 100
        psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_FSIZE, (limit, limit))
        refused = server.post()
        assert eventually(lambda: "is not recorded: journal" in "".join(server.log))

    assert (200, 503) == (recorded, refused.status_code)
    assert "cannot be recorded" in refused.json()["error"]["message"]
    assert {"ok": 1} == History(tmp_path / "history").summary()["outcomes"]


def test_no_fresh_journal(tmp_path: Path) -> None:
    """Where no fresh journal can be begun, the old one goes on and requests are served."""
    with Server(tmp_path, "--seal-rows", "2") as server:
        folder = server.ready().history / journal.FOLDER
        aside = folder.rename(server.history / "aside")
        folder.write_text("in the way")
        statuses = {server.post().status_code for _ in range(5)}
        folder.unlink()
        aside.rename(folder)
        complaints = "".join(server.log).count("the journal is not sealed")

    assert ({200}, 2) == (statuses, complaints)
    assert 5 == History(tmp_path / "history").summary()["rows"]
