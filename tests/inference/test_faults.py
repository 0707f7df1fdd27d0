"""Faults of ours: told as every other error is, and the log has the trace."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference.app import create_app, problem, problem_of_job
from inference.jobs import Jobs
from inference.parts import Parts
from lightmeter.errors import LightmeterError
from lightmeter.settings import Serve
from support.server import GENERATIONS


Ask = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


def fail(*_: object) -> None:
    raise ZeroDivisionError("a secret")


def faulty(data: Path, monkeypatch: pytest.MonkeyPatch, ask: Ask) -> httpx.Response:
    """Ask a server in which reading a request fails."""
    settings = Serve.model_validate({"model": "still", "data": data})

    async def live(parts: Parts) -> httpx.Response:
        service = parts.service()
        monkeypatch.setattr(service, "_understand", fail)
        jobs = Jobs.of(settings, attic=service.store, explain=problem_of_job)
        app = create_app(service, tracer=parts.tracer, feedback=parts.feedback, jobs=jobs)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await ask(client)

    with contextlib.closing(Parts.open(settings, "still", {})) as parts:
        return asyncio.run(live(parts))


@pytest.mark.parametrize("path", [GENERATIONS, "/v1/jobs"])
@pytest.mark.parametrize("stream", [False, True])
def test_fault(path: str, stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001  (a parameter of the test)
    """A fault is a 500 with an error object like any other, that says nothing of our insides."""
    body: dict[str, Any] = {"prompt": "x", "stream": stream}
    answer = faulty(tmp_path, monkeypatch, lambda client: client.post(path, json=body))

    assert 500 == answer.status_code
    assert "internal error" == answer.json()["error"]["message"]
    assert {"message", "type", "param", "code"} == set(answer.json()["error"])


def test_unknown_error() -> None:
    """An error of ours that no route should raise is a fault, and not one on top of it."""
    status, body, headers = problem(LightmeterError("odd"))

    assert (500, "odd", {}) == (status, body["error"]["message"], headers)
