"""The gateway in front of replicas that answer, refuse, fail, die and come back."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference.gateway import asks, upstreams
from inference.gateway.answering import outcome_of
from inference.gateway.replica import Load, Replica, least
from inference.gateway.server import Ways
from inference.gateway.upstreams import Address, Name
from inference.gateway.waking import Arrivals
from inference.keys import ANYONE
from inference.orders import InvalidRequest
from lightmeter import catalog
from lightmeter.errors import SettingError
from lightmeter.settings_gateway import Gateway
from support.endpoint import PICTURE, Endpoint, Reply, Request, endpoint
from support.front import Late, error, front, posts, replica, served
from support.server import GENERATIONS


KEY = "sk-shop-0123456789"


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@pytest.mark.parametrize(
    ("loads", "place"),
    [
        ([], None),
        ([Load(0.0, 4, 4)], None),
        ([Load(9.0, 1, 4), Load(2.0, 3, 4)], 1),
        ([Load(9.0, 1, 4), Load(2.0, 4, 4)], 0),
        ([Load(2.0, 2, 4), Load(2.0, 1, 4)], 1),
        ([Load(0.0, 0, 4), Load(0.0, 0, 4)], 0),
    ],
)
def test_choice(loads: list[Load], place: int | None) -> None:
    """A request goes where all the work is done first, and nowhere that has no room."""
    assert place == least(loads)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "ok"), (404, "invalid"), (408, "invalid"), (429, "shed"), (499, "cancelled"),
     (500, "error"), (502, "anomalous"), (503, "shed"), (504, "timeout"), (507, "oom")],
)  # fmt: skip
def test_outcomes(status: int, outcome: str) -> None:
    """The gateway counts an answer as the server that gave it does, known by its status alone."""
    assert outcome == outcome_of(status)


def test_least_work() -> None:
    """Large requests count for what they are: small ones go where there is none."""

    async def check() -> None:
        hold = asyncio.Event()

        async def slow(request: Request) -> Reply:
            if b"2048" in request.body:
                await hold.wait()
            return Reply()

        async with replica(slow, "a") as a, replica(slow, "b") as b, front(a, b) as one:
            large = asyncio.create_task(one.post(size="2048x2048"))
            await one.until(lambda: len(posts(a)) == 1)
            small = [(await one.post()).status_code for _ in range(4)]
            hold.set()
            assert (200, [200] * 4) == ((await large).status_code, small)
            assert (1, 4) == (len(posts(a)), len(posts(b)))

    run(check())


def test_bound() -> None:
    """No replica has more requests than it may, whoever waits is answered, and the gauges tell of both."""

    async def check() -> None:
        most, now = 0, 0
        hold = asyncio.Event()

        async def counting(_: Request) -> Reply:
            nonlocal most, now
            now += 1
            most = max(most, now)
            await hold.wait()
            now -= 1
            return Reply()

        async with replica(counting, workers=2) as a, front(a, in_flight=2) as one:
            asking = asyncio.create_task(one.together(10))
            await one.until(lambda: now == 4 and one.value(catalog.IN_FLIGHT) == 10)
            assert 6 == one.value(catalog.QUEUE_DEPTH)
            hold.set()
            assert [200] * 10 == await asking
            assert 4 == most

    run(check())


async def hang_up(_: Request) -> None:
    return None


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("died", None),
        ("busy", error("queue_full", 429, **{"retry-after": "30"})),
        ("unready", error("draining", 503, **{"retry-after": "1"})),
        ("unready", error("no_worker", 503)),
        ("faulty", error("server_error", 503)),
    ],
)
def test_elsewhere(reason: str, fault: Reply | None) -> None:
    """What one replica does not answer another does; the client sees nothing of it."""

    async def check() -> None:
        async def bad(_: Request) -> Reply | None:
            return fault

        async with replica(bad, "a") as a, replica(served, "b") as b, front(a, b) as one:
            answer = await one.post()
            assert (200, PICTURE) == (answer.status_code, answer.content)
            assert (1, 1) == (len(posts(a)), len(posts(b)))
            assert 1 == one.value(catalog.GATEWAY_RESENT, reason=reason)
            await one.until(lambda: one.value(catalog.REQUESTS, outcome="ok") == 1)

    run(check())


def test_gone() -> None:
    """A replica that nobody listens at any more is found out by a request, and that goes elsewhere."""

    async def check() -> None:
        async with replica(served, "a") as a, replica(served, "b") as b, front(a, b, probe=60) as one:  # fmt: skip
            a.close()
            assert [200] * 3 == [(await one.post()).status_code for _ in range(3)]
            assert 3 == len(posts(b))
            assert 1 == one.value(catalog.GATEWAY_RESENT)
            seen = (await one.client.get("/readyz")).json()["replicas"]
            assert (1, 1) == (seen["ready"], seen["unreachable"])

    run(check())


def test_poison() -> None:
    """A request that two replicas died with is not given to a third."""

    async def check() -> None:
        async with (
            replica(hang_up, "a") as a,
            replica(hang_up, "b") as b,
            replica(served, "c") as c,
            front(a, b, c) as one,
        ):
            answer = await one.post()
            assert (503, "1") == (answer.status_code, answer.headers["retry-after"])
            assert [1, 1, 0] == [len(posts(each)) for each in (a, b, c)]
            await one.until(lambda: one.value(catalog.REQUESTS, outcome="error") == 1)

    run(check())


def test_passed_on() -> None:
    """What is about the request or its client is passed on as it is, with its headers."""

    async def check() -> None:
        answers = iter([error("rate_limit", 429, **{"retry-after": "7"}), error("out_of_memory", 507, **{"x-should-retry": "false"})])  # fmt: skip

        async def refuse(_: Request) -> Reply:
            return next(answers)

        async with replica(refuse, "a") as a, replica(served, "b") as b, front(a, b) as one:
            rate, memory = await one.post(), await one.post()
            assert (429, "7") == (rate.status_code, rate.headers["retry-after"])
            assert (507, "false") == (memory.status_code, memory.headers["x-should-retry"])
            assert 0 == len(posts(b))

    run(check())


def test_half(caplog: pytest.LogCaptureFixture) -> None:
    """An answer that breaks off is not made to look whole, and counts as an error."""

    async def check() -> None:
        async def half(_: Request) -> Reply:
            return Reply(200, b"{}", {"content-length": "100", "connection": "close"})

        async with replica(half) as a, front(a) as one:
            with pytest.raises(httpx.RemoteProtocolError):
                await one.post()
            await one.until(lambda: one.value(catalog.REQUESTS, outcome="error") == 1)

    run(check())
    assert "half an answer" in caplog.text
    assert "Traceback" not in caplog.text


def test_waits_for_room() -> None:
    """Where the only replica has no room, the client waits with the gateway and is served."""

    async def check() -> None:
        async def once_full(request: Request) -> Reply:
            full = error("queue_full", 429, **{"retry-after": "1"})
            return full if request.number == 0 else Reply()

        async with replica(once_full) as a, front(a) as one:
            assert 200 == (await one.post()).status_code
            assert 2 == len(posts(a))

    run(check())


def test_leaves_as_another_ends() -> None:
    """Who goes just as a place gets free costs nobody else an answer, and keeps no place."""

    async def check() -> None:
        async with replica() as a, front(a, in_flight=1) as one:
            desk, nobody = one.gate.desk, frozenset[Replica]()
            ask = asks.read(b'{"prompt": "a fox"}', one.gate.settings)
            first, gone, last = (desk.enter(ask, ANYONE, b"", time.monotonic()) for _ in range(3))
            there = await desk.turn(first, nobody)
            going = asyncio.create_task(desk.turn(gone, nobody))
            await one.until(lambda: len(desk.queue) == 1)
            going.cancel()
            desk.leave(first)
            with pytest.raises(asyncio.CancelledError):
                await going
            assert there is await desk.turn(last, nobody)
            desk.leave(last)

    run(check())


def test_ejected() -> None:
    """A replica that says it is ready and fails each time is left out, unless there is no other."""

    async def check() -> None:
        async def broken(_: Request) -> Reply:
            return error("server_error", 503)

        async with replica(broken, "a") as a, replica(served, "b") as b, front(a, b) as one:
            assert [200] * 8 == [(await one.post()).status_code for _ in range(8)]
            assert (3, 8) == (len(posts(a)), len(posts(b)))
            assert 1 == one.value(catalog.GATEWAY_REPLICAS, state="ejected")
        async with replica(broken, "a") as a, front(a) as one:
            assert [503] * 3 == [(await one.post()).status_code for _ in range(3)]
            assert 6 == len(posts(a))

    run(check())


def test_returns() -> None:
    """A replica's 503 to the look takes it out, its 200 brings it back."""

    async def check() -> None:
        told: dict[str, Any] = {"/version": {"replica": "a"}, "/readyz": {"workers": {"ready": 1}}}
        async with endpoint(served, told) as a, front(a, wake_wait=20) as one:
            ready = told.pop("/readyz")  # answered 404 from now on
            await one.until(lambda: one.value(catalog.GATEWAY_REPLICAS, state="unready") == 1)
            asking = asyncio.create_task(one.post())
            await one.until(lambda: one.value(catalog.QUEUE_DEPTH) == 1)
            told["/readyz"] = ready
            assert 200 == (await asking).status_code

    run(check())


def test_invalid_wakes_nobody() -> None:
    """Nonsense, a wrong key and a body too large are refused while nobody is there, and nobody is woken."""

    async def check() -> None:
        async with endpoint(served) as scaler:
            async with front(
                "http://127.0.0.1:9", ready=0, wake=scaler.url, max_body_bytes=2000
            ) as one:
                many = await one.client.post(
                    GENERATIONS, content=b'{"prompt": "%s"}' % (b"x" * 2000)
                )
                refused = [await one.post(size="large"), await one.post(stpes=3), many]
                assert [422, 422, 413] == [answer.status_code for answer in refused]
                assert "size" == refused[0].json()["error"]["param"]
                assert "num_inference_steps" not in refused[1].text
                await one.until(lambda: one.value(catalog.REQUESTS, outcome="invalid") == 3)
            assert [] == posts(scaler)

    run(check())


def test_keys(tmp_path: Path) -> None:
    """With the servers' keys, strangers wake nobody; what has a key goes on with it."""
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[shop]\nkey = "{KEY}"\nrequests_per_minute = 1\n')

    async def check() -> None:
        async with replica() as a, front(a, keys=keys) as one:
            bearer = {"authorization": f"Bearer {KEY}"}
            answers = [await one.post(), await one.post(headers=bearer), await one.post(headers=bearer)]  # fmt: skip
            assert [401, 200, 429] == [answer.status_code for answer in answers]
            assert bearer["authorization"] == posts(a)[0].headers["authorization"]

    run(check())


def decided(to: int, action: str, *, mode: str = "act", left: float = 33.2, result: str = "done") -> Reply:  # fmt: skip
    said = {"decision": {"to": to, "action": action, "mode": mode, "result": result, "reason": "as it is"}, "remaining_seconds": left}  # fmt: skip
    return Reply(200, json.dumps(said).encode())


def test_wakes() -> None:
    """With nobody there one question is asked for all who wait, with their demand, and all are served."""

    async def check() -> None:
        behind: list[Endpoint] = []

        async def waking(_: Request) -> Reply:
            told: dict[str, Any] = {"/readyz": {"workers": {"ready": 1}}, "/version": {"replica": "a"}}  # fmt: skip
            behind.append(Late(served, told, port))
            await behind[-1].open()
            return decided(1, "up")

        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        async with endpoint(waking) as scaler:
            async with front(f"http://127.0.0.1:{port}", ready=0, wake=scaler.url) as one:
                assert [200] * 5 == await one.together(5)
                assert 1 == one.value(catalog.GATEWAY_WAKES, result="started")
            [asked] = posts(scaler)
            assert "/v1/wake" == asked.path
            said = json.loads(asked.body)
            assert 1 <= said["in_flight"] <= 5
            assert said["in_flight"] == said["queued"]
            assert said["rate_short"] == pytest.approx(said["in_flight"] / 120)
            behind[0].close()
            await behind[0].ended()

    run(check())


@pytest.mark.parametrize(
    ("answer", "result", "after", "why"),
    [
        (decided(1, "up"), "started", 33, ""),
        (decided(1, "hold", left=8.0), "standing", 8, ""),
        (decided(1, "up", mode="advisory", result="advisory: nothing was done"), "refused", 10, "advisory"),
        (decided(0, "freeze"), "refused", 10, "as it is"),
        (decided(1, "up", result="failed: no cluster"), "refused", 10, "no cluster"),
        (Reply(401, b'{"error": "send a token"}'), "failed", 10, "send a token"),
        (None, "failed", 10, "does not answer"),
    ],
)  # fmt: skip
def test_waits_and_gives_up(answer: Reply | None, result: str, after: int, why: str) -> None:
    """Whoever waited for as long as may be gets 503, what is left of the start, and what is in the way."""

    async def check() -> None:
        async def waking(_: Request) -> Reply | None:
            return answer

        async with endpoint(waking) as scaler, front("http://127.0.0.1:9", ready=0, wake=scaler.url, wake_wait=0.3) as one:  # fmt: skip
            refused = await one.post()
            assert 503 == refused.status_code
            assert after - 2 <= int(refused.headers["retry-after"]) <= after
            assert why in refused.json()["error"]["message"]
            assert 1 == one.value(catalog.GATEWAY_WAKES, result=result)
            assert 1 == one.value(catalog.SHED, reason="no_worker")
            assert 200 == (await one.client.get("/readyz")).status_code

    run(check())


def test_second_scaler() -> None:
    """Where one scaler has not the lease the next one is asked."""

    async def check() -> None:
        async def standby(_: Request) -> Reply:
            return Reply(503, b"{}")

        async def leader(_: Request) -> Reply:
            return decided(1, "up")

        async with endpoint(standby) as first, endpoint(leader) as second:
            async with front("http://127.0.0.1:9", ready=0, wake=f"{first.url},{second.url}/v1/wake", wake_wait=0.2) as one:  # fmt: skip
                await one.post()
            assert (1, 1) == (len(posts(first)), len(posts(second)))

    run(check())


def test_full() -> None:
    """One more than may wait is told when to come back: after the start, each at a moment of its own."""

    async def check() -> None:
        async with front("http://127.0.0.1:9", ready=0, queue=2, wake_wait=1) as one:
            waiting = asyncio.create_task(one.together(2))
            await one.until(lambda: one.value(catalog.QUEUE_DEPTH) == 2)
            refused = [await one.post() for _ in range(3)]
            assert [429] * 3 == [answer.status_code for answer in refused]
            assert 10 <= min(int(answer.headers["retry-after"]) for answer in refused)
            assert [503, 503] == await waiting

    run(check())


def test_deadline() -> None:
    """A replica that does not answer in time is not waited for: 504."""

    async def check() -> None:
        async def never(_: Request) -> None:
            await asyncio.sleep(1)

        async with replica(never) as a, front(a, deadline=0.3) as one:
            assert 504 == (await one.post()).status_code
            await one.until(lambda: one.value(catalog.REQUESTS, outcome="timeout") == 1)

    run(check())


def test_headers() -> None:
    """The replica sees the client's key, host and trace, where it came from, and nothing of the connection."""

    async def check() -> None:
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        given = {
            "authorization": "Bearer mine", "host": "pictures.example", "traceparent": trace, "connection": "x-drop",
            "x-drop": "1", "te": "trailers", "x-forwarded-for": "6.6.6.6", "x-forwarded-host": "evil", "x-forwarded-prefix": "/x",
        }  # fmt: skip
        async with replica() as a, front(a, allowed_hosts="pictures.example") as one:
            await one.post(headers=given)
            plain = await one.post()
            first, second = (request.headers for request in posts(a))
            kept = {
                "authorization": "Bearer mine",
                "host": "pictures.example",
                "traceparent": trace,
            }
            set_ = {"x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-host": "pictures.example"}  # fmt: skip
            assert kept | set_ == {name: first[name] for name in kept | set_}
            assert (
                "1.1 lightmeter-gateway" == first["via"]
            )  # or a replica on loopback would know the host for none of its own
            assert not {"x-drop", "te", "connection", "x-forwarded-prefix"} & first.keys()
            assert second["traceparent"] == plain.headers["traceparent"]
        async with replica() as a, front(a, trusted_proxy="127.0.0.1") as one:
            await one.post(headers=given)
            [request] = posts(a)
            assert "6.6.6.6, 127.0.0.1" == request.headers["x-forwarded-for"]
            assert "evil" == request.headers["x-forwarded-host"]

    run(check())


def test_jobs() -> None:
    """A job is looked up at the replica that its id names; one that is gone has taken its jobs along."""

    async def check() -> None:
        name, gone = f"job_b_{'0' * 24}", f"job_c_{'0' * 24}"
        ready: dict[str, Any] = {"/readyz": {"workers": {"ready": 1}}}
        at_a = ready | {"/version": {"replica": "a"}, f"/v1/jobs/{name}": {"from": "a"}}
        at_b = ready | {"/version": {"replica": "b"}, f"/v1/jobs/{name}": {"from": "b"}}
        async with endpoint(served, at_a) as a, endpoint(served, at_b) as b, front(a, b) as one:
            found = await one.client.get(f"/v1/jobs/{name}")
            assert (200, {"from": "b"}) == (found.status_code, found.json())
            missing = [await one.client.get(f"/v1/jobs/{each}") for each in (gone, "job_nonsense")]
            assert [404, 404] == [answer.status_code for answer in missing]
            assert "its replica is gone" in missing[0].json()["error"]["message"]
            b.close()
            await one.until(lambda: len(one.gate.fleet.alive()) == 1)
            assert 503 == (await one.client.get(f"/v1/jobs/{name}")).status_code

    run(check())


def test_pictures() -> None:
    """A stored picture is found wherever it is; a rating finds its request."""

    async def check() -> None:
        picture, request_id = f"/v1/images/img_{'1' * 24}-0.png", f"img_{'2' * 24}"
        ready: dict[str, Any] = {"/readyz": {"workers": {"ready": 1}}}

        async def rates(request: Request) -> Reply:
            known = request_id in request.body.decode()
            return (
                Reply(200, b"{}") if known and request.path == "/v1/feedback" else error("x", 404)
            )

        async def rates_not(_: Request) -> Reply:
            return error("x", 404)

        at_b = ready | {"/version": {"replica": "b"}, picture: {"grey": 1}}
        async with endpoint(rates_not, ready | {"/version": {"replica": "a"}}) as a, endpoint(rates, at_b) as b, front(a, b) as one:  # fmt: skip
            assert 200 == (await one.client.get(picture)).status_code
            assert 404 == (await one.client.get(picture.replace("1", "3"))).status_code
            rate = [await one.client.post("/v1/feedback", json={"request_id": each, "score": 5}) for each in (request_id, "img_3")]  # fmt: skip
            assert [200, 404] == [answer.status_code for answer in rate]
            admin = await one.client.get("/admin/workers")
            assert 404 == admin.status_code
            assert "ask that one" in admin.json()["error"]["message"]
            for climbing in (
                b"/page/../admin/workers",
                b"/page/%2e%2e/admin/workers",
                b"/v1/models/..%5c..%2fadmin/workers",
            ):
                base = one.client.base_url
                reader, writer = await asyncio.open_connection(base.host, base.port)
                writer.write(b"GET %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % climbing)
                assert b"leads nowhere" in await reader.read()
                writer.close()

    run(check())


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "names no server"),
        ("10.0.0.7:7860", "no address"),
        ("http://10.0.0.7:99999", "no address"),
        ("http://a:1,http://a:1", "named twice"),
        ("http://me:secret@a:1", "more than a server's address"),
        ("http://a:1/v1", "more than a server's address"),
        ("dns:zimage", "dns:NAME:PORT"),
        ("dns:zimage:0", "dns:NAME:PORT"),
    ],
)
def test_bad_upstream(text: str, wrong: str) -> None:
    """An upstream that cannot be meant is refused in a line that says so, without a password in it."""
    with pytest.raises(SettingError, match=wrong) as refused:
        upstreams.parse(text)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"wake": "dns:scaler:9402"}, "gateway.wake"),
        ({"wake": "scaler"}, "no address"),
        ({"wake_token_file": Path("none")}, "does not exist"),
        ({"keys": Path("none")}, "does not exist"),
    ],
)
def test_bad_settings(settings: dict[str, Any], wrong: str) -> None:
    """A scaler or a file that cannot be used is refused before anything listens."""
    with pytest.raises(SettingError, match=wrong):
        Ways.read(Gateway(upstream="http://a:1", **settings))


def test_upstreams() -> None:
    """A list may hold addresses, of version 6 too, and names, which are looked up."""
    found = upstreams.parse("http://a:1, https://b,http://[::1]:7860,dns:localhost:7860")

    assert (Address("http", "a", 1), Address("https", "b", 443), Address("http", "::1", 7860), Name("localhost", 7860)) == found  # fmt: skip
    assert "http://[::1]:7860" == str(found[2])
    listed = asyncio.run(upstreams.Resolver(found[3:]).look())
    assert Address("http", "127.0.0.1", 7860) in listed
    assert [] == asyncio.run(upstreams.Resolver((Name("nobody.invalid", 1),)).look())


def test_rates() -> None:
    """Rates of arrivals are over the windows that the scaler's own questions have."""
    arrivals = Arrivals()
    for second in range(0, 600, 10):
        arrivals.add(float(second))

    assert (12 / 120, 60 / 900) == (arrivals.rate(120, 600.0), arrivals.rate(900, 600.0))


def test_replica_rests() -> None:
    """A replica that fails again and again rests for twice as long each time."""

    async def check() -> None:
        one = Replica(Address("http", "a", 1), 4, ssl.create_default_context())
        outs = [now for now in range(12) if one.faulty(float(now))]
        assert [2, 5, 8, 11] == outs
        one.ready = one.answers = True
        assert "ejected" == one.state(11 + 39.0)
        assert "ready" == one.state(11 + 41.0)

    run(check())


@pytest.mark.parametrize("field", ["n", "num_inference_steps", "size"])
@pytest.mark.parametrize("value", [100_000, 10**400])
def test_beyond_all(field: str, value: int) -> None:
    """A size that no server can be set to take is refused, and spoils no sum of work."""
    asked = f'"{value}x16"' if field == "size" else str(value)
    with pytest.raises(InvalidRequest) as refused:
        asks.read(
            f'{{"prompt": "x", "{field}": {asked}}}'.encode(),
            Gateway.model_validate({"upstream": "http://a:1"}),
        )

    assert field == refused.value.field
