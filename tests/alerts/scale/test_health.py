"""What a scaler says of itself: a loop that hangs, and advice that nobody follows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from alerts.levels import Bounds
from alerts.scale.app import Instruments, create_app
from alerts.scale.audit import Audit
from alerts.scale.lease import Lease
from alerts.scale.scaler import PATIENCE_SECONDS, Mode, Scaler
from alerts.scale.targets import Remembered
from alerts.scale.watch import Latest, Several
from alerts.webhook import Webhook
from lightmeter import catalog
from lightmeter.errors import TargetError
from support.clock import Clock
from support.scaling import BUSY, CALM, scaler


GAUGES = (catalog.DESIRED_REPLICAS, catalog.READY_REPLICAS, catalog.STARTING_REPLICAS)


def health(one: Scaler, path: str = "/healthz") -> tuple[int, dict[str, Any]]:
    registry = CollectorRegistry()
    webhook = Webhook(one, bounds=Bounds(age_seconds=60.0), token_file=None, registry=registry)
    app = create_app(one, webhook, registry, one.clock)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:  # fmt: skip
            return await client.get(path)

    answer = asyncio.run(ask())
    return answer.status_code, answer.json()


def test_stuck(tmp_path: Path) -> None:
    """A scaler whose loop has not come round for minutes says so, and is well again with its next decision."""
    clock = Clock()
    one = scaler(tmp_path, [CALM], clock=clock)
    one.step()
    clock.now += PATIENCE_SECONDS
    at_first = health(one)
    clock.now += 1
    stuck = health(one)
    one.step()

    assert (200, "ok", PATIENCE_SECONDS) == (at_first[0], at_first[1]["status"], at_first[1]["seconds_since_decision"])  # fmt: skip
    assert (503, "stuck") == (stuck[0], stuck[1]["status"])
    for path in ("/healthz", "/readyz"):
        assert (200, "ok") == (health(one, path)[0], health(one, path)[1]["status"])


def test_full_disk(tmp_path: Path) -> None:
    """Where nothing can be written down it is not ready, and lives: a restart would not make room."""
    clock = Clock()
    one = scaler(tmp_path, [CALM], clock=clock)
    one.step()
    audit = tmp_path / "full" / "decisions.jsonl"
    one.audit = Audit(audit.parent)
    audit.unlink()
    audit.mkdir()
    for _ in range(10):
        clock.now += 15
        assert one.step() is None

    assert (200, "ok") == (health(one)[0], health(one)[1]["status"])
    assert (503, "deciding nothing") == (health(one, "/readyz")[0], health(one, "/readyz")[1]["status"])  # fmt: skip
    audit.rmdir()
    one.step()
    assert 200 == health(one, "/readyz")[0]


def test_standby(tmp_path: Path) -> None:
    """One that waits for its turn decides nothing, and is well."""
    other = Lease(tmp_path)
    other.take()
    clock = Clock()
    one = scaler(tmp_path, [CALM], clock=clock)
    for _ in range(20):
        clock.now += 15
        assert one.step() is None

    assert (200, False) == (health(one)[0], health(one)[1]["lease"])
    assert 200 == health(one, "/readyz")[0]
    other.close()


def test_taken_over(tmp_path: Path) -> None:
    """One that lost its turn tells of no replicas any more: whoever adds up all scalers would count them twice."""
    registry = CollectorRegistry()
    one = scaler(tmp_path, [BUSY])
    one.watcher = Several(Instruments(registry, one.target.name), Latest(60.0))
    one.step()
    told = [registry.get_sample_value(metric.name, {"target": "null"}) for metric in GAUGES]
    one.lease.close()
    other, one.lease = Lease(tmp_path), Lease(tmp_path)
    other.take()
    one.step()
    after = [registry.get_sample_value(metric.name, {"target": "null"}) for metric in GAUGES]
    other.close()

    assert None not in told
    assert [None] * len(GAUGES) == after


class Deaf(Remembered):
    """A target that can be counted, and does not let itself be scaled."""

    def scale(self, to: int) -> str:
        """Refuse."""
        raise TargetError(f"cannot scale to {to}")


def counted(folder: Path, mode: Mode, **more: Any) -> dict[str, float]:
    """Count five looks at the same load, a brake, and the load again, by what was done."""
    clock, registry = Clock(), CollectorRegistry()
    one = scaler(folder, [BUSY], mode=mode, clock=clock, most=4, **more)
    one.watcher = Instruments(registry, one.target.name)
    for seconds in (0, 0, 0, 0, 0, 60, 0, 0):
        if seconds:
            one.freeze(clock.now + seconds)
        for _ in range(1 + seconds // 15):
            one.step()
            clock.now += 15
    found = registry.collect()
    samples = [sample for metric in found for sample in metric.samples if sample.name == catalog.DECISIONS.name]  # fmt: skip
    return {action: sum(one.value for one in samples if one.labels["action"] == action) for action in catalog.ACTIONS}  # fmt: skip


def test_advice_once(tmp_path: Path) -> None:
    """Advice that nobody follows is one change, not one at each look; so is an order that fails."""
    advised = counted(tmp_path / "advised", "advisory")
    failed = counted(tmp_path / "failed", "act", target=Deaf("null"))

    assert (2, 1, 0) == (advised["up"], advised["freeze"], advised["down"])
    assert 12 == sum(advised.values())
    assert advised == failed
