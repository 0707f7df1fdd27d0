"""A run from its settings to its result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from inference.load import arrivals, judge, tally
from inference.load.arrivals import Arrival, Window
from inference.load.asks import Mix, asks
from inference.load.client import Client, parse_endpoint, served_model
from inference.load.drive import Done, Drive, End
from lightmeter import roofline
from lightmeter.errors import SettingError
from lightmeter.settings_load import Load


DEFAULT_SECONDS = 30.0
"""How long a run is where neither a time, a number nor a trace ends it."""
BUSY = 0.8
"""Share of a core beyond which the figures may be the client's own."""
LATE = 0.1
"""Share of the median latency; requests that leave later than that say little of the server."""
STAND_INS = ("still", "tiny")
"""Built-in models that are not the Z-Image that the physical limit is computed for."""
LIGHT_SHARE, LIGHT_PATIENCE_SECONDS, LIGHT_CONNECTIONS = 0.2, 2.0, 256


@dataclass(frozen=True)
class Outcome:
    """The result as a document, and what it was made from."""

    result: dict[str, Any]
    done: list[Done]
    run: tally.Run


@dataclass(frozen=True)
class Job:
    """What is to be done: the settings, what to ask for, the arrivals of a trace, the limits."""

    load: Load
    mix: Mix
    trace: Sequence[Arrival] | None = None
    limits: Sequence[judge.Limit] = ()
    key: str | None = None

    @property
    def loop(self) -> Literal["closed", "open"]:
        """Whether requests wait for a client to be free."""
        return "open" if self.load.rps or self.trace is not None else "closed"

    @property
    def seconds(self) -> float:
        """How long counted requests are sent; 0 is until their number or the trace is done."""
        endless = not self.load.requests and self.trace is None
        return self.load.duration or (DEFAULT_SECONDS if endless else 0.0)


def check(job: Job) -> None:
    """Refuse what contradicts itself.

    Raises:
        SettingError: naming the options.
    """
    load = job.load
    given = [bool(load.concurrency), bool(load.rps), job.trace is not None]
    if sum(given) > 1:
        raise SettingError(
            "give one of --concurrency, --rps and --trace: each is a load of its own"
        )
    if load.speed != 1 and job.trace is None:
        raise SettingError("--speed is for a --trace; give --rps another value")
    if load.priority and load.batch_share is not None:
        raise SettingError("give --priority or --batch-share, not both")
    arrivals.parse_warmup(load.warmup)
    parse_endpoint(load.url)
    if load.gpu:
        roofline.gpu(load.gpu)


async def run(
    job: Job,
    stop: asyncio.Event,
    *,
    record: Callable[[Done], None],
    ready: Callable[[Window], None],
) -> Outcome:
    """Drive the load; ``record`` is told of each request that ended, ``ready`` before the first.

    Raises:
        ServerError: there is no server.
    """
    load, done = job.load, list[Done]()

    def keep(one: Done) -> None:
        done.append(one)
        record(one)

    window = Window(arrivals.parse_warmup(load.warmup), seconds=job.seconds, requests=load.requests)
    endpoint = parse_endpoint(load.url)
    async with Client(endpoint, timeout_seconds=load.timeout, key=job.key) as client:
        model = await served_model(client)
        ready(window)
        at, cpu = datetime.now(UTC), time.process_time()
        drive = Drive(client, window, keep, stop=stop, retry=load.retry)
        await _drive(drive, job)
    facts = tally.Run(
        loop=job.loop,
        clients=load.concurrency or 1,
        began=window.began or 0.0,
        ended=_end(drive, window, done, stopped=stop.is_set()),
        interrupted=stop.is_set(),
        cpu_seconds=time.process_time() - cpu,
    )
    return Outcome(document(job, done, facts, model=model, at=at), done, facts)


async def _drive(drive: Drive, job: Job) -> None:
    wanted = asks(_arrivals(job), job.mix, job.load.seed)
    if job.loop == "open":
        await drive.open_loop(wanted, job.load.connections)
    else:
        await drive.closed_loop(wanted, job.load.concurrency or 1)


def _arrivals(job: Job) -> Iterable[Arrival]:
    load = job.load
    if job.trace is not None:
        return job.trace
    if not load.rps:
        return arrivals.at_once()
    even = load.arrivals == "uniform"
    return arrivals.uniform(load.rps) if even else arrivals.poisson(load.rps, load.seed)


def _end(drive: Drive, window: Window, done: Iterable[Done], *, stopped: bool) -> float:
    """When the last counted answer came; an open loop lasts at least as long as it sends."""
    if stopped:
        return drive.now
    last = max((one.ended for one in done if not one.warmup), default=drive.now)
    return max(last, min(window.ends or 0.0, drive.now))


def document(
    job: Job, done: list[Done], facts: tally.Run, *, model: str | None, at: datetime
) -> dict[str, Any]:
    """Build the result: what was asked for, what came of it, and what to think of that. Pure."""
    load = job.load
    result = {
        "schema": 1,
        "url": str(parse_endpoint(load.url)),
        "model": model,
        "began": at.isoformat(timespec="seconds"),
        "loop": job.loop,
        "load": _load(job),
        **tally.summary(done, facts),
        "retries": tally.retries(done) if load.retry else None,
    }
    return result | {
        "roofline": _roofline(job, done, result),
        "checks": judge.judge(list(job.limits), result),
        "notes": list(_notes(result, load)),
    }


def _load(job: Job) -> dict[str, Any]:
    """Repeat what was asked for, so that a result can be understood and made again."""
    load = job.load
    fixed = {
        "seed": load.seed,
        "images": job.mix.images,
        "retry": load.retry,
        "picture_seeds": job.mix.picture_seeds,
        "shapes": [asdict(shape) for shape in job.mix.shapes],
    }
    if job.trace is not None:
        return {"kind": "trace", "requests": len(job.trace), "speed": load.speed, **fixed}
    if load.rps:
        return {"kind": "rate", "rps": load.rps, "arrivals": load.arrivals, **fixed}
    return {"kind": "clients", "concurrency": load.concurrency or 1, **fixed}


def _roofline(job: Job, done: list[Done], result: dict[str, Any]) -> dict[str, Any]:
    if not job.load.gpu:
        return {"skipped": "no --gpu is named"}
    rate = result["throughput"]["pictures_per_second"]
    gpu = roofline.gpu(job.load.gpu)
    found = tally.against_peak(done, rate, gpu, job.load.gpus)
    if found is None:
        return {"skipped": "neither the answers nor --shape tell sizes and steps"}
    model = result["model"]
    return {
        "gpu": gpu.name,
        "gpus": found.gpus,
        "peak_flop_per_second": gpu.peak,
        "source": gpu.source,
        "measured_pictures_per_second": found.measured,
        "limit_pictures_per_second": found.limit,
        "ratio": found.ratio,
        "possible": found.possible,
        "assumes": "Z-Image",
        "served": f"the served model is {model!r}, not Z-Image" if model in STAND_INS else None,
    }


def _notes(result: dict[str, Any], load: Load) -> Iterable[str]:
    requests, client = result["requests"], result["client"]
    if requests[End.UNSENT]:
        yield f"{requests[End.UNSENT]} requests were not sent, because all {load.connections} connections were busy when they were due; the latencies leave them out. Raise --connections or lower the rate."
    if requests[End.ABANDONED]:
        yield f"{requests[End.ABANDONED]} requests were given up when the run was stopped; the latencies leave them out."
    if client["cpu_ratio"] > BUSY:
        yield f"this client was busy {client['cpu_ratio']:.0%} of a core, so it may be what was measured; use several clients."
    lag, latency = client["send_lag_seconds"], result["latency_seconds"]["measured"]
    if lag and latency and lag["p99"] > LATE * latency["p50"]:
        yield f"1 % of the requests left {lag['p99'] * 1000:.0f} ms late or more; the corrected latency includes that, the measured one does not."


async def light(url: str, rps: float, stop: asyncio.Event, record: Callable[[Done], None]) -> None:
    """Drive a light load of both priorities until ``stop``, for demonstrations."""
    if not rps:
        await stop.wait()
        return
    window = Window(arrivals.Warmup(), seconds=0.0, requests=0)
    wanted = asks(arrivals.poisson(rps, 0), Mix(batch_share=LIGHT_SHARE, picture_seeds=True), 0)
    async with Client(parse_endpoint(url), timeout_seconds=600.0) as client:
        drive = Drive(client, window, record, stop=stop, patience_seconds=LIGHT_PATIENCE_SECONDS)
        await drive.open_loop(wanted, LIGHT_CONNECTIONS)
