"""What pictures cost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from inference.money import Price
from lightmeter import catalog
from support.server import Server


def test_cost() -> None:
    """An hour of a GPU costs its price; a second, the 3600th part."""
    price = Price(Decimal("3.60"), "USD")

    assert [Decimal("3.6"), Decimal("0.001")] == [price.cost(3600), price.cost(1)]


def test_answer_says(tmp_path: Path) -> None:
    """With a price each answer says what its GPU seconds cost, and the counter holds the sum."""
    with Server(tmp_path, "--gpu-hour-price", "3600", "--currency", "EUR") as server:
        answers = server.ready().together([{"num_inference_steps": 20}] * 3)
        total = server.value(catalog.COST, currency="EUR")

    bodies = [answer.json() for answer in answers]
    assert [body["usage"]["gpu_seconds"] for body in bodies] == pytest.approx(
        [body["cost"] for body in bodies], abs=1e-8
    )
    assert {"EUR"} == {body["currency"] for body in bodies}
    assert total == pytest.approx(sum(body["cost"] for body in bodies), abs=1e-6)


def test_unknown_price(tmp_path: Path) -> None:
    """Without a price nothing is said about cost: unknown is not free."""
    with Server(tmp_path) as server:
        body = server.ready().post().json()
        page = server.client.get(server.metrics_url).text

    assert "cost" not in body
    assert catalog.COST.name + "{" not in page
