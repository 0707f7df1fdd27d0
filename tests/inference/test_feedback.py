"""Ratings over the API: matched with their requests, however old, and kept before the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from inference import feedback
from inference.feedback import Feedback
from inference.tickets import Refused
from lightmeter import catalog, history, late
from lightmeter.catalog import ShedReason
from lightmeter.history import History
from support import rows
from support.rows import row
from support.server import Server, eventually


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data")) as running:
        yield running.ready()


def rate(server: Server, request_id: str, score: Any = 4, **more: Any) -> httpx.Response:
    body = {"request_id": request_id, "score": score, **more}
    return server.client.post("/v1/feedback", json=body)


def made(server: Server) -> str:
    """Make a picture; return its request id."""
    return str(server.post().json()["id"])


def stars(folder: Path, request_id: str) -> int | None:
    """Read the stars that a request has in the history."""
    found = History(folder).frame(["request_id", "feedback"]).set_index("request_id")["feedback"]
    return None if found.isna()[request_id] else int(found[request_id])


def test_rated(server: Server) -> None:
    """A rating is in the history, at the row of its request, as soon as it is answered."""
    one, other = made(server), made(server)

    answer = rate(server, one, 5, tags=["手", "colours"])
    assert (200, one, 5, ["手", "colours"]) == (answer.status_code, *answer.json().values())
    assert (5, None) == (stars(server.history, one), stars(server.history, other))
    assert ("手", "colours") == late.ratings(server.history).newest[one].tags


def test_replaced(server: Server) -> None:
    """To rate again replaces the rating; only a request's first rating is counted."""
    one = made(server)
    before = {suffix: server.value(catalog.FEEDBACK_SCORE, suffix) for suffix in ("_count", "_sum")}

    assert [200, 200] == [rate(server, one, score).status_code for score in (2, 5)]
    assert 5 == stars(server.history, one)
    assert before["_count"] + 1 == server.value(catalog.FEEDBACK_SCORE, "_count")
    assert before["_sum"] + 2 == server.value(catalog.FEEDBACK_SCORE, "_sum")


@pytest.mark.parametrize("unknown", ["img_" + "0" * 24, "img_x", "", "a'b\n"])
def test_unknown(server: Server, unknown: str) -> None:
    """A rating of a request that never was is answered 404, and nothing is kept."""
    made(server)
    answer = rate(server, unknown)

    assert 404 == answer.status_code
    error = answer.json()["error"]
    assert {"message", "type", "param", "code"} == set(error)
    assert repr(unknown) in error["message"]
    assert unknown not in late.ratings(server.history).newest


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"score": 0}, "score"),
        ({"score": 6}, "score"),
        ({"score": 3.5}, "score"),
        ({"score": "5"}, "score"),
        ({"score": True}, "score"),
        ({"score": None}, "score"),
        ({"request_id": 5}, "request_id"),
        ({"request_id": "x" * 100}, "request_id"),
        ({"tags": ["x"] * 17}, "tags"),
        ({"tags": ["x" * 65]}, "tags.0"),
        ({"tags": [""]}, "tags.0"),
        ({"tags": "good"}, "tags"),
        ({"comment": "nice"}, "comment"),
    ],
)
def test_invalid(server: Server, change: dict[str, Any], field: str) -> None:
    """A rating that is none is answered 422 with the field, and changes nothing."""
    one = made(server)
    answer = server.client.post("/v1/feedback", json={"request_id": one, "score": 3} | change)

    assert (422, field) == (answer.status_code, answer.json()["error"]["param"])
    assert stars(server.history, one) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"score": NaN}', b"[" * 5000])
def test_no_json(server: Server, body: bytes) -> None:
    """A body that is no rating at all is answered 422 on one line."""
    answer = server.client.post("/v1/feedback", content=body)

    assert 422 == answer.status_code
    assert "\n" not in answer.json()["error"]["message"]


def test_large_body(server: Server) -> None:
    """A body that is far too large is not read to its end."""
    assert 413 == server.client.post("/v1/feedback", content=b" " * 100_000).status_code


def test_null_tags(server: Server) -> None:
    """Tags that are null are no tags."""
    assert [] == rate(server, made(server), tags=None).json()["tags"]


def test_earlier_process(tmp_path: Path) -> None:
    """A request of a server that was killed, and of one that ended, can still be rated."""
    with Server(tmp_path) as first:
        killed = made(first.ready())
        first.kill()
    with Server(tmp_path) as second:
        ended = made(second.ready())
    with Server(tmp_path) as third:
        third.ready()
        assert eventually(lambda: list((tmp_path / "history").glob("date=*/*.parquet")))
        answers = [rate(third, one, 2).status_code for one in (killed, ended)]
        third.kill()

    assert [200, 200] == answers
    assert [2, 2] == [stars(tmp_path / "history", one) for one in (killed, ended)]
    history.seal_orphans(tmp_path / "history")
    assert [2, 2] == [stars(tmp_path / "history", one) for one in (killed, ended)]


def test_two_servers(tmp_path: Path) -> None:
    """Servers on one folder take each other's ratings; the newest counts."""
    with Server(tmp_path) as one, Server(tmp_path) as other:
        request_id = made(one.ready())
        answers = [rate(other, request_id, 1).status_code, rate(one, request_id, 3).status_code]
        found = stars(tmp_path / "history", request_id)

    assert ([200, 200], 3) == (answers, found)


def test_key(tmp_path: Path) -> None:
    """Where keys are asked for, only who has one may rate."""
    keys = tmp_path / "keys.toml"
    keys.write_text('[shop]\nkey = "a-key-of-sixteen-characters"\n')
    with Server(tmp_path, "--keys", str(keys)) as server:
        server.ready()
        refused = rate(server, "img_" + "0" * 24)
        server.client.headers["Authorization"] = "Bearer a-key-of-sixteen-characters"
        taken = rate(server, made(server))

    assert (401, 200) == (refused.status_code, taken.status_code)


def desk(folder: Path, seconds: float = 60.0) -> Feedback:
    return Feedback(
        folder,
        is_recent=lambda _: False,
        observe=lambda _: None,
        search_seconds=seconds,
        fsync=True,
    )


def body(request_id: str) -> bytes:
    return json.dumps({"request_id": request_id, "score": 3}).encode()


def test_long_search(tmp_path: Path) -> None:
    """A search of the history that takes too long is given up, with 504 and when to try again."""
    rows.folder(tmp_path, [row(0.0)])

    with pytest.raises(Refused, match="could not be searched") as caught:
        asyncio.run(desk(tmp_path, -1.0).rate(body("img_" + "0" * 24)))
    assert ShedReason.DEADLINE is caught.value.reason


def test_many_searches(tmp_path: Path) -> None:
    """Ratings of old requests are searched one by one; beyond some that wait, more are refused."""
    known = "img_" + "1" * 24
    rows.folder(tmp_path, [row(0.0, request_id=known)])

    async def flood() -> list[Any]:
        place = desk(tmp_path)
        strangers = [f"img_{number:024x}" for number in range(feedback.MOST_SEARCHES + 4)]
        return await asyncio.gather(
            place.rate(body(known)),
            *(place.rate(body(one)) for one in strangers),
            return_exceptions=True,
        )

    first, *others = asyncio.run(flood())
    assert known == first.request_id
    refused = [error for error in others if isinstance(error, Refused)]
    assert 5 == len(refused)
    assert {ShedReason.RATE_LIMIT} == {error.reason for error in refused}


def test_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the rated requests only the latest are remembered, so that memory has a bound."""
    monkeypatch.setattr(feedback, "MOST_REMEMBERED", 2)
    ids = [f"img_{number:024x}" for number in range(3)]
    rows.folder(tmp_path, [row(float(at), request_id=one) for at, one in enumerate(ids)])

    async def three() -> int:
        place = desk(tmp_path)
        for one in ids:
            await place.rate(body(one))
        return len(place._rated)

    assert 2 == asyncio.run(three())
