"""A light open-loop load: Poisson arrivals that do not wait for each other's answers."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import httpx

from lightmeter.catalog import Priority


PROMPTS = (
    "a red fox in fresh snow, morning light",
    "an old lighthouse in a storm, oil painting",
    "雨夜里的一家面馆, 霓虹灯",
    "a glass teapot on a wooden table, macro photograph",
    "a city of paper boats seen from above",
    "两只熊猫在竹林里下棋",
)
BATCH_SHARE = 0.2
"""Share of the requests sent with batch priority."""
PATIENCE_SECONDS = 2.0
"""How long the last requests are waited for before they are given up."""
MOST_OPEN = 256
"""Requests open at once; a server that is this far behind gets no more."""


@dataclass
class LoadCount:
    """What became of the requests sent: by HTTP status, or 0 where the connection failed."""

    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def sent(self) -> int:
        """Requests that ended, however."""
        return self.statuses.total()


async def drive(
    url: str, rps: float, stop: asyncio.Event, *, seed: int = 0, count: LoadCount | None = None
) -> LoadCount:
    """Send about ``rps`` requests a second to the server at ``url`` until ``stop`` is set.

    Requests still out then are given up, as a client that goes away would.
    """
    chance = random.Random(seed)  # noqa: S311  (a load, not a secret)
    count = count or LoadCount()
    out: set[asyncio.Task[None]] = set()
    timeout = httpx.Timeout(600)
    async with httpx.AsyncClient(base_url=url, timeout=timeout, trust_env=False) as client:
        while rps > 0 and not await _stopped(stop, chance.expovariate(rps)):
            body = {
                "prompt": chance.choice(PROMPTS),
                "seed": chance.randrange(2**31),
                "priority": Priority.BATCH
                if chance.random() < BATCH_SHARE
                else Priority.INTERACTIVE,
            }
            if len(out) < MOST_OPEN:
                task = asyncio.create_task(_send(client, body, count))
                out.add(task)
                task.add_done_callback(out.discard)
        if out:
            await asyncio.wait(out, timeout=PATIENCE_SECONDS)
        for task in out:
            task.cancel()
        await asyncio.gather(*out, return_exceptions=True)
    return count


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def _send(client: httpx.AsyncClient, body: dict[str, object], count: LoadCount) -> None:
    try:
        answer = await client.post("/v1/images/generations", json=body)
        count.statuses[answer.status_code] += 1
    except httpx.TransportError:
        count.statuses[0] += 1
