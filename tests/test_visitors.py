"""What a page of another site may have a browser ask of what listens here: nothing that counts."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from lightmeter.settings import Serve
from lightmeter.settings_gateway import Gateway
from lightmeter.settings_scale import Scale
from lightmeter.visitors import ANY, guarded, names_of, refusal


ROOT = Path(__file__).parents[1]
NAMES = frozenset(["images.example.com"])


def status(method: str, **headers: str) -> int:
    """Say how a request is answered, 200 where it is let in."""
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    refused = refusal(method, sent, NAMES)
    return refused.status if refused else 200


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:7860", "10.1.2.3", "images.example.com", "images.example.com:443", "gpu-1", "host.docker.internal:80", "app.localhost", "localhost.", ""],
)  # fmt: skip
def test_our_names(host: str) -> None:
    """Addresses, names that nobody can register, and those that were allowed are ours."""
    assert 200 == status("GET", host=host)


@pytest.mark.parametrize(
    "host",
    ["evil.com", "127.0.0.1.evil.com", "localhost.evil.com:7860", "x@evil.com", "127.0.0.1@evil.com", "images.example.com.evil.com", "evil.com.", "[::1", "1.2.3.4.5", "evil.internal.com"],
)  # fmt: skip
def test_others_names(host: str) -> None:
    """A name that somebody else may have led here is refused, for reading too."""
    assert [421, 421] == [status("GET", host=host), status("POST", host=host)]


def test_behind_a_gateway() -> None:
    """Who passes a request on may leave the client's name in it, and says that it did: no page can."""
    assert 200 == status("POST", host="pictures.example", via="1.1 lightmeter-gateway")


HERE = {"host": "127.0.0.1:7860"}


def test_pages_of_others() -> None:
    """Nothing changes because of a page of another site, another port or a sandbox."""
    for headers in (
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "http://evil.com"},
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "null"},
        {"origin": "https://evil.com", "authorization": "Basic eDp5"},
    ):
        assert [403, 403, 200] == [status(method, **HERE, **headers) for method in ("POST", "DELETE", "GET")]  # fmt: skip


def test_pages_of_ours() -> None:
    """Our own page, programs without any, and who shows a key may ask."""
    for headers in (
        {"sec_fetch_site": "same-origin", "origin": "https://images.example.com"},
        {"sec_fetch_site": "none"},
        {"origin": "http://127.0.0.1:7860"},
        {},
        {"origin": "http://evil.com", "authorization": "bearer sk-shop"},
    ):
        assert 200 == status("POST", **HERE, **headers)


def test_behind_another_name() -> None:
    """A proxy that asks us by our own name leaves the page's in its origin: it may, if it was named."""
    assert 200 == status("POST", **HERE, origin="http://images.example.com")
    assert 403 == status("POST", **HERE, origin="http://images.example.com.evil.com")
    assert 403 == status("POST", **HERE, origin="null")


def test_two_lengths() -> None:
    """A request that two readers would end at different places is read by none."""
    assert 400 == status("POST", **HERE, content_length="5", transfer_encoding="chunked")


def test_names_of() -> None:
    """On loopback a name has to be known; beyond, and behind a trusted proxy, any is."""
    assert frozenset() == names_of(Scale.model_validate({}))
    assert frozenset(["a.example", "b.example"]) == names_of(Scale.model_validate({"allowed_hosts": "A.example, b.example"}))  # fmt: skip
    assert frozenset(["pictures.example"]) == names_of(
        Serve.model_validate({"public_url": "https://pictures.example/x"})
    )
    assert frozenset([ANY, "pictures.example"]) == names_of(
        Serve.model_validate(
            {"public_url": "https://pictures.example", "trusted_proxy": "10.0.0.1"}
        )
    )
    everywhere = {"host": "0.0.0.0"}  # noqa: S104  (what is asked about)
    assert {ANY} == names_of(Scale.model_validate({"allowed_hosts": "*"}))
    assert {ANY} == names_of(Serve.model_validate(everywhere))
    assert {ANY} == names_of(Gateway.model_validate({"upstream": "http://127.0.0.1:1", "trusted_proxy": "127.0.0.1"}))  # fmt: skip


def test_refused() -> None:
    """Who is refused hears why in one line, and is hung up on before the application sees anything."""
    seen: list[str] = []

    async def stop(request: Request) -> Response:
        seen.append(request.method)
        return PlainTextResponse("stopped")

    client = TestClient(
        guarded(Starlette(routes=[Route("/", stop, methods=["POST"])]), Scale.model_validate({}))
    )
    refused = client.post("/", headers={"Origin": "http://evil.com"})
    taken = client.post("/")

    assert (403, 200, ["POST"]) == (refused.status_code, taken.status_code, seen)
    assert "close" == refused.headers["connection"]
    assert "pages of other sites may not ask without a key" == refused.json()["error"]["message"]


def test_everywhere() -> None:
    """Each command that listens with an application of ours stands behind it, and waits for no slow head."""
    calls: dict[str, set[str]] = {"uvicorn.Config": set(), "connections.config": set(), "visitors.guarded": set()}  # fmt: skip
    for folder in ("alerts", "dashboards", "exporter", "inference", "lightmeter", "planner"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and (name := ast.unparse(node.func)) in calls:
                    calls[name].add(path.relative_to(ROOT).as_posix())
    guarded_ = {path.replace("cli/localprom_", "localprom/server") for path in calls["visitors.guarded"]}  # fmt: skip

    assert {"lightmeter/connections.py"} == calls["uvicorn.Config"]
    assert 5 == len(guarded_)
    assert guarded_ == calls["connections.config"]
