"""Tuning: what is recommended, and what is done about it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from inference import tuner
from inference.engine import warmup_job
from inference.instruments import Instruments
from inference.limits import Limits, LimitsChange
from inference.making import Shared
from inference.pool import Pool
from inference.tickets import Batch, Ticket
from inference.tuner import AutoTuner
from inference.tuning import Fit, Observed, fit, recommend
from inference.waiting import WaitingRoom
from lightmeter.catalog import Priority, StopReason
from lightmeter.settings import Serve
from support.cli import lightmeter
from support.server import Server


@pytest.mark.parametrize(
    ("points", "fixed", "each"),
    [
        ({1: 1.5, 2: 2.5, 4: 4.5}, 0.5, 1.0),
        ({4: 2.0}, 0.0, 0.5),
        ({1: 3.0, 2: 2.0, 4: 1.0}, 2.0, 0.0),
        ({1: 1.0, 2: 3.0}, 0.0, 1.25),
    ],
)
def test_fit(points: dict[int, float], fixed: float, each: float) -> None:
    """Seconds of a batch are a fixed part and one for each picture, neither below zero."""
    found = fit(points)

    assert (found.fixed, found.each) == pytest.approx((fixed, each), abs=1e-9)


def test_fit_nothing() -> None:
    """Nothing is concluded from nothing."""
    with pytest.raises(ValueError, match="nothing was measured"):
        fit({})


@pytest.mark.parametrize(
    ("target", "expected"),
    [(0.0, 13), (10.0, 13), (2.5, 4), (1.3, 1), (0.1, 1)],
)
def test_batch(target: float, expected: int) -> None:
    """The batch is as large as the target allows, where larger ones are worth it."""
    assert expected == recommend(Fit(0.4, 0.2), target=target, most=16, workers=1).batch


def test_no_larger_than_worth_it() -> None:
    """Where batching gains nothing, pictures are made one by one: that is the shortest wait."""
    advice = recommend(Fit(0.0, 0.5), target=0.0, most=16, workers=2)

    assert 1 == advice.batch


def test_target_out_of_reach() -> None:
    """A target that even single pictures miss is said to be out of reach."""
    advice = recommend(Fit(1.0, 1.0), target=0.5, most=8, workers=1)

    assert (1, 1) == (advice.batch, advice.concurrency)
    assert "beyond the target of 500 ms" in advice.reason


def test_concurrency() -> None:
    """With the advised number of requests open, the last one still keeps the target."""
    found, target, workers = Fit(0.1, 0.1), 2.0, 2
    advice = recommend(found, target=target, most=4, workers=workers)
    rounds = advice.concurrency / (advice.batch * workers)

    assert (rounds + 1) * found.seconds(advice.batch) <= target


def test_tune_command(tmp_path: Path) -> None:
    """``serve --tune`` measures batches on this machine, recommends, and ends."""
    ran = lightmeter(
        "serve", "--model", "still", "--data", tmp_path, "--tune", "--json", cwd=tmp_path
    )
    found = json.loads(ran.out)

    assert 0 == ran.code, ran.err
    assert ["1", "2", "4", "8"] == list(found["seconds_by_pictures"])
    assert 8 == found["advice"]["batch"]  # the stand-in takes as long for eight as for one


def test_tune_small_memory(tmp_path: Path) -> None:
    """Batches that the device has no memory for are neither measured nor advised."""
    ran = lightmeter(
        *("serve", "--model", "still", "--vram-cap", "8.01GiB", "--tune", "--json"),
        *("--data", str(tmp_path)),
        cwd=tmp_path,
    )
    found = json.loads(ran.out)

    assert ["1", "2"] == list(found["seconds_by_pictures"])
    assert 2 == found["advice"]["batch"]


def test_tune_no_model(tmp_path: Path) -> None:
    """A model that is none is refused in one line."""
    ran = lightmeter("serve", "--model", "/nowhere", "--tune", cwd=tmp_path)

    assert "does not exist" in ran.refusal()


def test_auto_tune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running server lowers its batch limit to keep the target, and writes down why."""
    assert tuner.EVERY_SECONDS > 1
    monkeypatch.setattr(tuner, "EVERY_SECONDS", 0.01)
    limits, records = asyncio.run(_tuned(tmp_path, seconds=lambda images: 0.4 + 0.3 * images))

    assert 2 == limits
    assert [(8, 2)] == [(record["from"], record["to"]) for record in records]
    assert "batches of 2" in records[0]["reason"]


async def _tuned(data: Path, *, seconds: Any) -> tuple[int, list[dict[str, Any]]]:

    settings = Serve.model_validate({"auto_tune": True, "latency_target": 2.0, "data": data})
    limits = Limits.of(settings)
    shared = Shared(
        settings, WaitingRoom(limits, 0.1), limits, Instruments(CollectorRegistry(), "s", "m")
    )
    job = warmup_job(64, 8)
    for images in (1, 2, 4):
        future = asyncio.get_running_loop().create_future()
        tickets = [Ticket(job, Priority.INTERACTIVE, 0.0, future)] * images
        shared.observed.saw(Batch(tickets, StopReason.FULL), seconds(images))
    running = asyncio.create_task(AutoTuner(settings, limits, shared.observed, Pool(shared)).run())
    await asyncio.sleep(0.1)
    running.cancel()
    lines = (data / "tuning.jsonl").read_text().splitlines()
    return limits.batch, [json.loads(line) for line in lines]


def test_operator_wins(tmp_path: Path) -> None:
    """An operator who lowers the batch limit is not overruled by the tuner half a minute later."""
    settings = Serve.model_validate({"auto_tune": True, "data": tmp_path})

    async def live() -> list[int]:
        limits = Limits.of(settings)
        shared = Shared(
            settings, WaitingRoom(limits, 0.1), limits, Instruments(CollectorRegistry(), "s", "m")
        )
        for images in (1, 2, 8):
            shared.observed.saw(_batch(64, images), 1.0)
        tuner, found = AutoTuner(settings, limits, shared.observed, Pool(shared)), []
        for most in (8, 2, 4):
            limits.change(LimitsChange.model_validate({"batch": most}), "ops")
            tuner.look()
            found.append(limits.batch)
        return found

    assert [8, 2, 4] == asyncio.run(live())


def test_busiest_of_late() -> None:
    """Where requests of another size come from today on, the tuner follows in a few hundred batches."""

    async def live() -> list[float]:
        observed, found = Observed(), []
        for side, batches in ((64, 10_000), (128, 300)):
            for _ in range(batches):
                observed.saw(_batch(side, 4), float(side))
            found.append(observed.busiest[4])
        return found

    assert [64.0, 128.0] == asyncio.run(live())


def test_alone() -> None:
    """A request alone is expected to take what such batches took, or what larger ones make likely."""

    async def run() -> list[float | None]:
        observed, one = Observed(), _batch(64, 1)
        told = [observed.alone(one.job)]
        observed.saw(_batch(64, 3), 5.0)
        observed.saw(_batch(64, 4), 6.0)
        told += [observed.alone(one.job), observed.alone(_batch(32, 1).job)]
        observed.saw(one, 3.5)
        return [*told, observed.alone(one.job)]

    assert [None, pytest.approx(3.0), None, 3.5] == asyncio.run(run())


def _batch(side: int, images: int) -> Batch:
    future = asyncio.get_running_loop().create_future()
    ticket = Ticket(warmup_job(side, 8), Priority.INTERACTIVE, 0.0, future)
    return Batch([ticket] * images, StopReason.FULL)


def test_interrupted_trial(tmp_path: Path) -> None:
    """Ctrl-C ends a trial run that still loads the model."""

    async def live() -> None:
        settings = Serve.model_validate({"model": "still", "data": tmp_path})
        running = asyncio.create_task(tuner.trial(settings, "still"))
        await asyncio.sleep(0.1)
        running.cancel()
        await asyncio.wait_for(running, 30)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(live())


def test_no_advice_no_change(tmp_path: Path) -> None:
    """A server that has seen one batch size only changes nothing."""
    with Server(tmp_path, "--auto-tune") as server:
        server.ready().post()

    assert not (tmp_path / "tuning.jsonl").exists()
