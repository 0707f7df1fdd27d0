"""API keys: the file that names them, and what a request without one gets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.keys import ANYONE, Keys, Tenant, Unauthorized
from lightmeter.catalog import IMAGES
from lightmeter.errors import SettingError
from lightmeter.history import History
from support.cli import lightmeter
from support.server import Server, bearer, fetch


SHOP, OPS = "sk-shop-0123456789", "sk-ops-9876543210"
FILE = f"""
[shop]
key = "{SHOP}"
weight = 3
requests_per_minute = 600

[ops]
sha256 = "{hashlib.sha256(OPS.encode()).hexdigest()}"
admin = true
"""

PORTS = ("--port", "0", "--metrics-port", "0")


def written(folder: Path, text: str = FILE) -> Path:
    path = folder / "keys.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("data")
    with Server(folder, "--keys", str(written(folder))) as running:
        yield running.ready()


def test_read(tmp_path: Path) -> None:
    """A key stands in the file as it is, or as its SHA-256; either names its tenant."""
    keys = Keys.read(written(tmp_path))

    assert Tenant("shop", 3.0, 600.0, burst=60) == keys.identify(f"Bearer {SHOP}")
    assert Tenant("ops", admin=True) == keys.identify(f"bearer  {OPS} ")


def test_no_file() -> None:
    """Without a key file anyone may ask."""
    assert ANYONE is Keys.read(None).identify(None)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", f"Bearer {SHOP}x", f"Basic {SHOP}", SHOP, f"Bearer {SHOP} {OPS}"]
)
def test_unknown(tmp_path: Path, header: str | None) -> None:
    """No key, another one, or another scheme is nobody's."""
    keys = Keys.read(written(tmp_path))

    with pytest.raises(Unauthorized, match=r"Authorization: Bearer KEY|none of this server's"):
        keys.identify(header)


class Watched(dict[bytes, Tenant]):
    """Known keys that count how many of them were looked at."""

    looked = 0

    def items(self) -> Iterator[tuple[bytes, Tenant]]:  # type: ignore[override]  # all that is asked
        """Yield the keys one by one, and count."""
        for pair in super().items():
            self.looked += 1
            yield pair


@pytest.mark.parametrize("key", ["first", "last", "none"])
def test_all_compared(key: str) -> None:
    """Whichever key is sent, every known one is compared, so that the time tells nothing."""
    names = ("first", "second", "last")
    known = Watched({hashlib.sha256(name.encode()).digest(): Tenant(name) for name in names})

    try:
        found = Keys(known).identify(f"Bearer {key}").name
    except Unauthorized:
        found = "none"

    assert (key, 3) == (found, known.looked)


MINE = "sk-secret-0123456789"
BAD = [
    ("nothing", "", "names no tenant"),
    ("no TOML", f"[shop]\nkey = {MINE}", "is no TOML"),
    ("no secret", "[shop]\nweight = 2", "shop: the table: give either key or sha256"),
    ("two secrets", f'[shop]\nkey = "{MINE}"\nsha256 = "{"0" * 64}"', "give either key or sha256"),
    ("short", '[shop]\nkey = "sk-secret"', "shop: key: string should have at least 16 characters"),
    ("no ASCII", f'[shop]\nkey = "{MINE} ü"', "shop: key: may hold visible ASCII"),
    ("no digest", f'[shop]\nsha256 = "{MINE}"', "shop: sha256: string should match"),
    ("a number", "[shop]\nkey = 12345678901234567890", "shop: key: input should be a valid string"),
    ("turned round", f'{MINE} = "shop"', "entry 1 is no tenant; write [NAME]"),
    ("key as name", f'["{MINE}+/="]\nadmin = true', "entry 1 is no tenant; write [NAME]"),
    ("twice", f'[shop]\nkey = "{MINE}"\n[ops]\nkey = "{MINE}"', "ops has another tenant's key"),
    ("mistyped", f'[shop]\nkeys = "{MINE}"\nkey = "{MINE}"', "shop: keys: extra inputs"),
    ("weight", f'[shop]\nkey = "{MINE}"\nweight = 0', "shop: weight: input should be greater"),
    ("rate", f'[shop]\nkey = "{MINE}"\nrequests_per_minute = nan', "shop: requests_per_minute"),
    ("admin", f'[shop]\nkey = "{MINE}"\nadmin = "yes"', "shop: admin: input should be a valid"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_file(tmp_path: Path, text: str, said: str) -> None:
    """A key file that cannot be used is refused with one line that shows no key."""
    with pytest.raises(SettingError) as refused:
        Keys.read(written(tmp_path, text))

    message = str(refused.value)
    assert said in message
    assert "keys.toml" in message
    assert "\n" not in message
    assert "sk-secret" not in message


def test_refused_at_start(tmp_path: Path) -> None:
    """The server does not start with a key file that is missing, a folder or wrong: exit code 2."""
    text = f'[shop]\nkey = "{MINE}"\nburst = 0'
    paths = [tmp_path / "none.toml", tmp_path, written(tmp_path, text)]
    lines = [
        lightmeter("serve", "--model", "still", *PORTS, "--keys", path, cwd=tmp_path).refusal()
        for path in paths
    ]

    assert "does not exist" in lines[0]
    assert "is a folder" in lines[1]
    assert "shop: burst: input should be greater than or equal to 1" in lines[2]
    assert MINE not in lines[2]


def test_asked_for(server: Server) -> None:
    """Without a key, or with a wrong one, nothing is made and the client is told what to send."""
    made = server.value(IMAGES)
    answers = [server.post(), server.post(key="sk-somebody-else-00"), server.post(stream=True)]

    assert [401, 401, 401] == [answer.status_code for answer in answers]
    assert {"Bearer"} == {answer.headers["www-authenticate"] for answer in answers}
    assert "invalid_api_key" == answers[0].json()["error"]["type"]
    assert made == server.value(IMAGES)


def test_health_is_open(server: Server) -> None:
    """Probes and scrapes need no key."""
    addresses = [server.api + path for path in ("/healthz", "/readyz", "/version", "/openapi.json")]
    answers = [fetch(url) for url in (*addresses, server.metrics_url)]

    assert {200} == {answer.status_code for answer in answers}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/limits"),
        ("PUT", "/admin/limits"),
        ("GET", "/admin/workers"),
        ("POST", "/admin/workers"),
        ("DELETE", "/admin/workers/w0"),
    ],
)
def test_admin_only(server: Server, method: str, path: str) -> None:
    """The admin routes open for an admin's key alone, whatever the body is."""
    answers = [
        server.client.request(method, path, headers=headers, content=b"{")
        for headers in ({}, bearer("sk-somebody-else-00"), bearer(SHOP))
    ]

    assert [401, 401, 403] == [answer.status_code for answer in answers]
    assert "the key of shop is no admin's" == answers[2].json()["error"]["message"]


def test_closed_without_admin(tmp_path: Path) -> None:
    """Where nobody is an admin, nobody may: neither without keys nor with any."""
    with Server(tmp_path) as server:
        answer = server.ready().client.get("/admin/workers")

    assert 403 == answer.status_code
    assert "admin = true" in answer.json()["error"]["message"]


def test_tenant_in_rows_key_nowhere(tmp_path: Path) -> None:
    """Usage rows name the tenant; the key itself is in no log, no row and no listing of settings."""
    keys = written(tmp_path)
    with Server(tmp_path, "--keys", str(keys)) as server:
        statuses = [
            server.ready().post(key=SHOP).status_code,
            server.post(n=0, key=OPS).status_code,
        ]
        server.client.get("/admin/workers", headers=bearer(OPS))
        server.client.put("/admin/limits", headers=bearer(OPS), json={"queue": 3})
        server.stop()
        log = "".join(server.log)
    frame = History(tmp_path / "history").frame(["tenant", "outcome"])
    shown = lightmeter("config", "show", cwd=tmp_path, LIGHTMETER_SERVE_KEYS=str(keys))

    assert [200, 422] == statuses
    assert [("shop", "ok"), ("ops", "invalid")] == frame[["tenant", "outcome"]].to_records(
        index=False
    ).tolist()
    assert "ops set queue from 64 to 3" in log
    told = [log, shown.out, *(f.read_bytes().decode("latin-1") for f in (tmp_path / "history").rglob("*.*"))]  # fmt: skip
    assert not any(key in text for key in (SHOP, OPS) for text in told)
    assert "keys.toml" in shown.out
