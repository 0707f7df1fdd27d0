"""Mixed load on one address: people, batch work, streams, jobs, and clients that leave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx


GENERATIONS, JOBS = "/v1/images/generations", "/v1/jobs"
SHAPES = (("16x16", 20), ("32x32", 50), ("64x64", 50), ("64x32", 100))
KINDS = ("interactive", "interactive", "batch", "stream", "job", "leaver")
PAUSE_SECONDS = 0.4
LONGEST_SECONDS = 90.0


@dataclass(frozen=True)
class Answer:
    """One request: when it was sent and answered, and with what; ``id`` where it got a picture."""

    kind: str
    sent: float
    ended: float
    status: int | str
    id: str = ""


GONE = "404 gone with its server"


class Load:
    """Clients of each kind in a loop of their own, in a thread; each asks, waits a little, and asks again."""

    def __init__(self, url: str, seed: int) -> None:
        self.answers: list[Answer] = []
        self._url, self._chance = url, random.Random(seed)  # noqa: S311  (chance, not secrets)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="clients")

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Let each have its last answer."""
        self._stop.set()
        self._thread.join()

    @property
    def statuses(self) -> Counter[str]:
        """Count the answers by kind and status."""
        return Counter(f"{one.kind} {one.status}" for one in list(self.answers))

    @property
    def ids(self) -> list[str]:
        """List the requests that got a picture."""
        return [one.id for one in list(self.answers) if one.id]

    def served_after(self, moment: float) -> float | None:
        """Tell when the first request that was sent after a moment had its picture."""
        ends = [one.ended for one in list(self.answers) if one.sent > moment and one.id]
        return min(ends, default=None)

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=50)
        async with httpx.AsyncClient(base_url=self._url, timeout=LONGEST_SECONDS, trust_env=False, limits=limits) as client:  # fmt: skip
            await asyncio.gather(*(self._ask_on(client, kind) for kind in KINDS))

    async def _ask_on(self, client: httpx.AsyncClient, kind: str) -> None:
        while not self._stop.is_set():
            sent = time.monotonic()
            try:
                status, name = await _WAYS[kind](client, self._body(kind), self._chance)
            except (httpx.HTTPError, ValueError, KeyError) as error:
                status, name = type(error).__name__, ""
            self.answers.append(Answer(kind, sent, time.monotonic(), status, name))
            await asyncio.sleep(self._chance.uniform(0, 2 * PAUSE_SECONDS))

    def _body(self, kind: str) -> dict[str, Any]:
        size, steps = self._chance.choice(SHAPES)
        body = {"prompt": f"a lighthouse, {self._chance.random()}", "size": size, "num_inference_steps": steps}  # fmt: skip
        more: dict[str, dict[str, Any]] = {
            "batch": {"priority": "batch"},
            "stream": {"stream": True},
        }
        return body | more.get(kind, {})


Way = tuple[int | str, str]


async def _plain(client: httpx.AsyncClient, body: dict[str, Any], _: random.Random) -> Way:
    answer = await client.post(GENERATIONS, json=body)
    return answer.status_code, answer.json()["id"] if answer.is_success else ""


async def _stream(client: httpx.AsyncClient, body: dict[str, Any], _: random.Random) -> Way:
    async with client.stream("POST", GENERATIONS, json=body) as answer:
        if answer.status_code != httpx.codes.OK:
            return answer.status_code, ""
        last: dict[str, Any] = {}
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                last = json.loads(line.removeprefix("data: "))
        if last.get("type") == "image_generation.completed":
            return answer.status_code, str(last["id"])
        return f"stream ended with {last.get('type', 'nothing')}", ""


async def _job(client: httpx.AsyncClient, body: dict[str, Any], _: random.Random) -> Way:
    """See a job to its end; one whose server died with it answers 404, as is said."""
    taken = await client.post(JOBS, json=body)
    if not taken.is_success:
        return taken.status_code, ""
    until = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < until:
        await asyncio.sleep(0.2)
        seen = await client.get(f"{JOBS}/{taken.json()['id']}")
        if seen.status_code == httpx.codes.NOT_FOUND:
            return GONE, ""
        said: dict[str, Any] = seen.json() if seen.is_success else {"status": ""}
        if said["status"] == "succeeded":
            return seen.status_code, str(said["result"]["id"])
        if said["status"] in {"failed", "cancelled"}:
            return f"job {said['status']}", ""
    return "job not done", ""


async def _leaver(client: httpx.AsyncClient, body: dict[str, Any], chance: random.Random) -> Way:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(chance.uniform(0.005, 0.3)):
            return await _plain(client, body, chance)
    return "left", ""


_WAYS = {"interactive": _plain, "batch": _plain, "stream": _stream, "job": _job, "leaver": _leaver}
