"""Pictures asked for as addresses: what a browser gets there, and for how long."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from lightmeter.catalog import Stage
from support.server import Server, eventually, fetch, file


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data")) as running:
        yield running.ready()


def urls(answer: httpx.Response) -> list[str]:
    assert 200 == answer.status_code, answer.text
    return [entry["url"] for entry in answer.json()["data"]]


def get(url: str, **headers: str) -> httpx.Response:
    return fetch(url, headers)


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_same_file(server: Server, name: str) -> None:
    """What lies at the address is the file that the answer would have held."""
    held = server.post(seed=7, output_format=name)
    (url,) = urls(server.post(seed=7, output_format=name, response_format="url"))

    found = get(url)
    assert (200, f"image/{name}") == (found.status_code, found.headers["content-type"])
    assert file(held) == found.content


def test_address(server: Server) -> None:
    """The address is whole, and not to be guessed, not even by who reads logs, traces or the history."""
    answer = server.post(n=2, response_format="url")
    first, second = urls(answer)

    assert re.fullmatch(re.escape(server.api) + r"/v1/images/img_[0-9a-f]{24}-0\.png", first)
    assert first.replace("-0.png", "-1.png") == second
    assert answer.json()["id"] not in first
    assert "b64_json" not in answer.json()["data"][0]
    assert Stage.ENCODE in answer.json()["timings"]


def test_headers(server: Server) -> None:
    """A browser may keep the picture for as long as it is here, asks once, and guesses no type."""
    (url,) = urls(server.post(response_format="url"))
    found = get(url)

    match = re.fullmatch(r"private, max-age=(\d+), immutable", found.headers["cache-control"])
    assert match
    assert 3500 < int(match[1]) <= 3600
    assert "nosniff" == found.headers["x-content-type-options"]
    assert found.headers["content-disposition"].startswith("inline; filename=")
    again = get(url, **{"If-None-Match": found.headers["etag"]})
    assert (304, b"") == (again.status_code, again.content)


def test_head(server: Server) -> None:
    """HEAD says what GET would, without the picture."""
    (url,) = urls(server.post(response_format="url"))
    whole, head = get(url), httpx.head(url, trust_env=False)

    assert (200, b"") == (head.status_code, head.content)
    for name in ("content-type", "content-length", "etag"):
        assert whole.headers[name] == head.headers[name]


@pytest.mark.parametrize(
    "path",
    [
        "img_0123456789abcdef01234567-0.png",
        "img_0123456789abcdef01234567-0.svg",
        "img_..%2f..%2fkeys.toml",
        "img_%00",
        "img_x",
    ],
)
def test_not_here(server: Server, path: str) -> None:
    """An address without a picture is answered 404 in the form of every other error."""
    answer = get(f"{server.api}/v1/images/{path}")

    assert 404 == answer.status_code
    assert {"message", "type", "param", "code"} == set(answer.json()["error"])


def test_other_routes_stand(server: Server) -> None:
    """The pictures' addresses hide no other route."""
    assert 405 == get(f"{server.api}/v1/images/generations").status_code
    assert 404 == get(f"{server.api}/v1/images/other").status_code


def test_host(server: Server) -> None:
    """Without a setting the address begins with the host that the client used; no proxy is believed."""
    headers = {"Host": "pictures.internal:8080", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}  # fmt: skip
    answer = server.client.post("/v1/images/generations", json={"prompt": "x", "response_format": "url"}, headers=headers)  # fmt: skip

    assert urls(answer)[0].startswith("http://pictures.internal:8080/v1/images/img_")


def test_behind_proxy(tmp_path: Path) -> None:
    """Behind a trusted proxy the address is the proxy's, and the picture is there without a key."""
    keys = tmp_path / "keys.toml"
    keys.write_text('[shop]\nkey = "a-key-of-sixteen-characters"\n')
    with Server(tmp_path, "--trusted-proxy", "127.0.0.0/8", "--keys", str(keys)) as server:
        answer = server.ready().client.post(
            "/v1/images/generations",
            json={"prompt": "x", "response_format": "url"},
            headers={
                "Authorization": "Bearer a-key-of-sixteen-characters",
                "X-Forwarded-Host": "pictures.example",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Prefix": "/art",
            },
        )
        (url,) = urls(answer)
        found = get(url.replace("https://pictures.example/art", server.api))

    assert url.startswith("https://pictures.example/art/v1/images/img_")
    assert 200 == found.status_code


def test_public_url(tmp_path: Path) -> None:
    """A server that was told its address uses it."""
    with Server(tmp_path, "--public-url", "https://pictures.example/") as server:
        (url,) = urls(server.ready().post(response_format="url"))

    assert url.startswith("https://pictures.example/v1/images/img_")


def test_bounds(tmp_path: Path) -> None:
    """The oldest picture goes when a newer one needs its room; its address then says so."""
    with Server(tmp_path, "--store-bytes", "30000") as server:
        server.ready()
        made = [urls(server.post(size="640x640", response_format="url", seed=number))[0] for number in range(9)]  # fmt: skip
        codes = [get(url).status_code for url in made]
        gone = get(made[0])
        small = server.post(size="2048x2048", response_format="url")

    assert 404 == codes[0]
    assert 200 == codes[-1]
    assert sorted(codes, reverse=True) == codes
    assert "until newer ones need the room" in gone.json()["error"]["message"]
    assert (503, "the picture store holds 30000") == (small.status_code, small.json()["error"]["message"][-29:])  # fmt: skip
    assert "retry-after" in small.headers


def test_age(tmp_path: Path) -> None:
    """A picture goes when its time is over, from the disk too."""
    with Server(tmp_path, "--store-seconds", "1") as server:
        (url,) = urls(server.ready().post(response_format="url"))
        assert eventually(lambda: get(url).status_code == 404)
        assert eventually(lambda: not list((tmp_path / "images").iterdir()))


def test_restart(tmp_path: Path) -> None:
    """A picture outlives the server that made it, and the next one serves it."""
    with Server(tmp_path) as first:
        (url,) = urls(first.ready().post(response_format="url"))
        first.kill()
    with Server(tmp_path) as second:
        found = get(second.api + url.removeprefix(first.api))

    assert 200 == found.status_code


def test_replicas(tmp_path: Path) -> None:
    """Replicas that share a store serve each other's pictures."""
    shared = ("--store", str(tmp_path / "shared"))
    with Server(tmp_path / "a", *shared) as one, Server(tmp_path / "b", *shared) as other:
        (url,) = urls(one.ready().post(response_format="url"))
        found = get(other.api + url.removeprefix(one.api))

    assert 200 == found.status_code


def test_memory(tmp_path: Path) -> None:
    """Any fsspec URL will do for a store."""
    with Server(tmp_path, "--store", "memory://pictures") as server:
        (url,) = urls(server.ready().post(response_format="url", size="64x32"))
        found = get(url)

    assert (64, 32) == Image.open(io.BytesIO(found.content)).size
    assert not (tmp_path / "images").exists()


def test_in_a_stream(server: Server) -> None:
    """A stream ends with the addresses where they were asked for."""
    answer = server.post(response_format="url", stream=True)

    (url,) = re.findall(r'"url":"([^"]+)"', answer.text)
    assert 200 == get(url).status_code
