"""The driver against a small real server: loops, stalls, refusals, broken connections."""

from __future__ import annotations

import asyncio
import email.utils
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from inference.load import client, session, tally
from inference.load.arrivals import Arrival
from inference.load.asks import Mix
from inference.load.client import Client, parse_endpoint
from inference.load.drive import Done, End
from inference.load.session import Job, Outcome
from lightmeter.errors import ServerError, SettingError
from lightmeter.settings_load import Load
from support.endpoint import Endpoint, Reply, Request, Respond, endpoint


async def answer(_: Request) -> Reply:
    return Reply()


def load(
    respond: Respond = answer, *, job: dict[str, Any] | None = None, **settings: Any
) -> tuple[Outcome, Endpoint]:
    """Drive a load at a server that answers so; return what came of it and what the server saw."""

    async def run() -> tuple[Outcome, Endpoint]:
        async with endpoint(respond) as there:
            what = Job(Load(url=there.url, **settings), Mix(), **(job or {}))
            session.check(what)
            found = await session.run(what, asyncio.Event(), record=ignore, ready=ignore)
            return found, there

    return asyncio.run(run())


def settings(**values: Any) -> Load:
    """Make settings that leave the rest as it is."""
    return Load(**values)


def ignore(_: object) -> None:
    """Take no note."""


class Stall:
    """A server that makes one picture at a time, and stops for ``seconds`` at its 20th request."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._one = asyncio.Lock()

    async def __call__(self, request: Request) -> Reply:
        """Answer in turn."""
        async with self._one:
            await asyncio.sleep(self._seconds if request.number == 20 else 0.002)
        return Reply()


def long_share(latencies: tally.Floats, seconds: float) -> float:
    return float(np.mean(latencies > seconds))


def test_closed_loop() -> None:
    """So many clients ask, no more at a time, each on a connection that it keeps."""
    busy, most = 0, 0

    async def count(_: Request) -> Reply:
        nonlocal busy, most
        busy, most = busy + 1, max(most, busy + 1)
        await asyncio.sleep(0.005)
        busy -= 1
        return Reply()

    found, there = load(count, concurrency=4, requests=40, warmup="4")

    assert {"due": 40, "ok": 40, "failed": 0, "unsent": 0, "abandoned": 0, "warmup": 4} == found.result["requests"]  # fmt: skip
    assert 4 == most
    assert there.connections <= 5


def test_requests_are_exact() -> None:
    """With a number of requests, exactly so many are sent, however many clients there are."""
    _, there = load(concurrency=7, requests=10)

    assert 10 == sum(request.body != b"" for request in there.asked)


def test_stall_in_open_loop() -> None:
    """While the server stalls for a second, requests go on leaving, and all that waited tell of it."""
    found, _ = load(Stall(1.0), rps=50.0, arrivals="uniform", duration=2.0)

    assert 100 == found.result["requests"]["ok"]
    assert 0.3 < long_share(tally.measured(found.done), 0.25) < 0.9
    assert found.result["latency_seconds"]["corrected"]["p90"] > 0.5


def test_stall_in_closed_loop() -> None:
    """The one request that met the stall stands, corrected, for those that its client did not send."""
    found, _ = load(Stall(1.0), concurrency=1, requests=300)

    assert 1 == sum(tally.measured(found.done) > 0.9)
    assert long_share(tally.measured(found.done), 0.25) < 0.05
    assert long_share(tally.corrected(found.done, found.run), 0.25) > 0.15


def test_connections_are_bounded() -> None:
    """What is due while all connections are busy is not sent, and counted; nothing waits for it."""

    async def slow(_: Request) -> Reply:
        await asyncio.sleep(0.6)
        return Reply()

    found, there = load(slow, rps=100.0, arrivals="uniform", requests=30, connections=5)

    assert {"due": 30, "ok": 5, "failed": 0, "unsent": 25, "abandoned": 0, "warmup": 0} == found.result["requests"]  # fmt: skip
    assert 5 == there.connections
    assert "25 requests were not sent, because all 5 connections were busy" in found.result["notes"][0]  # fmt: skip


def test_trace() -> None:
    """A trace is sent as it says, once."""
    trace = [Arrival(0.0, 64, 32, 4), Arrival(0.1, prompt="a fox"), Arrival(0.1)]
    found, there = load(job={"trace": trace})
    bodies = [json.loads(request.body) for request in there.asked if request.body]

    assert ("trace", "open", 3) == (found.result["load"]["kind"], found.result["loop"], found.result["requests"]["ok"])  # fmt: skip
    assert ("64x32", 4) == (bodies[0]["size"], bodies[0]["num_inference_steps"])
    assert "a fox" in {body["prompt"] for body in bodies}


async def refuse_twice_in_three(request: Request) -> Reply:
    """Refuse the first two, then answer."""
    return Reply(429, b'{"error": {"message": "full"}}', {"retry-after": "0"}) if request.number < 2 else Reply()  # fmt: skip


def test_retry() -> None:
    """With --retry a refused request comes once more, after the time it was told, and no oftener."""
    found, there = load(refuse_twice_in_three, concurrency=1, requests=3, retry=True)

    assert 4 == sum(request.body != b"" for request in there.asked)
    assert {"refused": 1, "made_at_first_retry": 0, "success_ratio": 0.0} == found.result["retries"]
    assert (2, 1) == (found.result["requests"]["ok"], found.result["requests"]["failed"])


def test_retry_succeeds() -> None:
    """Requests that are answered at their first retry are ok, and told apart."""

    async def odd(request: Request) -> Reply:
        return Reply(503, b"{}", {"retry-after": "0"}) if request.number % 2 == 0 else Reply()

    found, _ = load(odd, concurrency=1, requests=10, retry=True)

    assert {"refused": 10, "made_at_first_retry": 10, "success_ratio": 1.0} == found.result["retries"]  # fmt: skip
    assert [] == found.result["errors"]


def test_no_retry() -> None:
    """Without --retry, or without Retry-After, or after too long a one, a refusal is final."""

    async def never(request: Request) -> Reply:
        return Reply(429, b"{}", {} if request.number else {"retry-after": "9999"})

    for retry in (False, True):
        found, there = load(never, concurrency=1, requests=4, retry=retry)
        assert 4 == found.result["requests"]["failed"] == sum(request.body != b"" for request in there.asked)  # fmt: skip
        assert 1 == found.result["errors"][0]["with_retry_after"]


def test_broken() -> None:
    """Hung-up connections, timeouts, redirects and empty answers are failures of their own kind."""
    replies = {
        0: None,
        1: Reply(302, b"", {"location": "/elsewhere"}),
        2: Reply(200, b'{"data": []}'),
        3: Reply(200, b"<html>"),
        4: Reply(500, b'{"error": {"message": "broken"}}'),
    }

    async def odd(request: Request) -> Reply | None:
        if request.number == 5:
            await asyncio.sleep(2)
        return replies.get(request.number, Reply())

    found, _ = load(odd, concurrency=1, requests=8, timeout=1.0)
    problems = {(error["status"], error["message"]): error["count"] for error in found.result["errors"]}  # fmt: skip

    assert {
        (None, "the connection broke"): 1,
        (302, None): 1,
        (200, "no picture in the answer"): 2,
        (500, "broken"): 1,
        (None, "no answer within 1 s"): 1,
    } == problems
    assert 2 == found.result["requests"]["ok"]


def test_connection_closed_by_server() -> None:
    """A server that closes its connections costs new ones and no failures."""

    async def close(_: Request) -> Reply:
        return Reply(headers={"connection": "close"})

    found, there = load(close, concurrency=2, requests=10)

    assert 10 == found.result["requests"]["ok"]
    assert there.connections >= 10


def test_server_goes_away() -> None:
    """A server that goes away in mid-run is told as failures, without asking in a frenzy."""

    async def run() -> Outcome:
        async with endpoint(answer) as there:

            def record(_: Done) -> None:
                if len(there.asked) > 10:
                    there.close()

            what = Job(settings(url=there.url, concurrency=2, duration=1.0), Mix())
            return await session.run(what, asyncio.Event(), record=record, ready=ignore)

    found = asyncio.run(run())

    assert found.result["requests"]["ok"] >= 5
    assert 1 <= found.result["requests"]["failed"] < 100
    assert {None} == {error["status"] for error in found.result["errors"]}


def test_stopped() -> None:
    """Stopped early, what was answered counts and what is out is given up, at once."""

    async def run() -> Outcome:
        stop, over = asyncio.Event(), asyncio.Event()

        async def third_hangs(request: Request) -> Reply:
            if request.number >= 2:
                stop.set()
                await over.wait()
            return Reply()

        async with endpoint(third_hangs) as there:
            what = Job(settings(url=there.url, concurrency=1, duration=60), Mix())
            found = await session.run(what, stop, record=ignore, ready=ignore)
            over.set()
            return found

    found = asyncio.run(run())

    assert found.result["interrupted"]
    assert (2, 1) == (found.result["requests"]["ok"], found.result["requests"]["abandoned"])
    assert found.result["seconds"] < 30


def test_light_load() -> None:
    """The load of the demonstration has both priorities and ends when it is told to."""

    async def run() -> tuple[list[Done], Endpoint]:
        stop, done = asyncio.Event(), list[Done]()

        def record(one: Done) -> None:
            done.append(one)
            if len(done) >= 50:
                stop.set()

        async with endpoint(answer) as there:
            await session.light(there.url, 200.0, stop, record)
            return done, there

    done, there = asyncio.run(run())
    priorities = Counter(json.loads(request.body)["priority"] for request in there.asked)

    assert {End.OK} == {one.end for one in done}
    assert {"interactive", "batch"} == set(priorities)


def test_no_light_load() -> None:
    """A light load of nothing sends nothing."""

    async def run() -> int:
        stop = asyncio.Event()
        async with endpoint(answer) as there:
            driver = asyncio.create_task(session.light(there.url, 0.0, stop, ignore))
            await asyncio.sleep(0.05)
            stop.set()
            await driver
            return there.connections

    assert 0 == asyncio.run(run())


def test_key() -> None:
    """The key goes in the Authorization header, to this server alone, and nowhere else."""
    _, with_key = load(concurrency=1, requests=1, job={"key": "s3cret"})
    _, without = load(concurrency=1, requests=1)

    assert {"Bearer s3cret"} == {request.headers.get("authorization") for request in with_key.asked}
    assert {None} == {request.headers.get("authorization") for request in without.asked}
    assert not any(b"s3cret" in request.body for request in with_key.asked)


@pytest.mark.parametrize("models", [{"/version": {"model": "tiny"}}, {"/v1/models": {"data": [{"id": "tiny"}]}}, {}])  # fmt: skip
def test_served_model(models: dict[str, Any]) -> None:
    """The served model is asked of /version, then of /v1/models; a server that says neither is fine."""

    async def run() -> str | None:
        async with (
            endpoint(answer, models) as there,
            Client(parse_endpoint(there.url), timeout_seconds=10) as asking,
        ):
            return await client.served_model(asking)

    assert ("tiny" if models else None) == asyncio.run(run())


def test_no_server() -> None:
    """A server that is not there is one error that names the address."""

    async def run() -> None:
        async with Client(parse_endpoint("http://127.0.0.1:1"), timeout_seconds=10) as asking:
            await client.served_model(asking)

    with pytest.raises(ServerError, match=r"127\.0\.0\.1:1/v1/images/generations cannot be reached"):  # fmt: skip
        asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a:7860", "http://a:7860/v1/images/generations"),
        ("http://a:7860/", "http://a:7860/v1/images/generations"),
        ("https://a/v1", "https://a:443/v1/images/generations"),
        ("http://a/proxy/v1/", "http://a:80/proxy/v1/images/generations"),
        ("http://a/openai/images/generations", "http://a:80/openai/images/generations"),
        ("http://[::1]:7860", "http://[::1]:7860/v1/images/generations"),
    ],
)
def test_endpoint(url: str, expected: str) -> None:
    """The server's address, its /v1 and the endpoint itself all lead to the endpoint."""
    assert expected == str(parse_endpoint(url))


@pytest.mark.parametrize("url", ["", "a:7860", "ftp://a", "http://", "http://a:port", "http://user:key@a", "http://a/?key=x"])  # fmt: skip
def test_endpoint_refused(url: str) -> None:
    """What is no address, or holds a secret, is refused; the secret is not repeated."""
    with pytest.raises(SettingError) as caught:
        parse_endpoint(url)

    assert "key@" not in str(caught.value)
    assert "key=x" not in str(caught.value)


@pytest.mark.parametrize(("text", "low", "high"), [("7", 7, 7), ("soon", None, None), ("", None, None)])  # fmt: skip
def test_retry_after(text: str, low: float | None, high: float | None) -> None:
    """Retry-After is seconds; what is neither seconds nor a date is nothing."""
    found = client.retry_after([(b"Retry-After", text.encode())])

    assert low == high == found


def test_retry_after_date() -> None:
    """Retry-After may be a date; one that has passed is no wait."""
    for seconds, least, most in ((30, 20, 30), (-30, 0, 0)):
        at = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)  # fmt: skip
        found = client.retry_after([(b"retry-after", at.encode())])
        assert found is not None
        assert least <= found <= most


@pytest.mark.parametrize(
    ("settings", "trace", "words"),
    [
        ({"concurrency": 1, "rps": 1.0}, False, "give one of"),
        ({"rps": 1.0}, True, "give one of"),
        ({"speed": 2.0}, False, "--speed is for a --trace"),
        ({"priority": "batch", "batch_share": 0.5}, False, "not both"),
        ({"warmup": "x"}, False, "load.warmup"),
        ({"url": "nowhere"}, False, "url 'nowhere'"),
        ({"gpu": "H1000"}, False, "GPU 'H1000'"),
    ],
)
def test_contradictions(settings: dict[str, Any], trace: bool, words: str) -> None:  # noqa: FBT001  (a parameter)
    """Settings that contradict each other are refused before anything is sent."""
    with pytest.raises(SettingError, match=words):
        session.check(Job(Load(**settings), Mix(), trace=[Arrival()] if trace else None))
