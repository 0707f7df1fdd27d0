"""``POST /v1/wake``: what is told counts at once, is written down, and takes nothing away."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from alerts.levels import Bounds, Level
from alerts.scale.app import create_app
from alerts.scale.audit import read
from alerts.scale.observe import questions
from alerts.scale.scaler import WAKE_SECONDS, Scaler
from alerts.scale.targets import Remembered
from alerts.scale.told import LINGER_SECONDS, Told, merged, parse
from alerts.webhook import Webhook
from lightmeter import catalog
from lightmeter.catalog import Scaling, Term
from lightmeter.errors import WebhookError
from lightmeter.scaling.decide import decide
from lightmeter.scaling.decision import inputs
from lightmeter.scaling.signals import NEEDED, Observations
from support.clock import Clock
from support.scaling import CALM, scaler


TOKEN = "0123456789abcdef0123"  # noqa: S105  (of a test)
WAITING = {"in_flight": 2, "queued": 2, "rate_short": 0.02, "rate_long": 0.002, "active_users": 1}
BLIND = Observations(None, None, None, None, None, None, ages=dict.fromkeys(NEEDED, math.inf))
AGED = dict.fromkeys(("in_flight", "queued", "rate_short", "rate_long"), 20.0)


def wake(one: Scaler, body: Any = WAITING, token: Path | None = None, **headers: str) -> httpx.Response:  # fmt: skip
    registry = CollectorRegistry()
    webhook = Webhook(one, bounds=Bounds(age_seconds=60.0), token_file=token, registry=registry)
    app = create_app(one, webhook, registry, one.clock)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            return await client.post("/v1/wake", content=content, headers=headers)

    return asyncio.run(ask())


@pytest.mark.parametrize("seen", [CALM, BLIND], ids=["calm", "no Prometheus"])
def test_wakes(tmp_path: Path, seen: Observations) -> None:
    """Whoever waits has the first replica started, whatever Prometheus says; the decision comes out again."""
    one = scaler(tmp_path, [seen])
    answer = wake(one).json()

    assert (0, 1, "up", "act") == tuple(answer["decision"][name] for name in ("from", "to", "action", "mode"))  # fmt: skip
    assert 1 == one.target.fleet().ready
    [record] = read(tmp_path)
    assert 2 == record["observed"]["in_flight"]["value"]
    assert record["to"] == decide(*inputs(record)).to


def test_remaining(tmp_path: Path) -> None:
    """What is left of a start is told, from when it was asked for on; measured starts count."""
    clock = Clock(1_700_000_000.0)
    one = scaler(tmp_path, [CALM], clock=clock)
    first = wake(one).json()
    clock.now += 45
    second = wake(one).json()

    assert (60, 60) == (first["cold_start_seconds"], first["remaining_seconds"])
    assert ("hold", 15) == (second["decision"]["action"], second["remaining_seconds"])


def test_held_blind(tmp_path: Path) -> None:
    """An alert that metrics are missing keeps nobody asleep; but it still keeps what stands."""
    level = Level(
        "a" * 16, {catalog.SCALING_LABEL: Scaling.FREEZE, "alertname": "x"}, 0.0, 0.0, 2e9
    )
    asleep = scaler(tmp_path / "asleep", [CALM])
    asleep.hold((level,))
    standing = scaler(tmp_path / "standing", [CALM], target=Remembered("null", 3))
    standing.hold((level,))

    assert 1 == wake(asleep).json()["decision"]["to"]
    assert (3, Term.STALE) == tuple(wake(standing).json()["decision"][name] for name in ("to", "chosen_term"))  # fmt: skip


def test_brake(tmp_path: Path) -> None:
    """The brake holds against it."""
    one = scaler(tmp_path, [CALM])
    one.freeze(2e9)

    assert (0, "freeze") == tuple(wake(one).json()["decision"][name] for name in ("to", "action"))


def test_standby(tmp_path: Path) -> None:
    """A scaler without the lease says so, and who has it."""
    first, second = scaler(tmp_path, [CALM]), scaler(tmp_path, [CALM])
    first.step()
    answer = wake(second)

    assert 503 == answer.status_code
    assert "scales this target" in answer.json()["error"]


def test_token(tmp_path: Path) -> None:
    """Without the token nobody is heard."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    one = scaler(tmp_path, [CALM])

    assert 401 == wake(one, token=token).status_code
    assert 0 == one.target.fleet().ready
    assert 200 == wake(one, token=token, authorization=f"Bearer {TOKEN}").status_code


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b"{", "no JSON"),
        (b"[1]", "no JSON object"),
        ({"inflight": 1}, "is no reading"),
        ({"in_flight": -1}, "from 0 on"),
        ({"in_flight": True}, "from 0 on"),
        ({"queued": "many"}, "from 0 on"),
        (b'{"queued": NaN}', "from 0 on"),
        (b'{"queued": 1e999}', "from 0 on"),
        (b"[" * 5000, "no JSON"),
    ],
)
def test_nonsense(tmp_path: Path, body: Any, wrong: str) -> None:
    """What is no message is refused, and nothing is decided by it."""
    one = scaler(tmp_path, [CALM])
    answer = wake(one, body)

    assert 422 == answer.status_code
    assert wrong in answer.json()["error"]
    assert not one.audit.last


def test_too_large(tmp_path: Path) -> None:
    """A message of megabytes is not read."""
    assert 413 == wake(scaler(tmp_path, [CALM]), b" " * 100_000).status_code


def test_only_raises() -> None:
    """Beside replicas what is told adds to what is seen, is never less, and is no reading where there is none."""
    seen = Observations(2.0, 0.0, 5.0, 0.0, 0.5, 0.4, ages=AGED)
    told = Told(100.0, {"in_flight": 1.0, "queued": 9.0, "rate_long": 0.0})
    found = merged(seen, told, 101.0, alone=False)

    assert (5.0, 9.0, 0.4) == (found.in_flight, found.queued, found.rate_long)
    assert AGED == found.ages
    blind = merged(BLIND, told, 101.0, alone=False)
    assert (None, None) == (blind.in_flight, blind.queued)


def test_fresher() -> None:
    """A reading newer than what was told counts alone; but whoever waited lingers for a minute."""
    told = Told(100.0, {"in_flight": 3.0, "queued": 3.0})
    seen = CALM._replace(ages=dict.fromkeys(AGED, 1.0))
    found = merged(seen, told, 110.0, alone=True)

    assert (1.0, 0.0) == (found.in_flight, found.queued)
    assert seen == merged(seen, told, 101.0 + LINGER_SECONDS, alone=True)


def test_parse() -> None:
    """An empty body tells nothing, and that is allowed."""
    assert {} == parse(b"")
    with pytest.raises(WebhookError):
        parse(b'{"x": 1}')


def test_demand() -> None:
    """With a gateway in front demand is the gateway's, what is made is the servers', and neither is added up."""
    plain, fronted = questions("zimage", 30.0), questions("zimage", 30.0, demand="gateway")
    of_gateway = {name for name, text in fronted.items() if '"gateway"' in text}
    of_servers = {name for name, text in fronted.items() if '"zimage"' in text}

    assert {"in_flight", "rate_short", "rate_long", "active_users", "violation_ratio", "latency_seconds", "concurrency"} == of_gateway  # fmt: skip
    assert {"in_flight", "ready", "starting", "service_seconds", "service_scv", "cold_start_seconds", "busy"} == of_servers  # fmt: skip
    assert fronted["in_flight"].startswith("max(")
    assert all("zimage|gateway" in fronted[name] for name in ("queued", "violation_ratio"))
    assert not any("gateway" in text for text in plain.values())


def test_enough(tmp_path: Path) -> None:
    """That one waits is enough where nothing stands, with Prometheus away; beside replicas it is not."""
    record = scaler(tmp_path / "none", [BLIND]).wake({"in_flight": 1.0})
    two = scaler(tmp_path / "two", [BLIND], target=Remembered("x", 2)).wake({"in_flight": 1.0})

    assert record
    assert two
    assert (1, Term.WAKE) == (record["to"], record["chosen_term"])
    assert (2, Term.STALE) == (two["to"], two["chosen_term"])


def test_many_digits(tmp_path: Path) -> None:
    """A number of hundreds of digits is a number."""
    answer = wake(scaler(tmp_path, [CALM]), b'{"in_flight": 1' + b"0" * 400 + b"}")

    assert (200, 1) == (answer.status_code, answer.json()["decision"]["to"])


def test_many_wakes(tmp_path: Path) -> None:
    """Whoever posts without end gets the same answer, fills no disk, and is heard again a second later."""
    clock = Clock(1_700_000_000.0)
    one = scaler(tmp_path, [CALM], clock=clock)
    found = {str(one.wake({"in_flight": 1.0})) for _ in range(50)}
    clock.now += WAKE_SECONDS
    later = one.wake({"in_flight": 1.0})

    assert 1 == len(found)
    assert later
    assert [0, 1] == [record["from"] for record in read(tmp_path)]


def test_first_for_nobody(tmp_path: Path) -> None:
    """One who says that nobody waits does not have the next one wait."""
    one = scaler(tmp_path, [CALM])
    nobody, somebody = one.wake({"in_flight": 0.0}), one.wake({"in_flight": 1.0})

    assert nobody
    assert somebody
    assert (0, 1) == (nobody["to"], somebody["to"])
