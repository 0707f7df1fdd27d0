"""The server does what its own description says, whatever it is sent."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from support.server import Server, bearer


pytestmark = pytest.mark.proof
KEY, ADMIN = "sk-shop-0123456789", "sk-admin-0123456789"
NOT_ASKED: list[Any] = [
    not_a_server_error,  # 502, 503, 504 and 507 are in the contract; 500 is not
    positive_data_acceptance,  # a side must be a multiple of 16, which no JSON schema can say
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("data")
    (folder / "keys.toml").write_text(
        f'[shop]\nkey = "{KEY}"\n[ops]\nkey = "{ADMIN}"\nadmin = true\n'
    )
    options = ("--keys", str(folder / "keys.toml"), "--max-steps", "50", "--deadline", "5")
    with Server(folder, *options) as running:
        yield running.ready()


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("key", [KEY, ADMIN])
def test_contract(server: Server, key: str, mode: GenerationMode) -> None:
    """Every answer of every route is one that the description names: status, headers, body."""
    schema = schemathesis.openapi.from_url(f"{server.api}/openapi.json")
    routes = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    asked = [one for one in routes if one.path.startswith("/admin") == (key == ADMIN)]

    assert len(asked) > 3
    for route in asked:
        if (route.method, route.path) != ("post", "/admin/workers"):  # one process each time
            hold(route, mode, bearer(key))


def hold(route: Any, mode: GenerationMode, headers: dict[str, str]) -> None:
    """Send one route what its description allows, or what it does not."""

    @given(case=route.as_strategy(generation_mode=mode))
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def check(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate(headers=headers, excluded_checks=list(NOT_ASKED))

    with contextlib.suppress(Unsatisfiable):  # there is nothing wrong to be sent to some
        check()
