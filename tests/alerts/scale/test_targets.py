"""What can be scaled: a real server's workers, a program, somebody's endpoint."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.scale import targets
from alerts.scale.pool import Pool
from alerts.scale.targets import SIGNATURE
from lightmeter import catalog
from lightmeter.catalog import WorkerState
from lightmeter.errors import SettingError, TargetError
from support.alerting import Taker
from support.server import Server, eventually


KEY, ADMIN = "sk-shop-0123456789", "sk-admin-0123456789"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("data")
    keys = folder / "keys.toml"
    keys.write_text(f'[shop]\nkey = "{KEY}"\n[ops]\nkey = "{ADMIN}"\nadmin = true\n')
    with Server(folder, "--keys", str(keys)) as running:
        running.key = KEY
        yield running.ready()


def test_pool(server: Server) -> None:
    """Workers of a real server are started and drained, down to none and back, and it serves then and after."""
    pool = Pool(server.api, ADMIN)
    assert (1, 0, 0) == pool.fleet()[:3]
    assert "started 2" == pool.scale(3)
    assert eventually(lambda: pool.fleet()[:3] == (3, 0, 0))
    assert "drained nobody" == pool.scale(3)
    pool.scale(0)
    assert eventually(lambda: pool.fleet()[:3] == (0, 0, 0))
    assert 200 == server.post().status_code  # it wakes
    pool.scale(1)
    assert eventually(lambda: pool.fleet()[:3] == (1, 0, 0))
    assert 200 == server.post().status_code


def test_starting_first(server: Server) -> None:
    """Whoever has not begun is let go before whoever serves."""
    pool = Pool(server.api, ADMIN)
    pool.scale(1)
    assert eventually(lambda: pool.fleet()[:3] == (1, 0, 0))
    pool.scale(2)
    pool.scale(1)

    assert eventually(lambda: pool.fleet()[:3] == (1, 0, 0))
    assert 200 == server.post().status_code
    assert 0 == server.value(catalog.WORKERS, state=WorkerState.STARTING)


def test_no_key(server: Server) -> None:
    """A server that refuses says why."""
    with pytest.raises(TargetError, match="refused GET /admin/workers with 401"):
        Pool(server.api).fleet()


def test_pool_gone() -> None:
    """A server that is not there, or that is none of ours, is named."""
    with pytest.raises(TargetError, match="cannot be reached"):
        Pool("http://127.0.0.1:9").fleet()
    with (
        Taker() as other,
        pytest.raises(TargetError, match=r"refused GET|is it a lightmeter server"),
    ):
        Pool(other.url).fleet()


def test_command(tmp_path: Path) -> None:
    """A program gets the number as its last argument; one that fails is told with what it said."""
    out = tmp_path / "out"
    target = targets.parse(
        f"command:{sys.executable} -c \"import sys; open('{out}', 'w').write(sys.argv[1])\""
    )

    assert target.scale(3).endswith("ended with 0")
    assert ("3", (3, 0, None)) == (out.read_text(), target.fleet()[:3])
    with pytest.raises(TargetError, match="ended with 1: no such luck"):
        targets.parse(f"command:{sys.executable} -c \"raise SystemExit('no such luck')\"").scale(1)
    with pytest.raises(TargetError, match="could not be run"):
        targets.parse("command:/nowhere/at/all").scale(1)


def test_webhook() -> None:
    """What is posted can be told from what anybody else posts."""
    with Taker() as taker:
        target = targets.parse(f"webhook:{taker.url}/scale", "a shared secret")
        said = target.scale(4)
        path, body = taker.messages[0]
        time, digest = (part.partition("=")[2] for part in taker.headers[0][SIGNATURE].split(","))

    assert ("webhook answered 200", "/scale", 4) == (said, path, body["replicas"])
    signed = f"{time}.".encode() + json.dumps(body).encode()
    assert hmac.new(b"a shared secret", signed, hashlib.sha256).hexdigest() == digest
    with pytest.raises(TargetError, match="cannot be reached"):
        target.scale(5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pol:http://x", "did you mean 'pool'"),
        ("pool:127.0.0.1", "is none of .*pool:URL"),
        ("webhook:http://x", "give scale.secret_file"),
        ("command:", "is none of"),
        ("", "is none of"),
    ],
)
def test_refused(text: str, said: str) -> None:
    """A target that is written wrongly is told how it is written."""
    with pytest.raises(SettingError, match=said):
        targets.parse(text)
