"""The number of series that a scrape has, after everything that can happen has happened."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from lightmeter.catalog import Priority
from support.server import GENERATIONS, Server, bearer


pytestmark = pytest.mark.proof
REQUESTS = 10_000
TENANTS = 50
MOST_SERIES = 2000


def keys() -> str:
    tables = [
        f'[tenant{number}]\nkey = "sk-0123456789-{number:03}"\nrequests_per_minute = {100 if number % 5 == 0 else 100_000}\n'
        for number in range(TENANTS)
    ]  # fmt: skip
    return "".join(tables)


def body(chance: random.Random) -> dict[str, Any]:
    """Make up a request: of any shape, valid or not, too large or in time, or none of these."""
    side = chance.randrange(16, 320, 16)
    asked: dict[str, Any] = {
        "prompt": f"number {chance.random()}",
        "user": str(chance.randrange(1000)),
        "size": f"{side}x{chance.randrange(16, 320, 16)}",
        "num_inference_steps": chance.randrange(1, 4),
        "guidance_scale": chance.choice([0, 1.5, 7]),
        "n": chance.choice([1, 1, 1, 2]),
        "seed": chance.randrange(2**40),
        "output_format": chance.choice(["png", "jpeg", "webp"]),
        "priority": chance.choice(list(Priority)),
    }
    wrong = {"size": "17x17", "n": 0, "unknown": 1, "prompt": None, "seed": -1}
    if chance.random() < 0.2:
        field = chance.choice(list(wrong))
        asked[field] = wrong[field]
    if chance.random() < 0.01:
        asked |= {"size": "2048x2048", "n": 4, "num_inference_steps": 1}
    return asked


async def ask(server: Server, statuses: Counter[int]) -> None:
    chance = random.Random(3)

    async def client(count: int) -> None:
        async with httpx.AsyncClient(base_url=server.api, timeout=60, trust_env=False) as http:
            for _ in range(count):
                key = f"sk-0123456789-{chance.randrange(TENANTS + 2):03}"
                try:
                    timeout = 0.01 if chance.random() < 0.03 else 60
                    answer = await http.post(GENERATIONS, json=body(chance), headers=bearer(key), timeout=timeout)  # fmt: skip
                    statuses[answer.status_code] += 1
                except httpx.TimeoutException:
                    statuses[499] += 1

    await asyncio.gather(*(client(REQUESTS // 40) for _ in range(40)))


def test_series(tmp_path: Path) -> None:
    """Ten thousand requests of all shapes, outcomes and tenants add no series: they stay below 2,000."""
    (tmp_path / "keys.toml").write_text(keys())
    statuses: Counter[int] = Counter()
    options = ("--keys", str(tmp_path / "keys.toml"), "--queue", "24", "--deadline", "2")
    with Server(tmp_path, *options) as server:
        server.ready().post(
            key="sk-0123456789-001"
        )  # the device's peak memory is known from then on
        before = series(server)
        asyncio.run(ask(server, statuses))
        after = series(server)

    assert {200, 401, 422, 429, 499, 507} <= set(statuses), statuses
    assert not {500, 502} & set(statuses), statuses
    assert before == after
    assert len(after) < MOST_SERIES, len(after)


def series(server: Server) -> set[str]:
    """Names and labels of a scrape's samples."""
    text = httpx.get(server.metrics_url, trust_env=False).text
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}
