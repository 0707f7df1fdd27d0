"""A tenant that asks more often than it may."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.keys import ANYONE, Tenant
from inference.rates import Rates
from lightmeter import catalog
from lightmeter.catalog import Outcome, ShedReason
from support.server import Server


TENANT = Tenant("shop", requests_per_minute=30, burst=3)
"""One request each two seconds, three at once."""


def test_burst_then_wait() -> None:
    """A burst passes; then the wait told is exact: a moment before it is too early, then it is not."""
    rates = Rates()

    assert [0, 0, 0, 2.0] == [rates.wait(TENANT, 100.0) for _ in range(4)]
    assert 0.5 == rates.wait(TENANT, 101.5)
    assert [0, 2.0] == [rates.wait(TENANT, 102.0) for _ in range(2)]


def test_refused_costs_nothing() -> None:
    """Asking in vain does not move the moment at which a tenant may ask again."""
    rates = Rates()
    waits = [rates.wait(TENANT, 0.0) for _ in range(50)]

    assert [2.0] * 47 == waits[3:]


def test_allowance_is_bounded() -> None:
    """However long a tenant was silent, no more than its burst passes at once."""
    rates = Rates()
    rates.wait(TENANT, 0.0)

    assert 3 == [rates.wait(TENANT, 1e6) for _ in range(10)].count(0)


def test_long_run() -> None:
    """Over ten minutes of asking all the time, a tenant gets its rate and not one more."""
    rates = Rates()
    passed = sum(rates.wait(TENANT, second / 10) == 0 for second in range(6000))

    assert 3 + 299 == passed


@pytest.mark.parametrize("tenant", [ANYONE, Tenant("free")])
def test_unbounded(tenant: Tenant) -> None:
    """A tenant without a rate is never held up."""
    rates = Rates()

    assert {0} == {rates.wait(tenant, 0.0) for _ in range(1000)}


SHOP, OPS = "sk-shop-0123456789", "sk-ops-0123456789"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    keys = tmp_path / "keys.toml"
    keys.write_text(
        f'[shop]\nkey = "{SHOP}"\nrequests_per_minute = 30\nburst = 2\n[ops]\nkey = "{OPS}"\n'
    )
    with Server(tmp_path, "--keys", str(keys)) as running:
        yield running.ready()


def test_server(server: Server) -> None:
    """A tenant over its rate is told when it may ask again, which is true; others notice nothing."""
    first = [server.post(key=SHOP) for _ in range(3)]
    others = {server.post(key=OPS).status_code for _ in range(10)}
    time.sleep(int(first[2].headers["retry-after"]))
    again = server.post(key=SHOP)

    assert [200, 200, 429] == [answer.status_code for answer in first]
    assert {200} == others
    assert 200 == again.status_code
    error = first[2].json()["error"]
    assert ("rate_limit", "shop may send 30 requests a minute; try again") == (error["type"], error["message"])  # fmt: skip
    assert 1 == server.value(catalog.SHED, reason=ShedReason.RATE_LIMIT)
    assert 1 == server.value(catalog.REQUESTS, outcome=Outcome.SHED)
