"""``POST /v1/alerts``: who may, what is taken, and what Alertmanager does with the answer."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerts import routes
from alerts.levels import Bounds
from alerts.objectives import Slo
from alerts.routes import Pace, Routing
from alerts.webhook import BODY_BYTES, tokens
from lightmeter.catalog import WEBHOOK_ALERTS, WEBHOOK_POSTS, AlertResult, PostResult
from lightmeter.errors import SettingError
from support.alerting import Alertmanager, Hook, Taker, every_alert, told, write
from support.clock import Clock
from support.server import bearer, eventually


BOUNDS = Bounds(age_seconds=360.0)
TOKEN = "correct-horse-battery-staple"  # noqa: S105  (a test's)
ALERT = {
    "status": "firing",
    "labels": {"alertname": "Backlog"},
    "fingerprint": "802b9407ed51f235",
    "startsAt": "1970-01-01T00:01:30Z",
}
FIRING = {"alerts": [ALERT]}
RESOLVED = {"alerts": [ALERT | {"status": "resolved", "endsAt": "1970-01-01T00:01:40Z"}]}


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
def hook(token_file: Path) -> Iterator[Hook]:
    with Hook(BOUNDS, token_file, Clock()) as running:
        yield running


def moment() -> str:
    return datetime.now(UTC).isoformat()


def post(hook: Hook, body: Any, key: str = TOKEN, **more: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(hook.url, content=content, headers=bearer(key), trust_env=False, **more)


def test_taken(hook: Hook) -> None:
    """Each message hands over all that holds, and its end hands over nothing."""
    answer = post(hook, FIRING)
    assert (200, 1) == (answer.status_code, answer.json()["began"])
    assert ["Backlog"] == hook.names()
    assert 1 == post(hook, FIRING).json()["repeated"]
    assert 1 == post(hook, RESOLVED).json()["ended"]
    assert 1 == post(hook, FIRING).json()["over"]

    assert [] == hook.names()
    counted = {word: hook.count(WEBHOOK_ALERTS, word) for word in AlertResult}
    assert {"began": 1, "repeated": 1, "ended": 1, "over": 1, "dropped": 0, "truncated": 0} == counted  # fmt: skip
    assert 4 == hook.count(WEBHOOK_POSTS, PostResult.TAKEN)


@pytest.mark.parametrize("key", ["", "wrong", TOKEN[:-1], f"{TOKEN}x", "é"])
def test_stranger(hook: Hook, key: str) -> None:
    """Without the token nothing is read, and nothing is learnt."""
    headers = {b"Authorization": f"Bearer {key}".encode()} if key else {}
    answer = httpx.post(hook.url, json=FIRING, headers=headers, trust_env=False)

    assert (401, "Bearer") == (answer.status_code, answer.headers["www-authenticate"])
    assert TOKEN not in answer.text
    assert [] == hook.held
    assert 1 == hook.count(WEBHOOK_POSTS, PostResult.UNAUTHORIZED)


def test_basic_is_no_bearer(hook: Hook) -> None:
    """The token under another scheme does not count."""
    headers = {"Authorization": f"Basic {TOKEN}"}

    assert 401 == httpx.post(hook.url, json=FIRING, headers=headers, trust_env=False).status_code


def test_token_changes(hook: Hook, token_file: Path) -> None:
    """While a token is changed both count; nobody is restarted. A lost file means: try again."""
    token_file.write_text(f"{TOKEN}\nanother-token-of-ours\n")
    assert [200, 200] == [post(hook, FIRING, key).status_code for key in (TOKEN, "another-token-of-ours")]  # fmt: skip
    token_file.write_text("another-token-of-ours")
    assert 401 == post(hook, FIRING).status_code
    token_file.unlink()

    assert 503 == post(hook, FIRING).status_code


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not exist"),
        ("", "must hold a token of 16 characters or more; make one with `openssl rand -hex 32`"),
        ("brief", "must hold a token"),
        ("ünsafe-token-of-ours", "is no ASCII text"),
    ],
)
def test_no_token(tmp_path: Path, text: str | None, said: str) -> None:
    """A file of tokens that cannot be used is refused at the start, and no token is shown."""
    path = tmp_path / "token"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SettingError) as error:
        tokens(path)

    assert said in str(error.value)
    assert not text or text not in str(error.value).replace(str(path), "")


def test_without_token() -> None:
    """Where no file of tokens is named, anybody may post."""
    with Hook(BOUNDS, None) as hook:
        assert 200 == post(hook, FIRING, "").status_code


@pytest.mark.parametrize("body", [b"", b"{", b"[]", {"alerts": [{}]}, {"version": "3", "alerts": []}, {"alerts": [], "truncatedAlerts": 10**400}])  # fmt: skip
def test_never_good(hook: Hook, body: Any) -> None:
    """What will never be good is 400, so that Alertmanager does not send it for ever."""
    answer = post(hook, body)

    assert 400 == answer.status_code
    assert answer.json()["error"].startswith("the body is no message of Alertmanager: ")
    assert 1 == hook.count(WEBHOOK_POSTS, PostResult.INVALID)


def test_too_large(hook: Hook) -> None:
    """A body beyond the limit is 413, whether its length is declared or not."""
    blank = b" " * (BODY_BYTES + 1)

    assert 413 == post(hook, blank).status_code
    assert 413 == httpx.post(hook.url, content=iter([blank]), headers=bearer(TOKEN), trust_env=False).status_code  # fmt: skip
    assert 200 == post(hook, json.dumps(FIRING).encode() + b" " * 500_000).status_code


def test_try_again(hook: Hook) -> None:
    """What cannot be taken now is 503, and nothing of it is known until it is taken."""
    hook.refuses = True
    answer = post(hook, FIRING)
    assert (503, "the scaler is not ready") == (answer.status_code, answer.json()["error"])
    hook.refuses = False

    assert 1 == post(hook, FIRING).json()["began"]


def test_gone_away(hook: Hook) -> None:
    """A sender that goes away in the middle of its message does no harm."""
    url = httpx.URL(hook.url)
    with socket.create_connection((url.host, url.port or 80)) as sender:
        sender.sendall(f"POST /v1/alerts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n{{".encode())  # fmt: skip
    assert eventually(lambda: hook.count(WEBHOOK_POSTS, PostResult.UNAVAILABLE) == 1)

    assert 200 == post(hook, FIRING).status_code


def test_other_requests(hook: Hook) -> None:
    """Only POST, only there."""
    assert 405 == httpx.get(hook.url, trust_env=False).status_code
    assert 404 == httpx.post(hook.url + "s", trust_env=False).status_code


def test_alertmanager(tmp_path: Path, token_file: Path) -> None:
    """A real Alertmanager, as configured by us: a level begins, is repeated, and ends; 503 is retried."""
    alert = next(a for a in every_alert() if a.name == "LightmeterMetricsMissing")
    missing = told(alert) | {"startsAt": moment()}
    soon = Pace("0s", "1s", "2s")
    with Hook(BOUNDS, token_file) as hook, Taker() as taker:
        hook.refuses = True
        routing = Routing(hook.url, str(token_file), soon, soon, soon, soon)
        write(tmp_path / "am", routes.alertmanager(Slo(), routing), pages=f"{taker.url}/pages")
        with Alertmanager(tmp_path / "am", tmp_path / "am" / "webhook.yaml").ready() as alertmanager:  # fmt: skip
            alertmanager.tell([missing])
            assert eventually(lambda: hook.count(WEBHOOK_POSTS, PostResult.UNAVAILABLE))
            hook.refuses = False
            assert eventually(lambda: hook.names() == ["LightmeterMetricsMissing"])
            assert "freeze" == hook.held[-1][0].labels["scaling"]
            token_file.write_text("another-token-of-ours")  # read by both, each time
            repeated = hook.count(WEBHOOK_ALERTS, AlertResult.REPEATED)
            assert eventually(lambda: hook.count(WEBHOOK_ALERTS, AlertResult.REPEATED) > repeated)
            assert 0 == hook.count(WEBHOOK_POSTS, PostResult.UNAUTHORIZED)
            alertmanager.tell([missing | {"endsAt": moment()}])

            assert eventually(lambda: hook.names() == [])
            assert 1 == hook.count(WEBHOOK_ALERTS, AlertResult.BEGAN)
            assert 1 == hook.count(WEBHOOK_ALERTS, AlertResult.ENDED)
