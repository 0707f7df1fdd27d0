"""The real command where something goes wrong at the worst moment."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerts.scale.audit import read
from alerts.webhook import PATH
from lightmeter import catalog
from support.cli import clean_environment, lightmeter
from support.scaling_process import alert, running
from support.server import eventually


TOKEN = "0123456789abcdef0123"  # noqa: S105  (of a test)
NOBODY = "http://127.0.0.1:9"


def program(folder: Path) -> str:
    """Write a target that hangs before it does anything, as long as there is no file ``quick``."""
    script = folder / "target"
    script.write_text(f"#!/bin/sh\ncd {folder}\n[ -e quick ] || exec sleep 60\necho $1 >> done\n")
    script.chmod(0o755)
    return f"command:{script}"


@contextmanager
def started(folder: Path, *options: str, before: str = "") -> Iterator[tuple[str, subprocess.Popen[str]]]:  # fmt: skip
    """Run a scaler in a group of its own, whose end is ours to choose."""
    command = [sys.executable, "-P", "-m", "lightmeter.cli", "scale", "--port", "0", "--act", "--data", str(folder), "--prometheus", NOBODY, *options]  # fmt: skip
    with (
        (folder / "log").open("a") as log,
        subprocess.Popen(
            ["sh", "-c", f'{before} exec "$@"', "sh", *command],
            env=clean_environment(), stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        assert process.stdout
        try:
            yield process.stdout.readline().split()[1], process
        finally:
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(process.pid, signal.SIGKILL)


def post(url: str, message: dict[str, Any], **headers: str) -> httpx.Response:
    return httpx.post(url + PATH, json=message, headers=headers, trust_env=False)


def decided(folder: Path, *, to: int) -> list[dict[str, Any]]:
    return [one for one in read(folder / "scale") if one["to"] == to] if (folder / "scale").exists() else []  # fmt: skip


def test_killed_in_between(tmp_path: Path) -> None:
    """Killed after a decision and before its effect: it is there, without a result; the next scaler does it."""
    target = program(tmp_path)
    with started(tmp_path, "--target", target) as (url, process):
        assert eventually(lambda: decided(tmp_path, to=0))
        post(url, alert("firing"))
        assert eventually(lambda: decided(tmp_path, to=1))
        process.kill()
        process.wait()
    (lost,) = decided(tmp_path, to=1)
    told = lightmeter("explain", lost["id"], "--decisions", tmp_path / "scale", cwd=tmp_path)
    (tmp_path / "quick").touch()
    with started(tmp_path, "--target", target):
        assert eventually((tmp_path / "done").exists)
        assert eventually(lambda: len(decided(tmp_path, to=1)) == 2)
    again = decided(tmp_path, to=1)[1]

    assert (None, 0, 1) == (lost["result"], lost["from"], lost["to"])
    assert "the scaler was ended in between" in told.out
    assert f"decision {lost['id']} (up from 0 to 1) has no result" in (tmp_path / "log").read_text()
    assert (0, 1) == (again["from"], again["to"])
    assert "1\n" == (tmp_path / "done").read_text()


def test_full_disk(tmp_path: Path) -> None:
    """Where nothing can be written down nothing is scaled; the one that goes on elsewhere says why."""
    target = program(tmp_path)
    (tmp_path / "quick").touch()
    with started(tmp_path, "--target", target, before="ulimit -f 1; trap '' XFSZ;") as (url, _):
        for number in range(20):
            post(url, alert("firing", f"{number:016x}"))
        assert eventually(lambda: "nothing is scaled: the audit" in (tmp_path / "log").read_text())
        health = httpx.get(f"{url}/healthz", trust_env=False)
    written = list(read(tmp_path / "scale"))
    done = (tmp_path / "done").read_text().split() if (tmp_path / "done").exists() else []

    assert 200 == health.status_code
    assert (tmp_path / "scale" / "decisions.jsonl").stat().st_size <= 1024
    assert {int(number) for number in done} <= {one["to"] for one in written}


def test_two_processes(tmp_path: Path) -> None:
    """Two scalers in one folder: one decides; killed, it is followed by the other, which goes on where it was."""
    (tmp_path / "quick").touch()
    target = program(tmp_path)
    with started(tmp_path, "--target", target, "--interval", "1") as (first, one):
        post(first, alert("firing"))
        assert eventually(lambda: decided(tmp_path, to=1))
        with started(tmp_path, "--target", target, "--interval", "1") as (second, _):
            client = httpx.Client(trust_env=False)
            assert [True, False] == [client.get(f"{url}/healthz").json()["lease"] for url in (first, second)]  # fmt: skip
            assert [] == client.get(f"{second}/v1/decisions").json()["decisions"]
            one.kill()
            one.wait()
            assert eventually(lambda: client.get(f"{second}/v1/decisions").json()["decisions"])
            after = client.get(f"{second}/v1/decisions").json()["decisions"][0]
            client.close()

    assert (1, 1) == (after["from"], after["to"])
    assert "1\n" == (tmp_path / "done").read_text()


def test_forged_and_replayed(tmp_path: Path) -> None:
    """A message without the token is counted and changes nothing; nor does an old one that is sent again."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    bearer = {"authorization": f"Bearer {TOKEN}"}
    with running(tmp_path, "--token-file", str(token), "--prometheus", NOBODY, interval=300) as url:
        client = httpx.Client(base_url=url, trust_env=False)

        def floors() -> list[float | None]:
            records = client.get("/v1/decisions").json()["decisions"]
            return [one["observed"].get("burn_floor", {}).get("value") for one in records]

        assert eventually(lambda: len(floors()) == 1)
        forged = [post(url, alert("firing", "f" * 16)).status_code for _ in range(3)]
        post(url, alert("firing"), **bearer)
        assert eventually(lambda: len(floors()) == 2)
        post(url, alert("resolved", endsAt="2026-11-20T12:05:00Z"), **bearer)
        assert eventually(lambda: len(floors()) == 3)
        replayed = [post(url, alert("firing"), **bearer).json()["over"] for _ in range(3)]
        known = floors()
        metrics = client.get("/metrics").text
        client.close()

    assert ([401, 401, 401], [1, 1, 1]) == (forged, replayed)
    assert [None, 1.0, None] == known
    assert f'{catalog.WEBHOOK_POSTS.name}{{result="unauthorized"}} 3.0' in metrics
    assert f'{catalog.WEBHOOK_ALERTS.name}{{result="over"}} 3.0' in metrics


@pytest.mark.parametrize("copies", [100])
def test_copies(tmp_path: Path, copies: int) -> None:
    """An alert that is told again and again is decided on once."""
    with (
        running(tmp_path, "--prometheus", NOBODY, interval=300) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        assert eventually(lambda: len(client.get("/v1/decisions").json()["decisions"]) == 1)
        for _ in range(copies):
            assert 200 == client.post(PATH, json=alert("firing")).status_code
        assert eventually(lambda: len(client.get("/v1/decisions").json()["decisions"]) == 2)
    found = list(read(tmp_path / "scale"))

    assert [0, 1] == [one["to"] for one in found]
