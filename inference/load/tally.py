"""What came of a run, in numbers. Pure.

Two latencies are told. As measured: from the moment a request left to its answer. Corrected for
coordinated omission, the fault of a client that sends nothing while it waits and so never meets the
stall that it should measure: in the open loop, from the moment the request was due; in the closed
loop by back-filling, see `back_filled`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from inference.load.drive import Done, End
from lightmeter import roofline
from lightmeter.units import megapixels


Floats = npt.NDArray[np.float64]
PERCENTILES = (50, 90, 95, 99)
LATENCIES = ("mean", *(f"p{rank}" for rank in PERCENTILES), "max")
CORRECTIONS = {
    "closed": "back-filled as HdrHistogram does",
    "open": "from the moment that the request was due",
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is known of a run beside its requests; times are seconds after its start."""

    loop: Literal["closed", "open"]
    clients: int
    """Of the closed loop."""
    began: float
    """When the warm-up was over."""
    ended: float
    """When the last request had its answer, or the run was stopped."""
    interrupted: bool
    cpu_seconds: float
    """CPU time that this client took, warm-up included."""


def back_filled(latencies: Floats, interval: float) -> Floats:
    """Add the requests that a waiting client did not send: for each latency, it less 1, 2, ... intervals.

    HdrHistogram's recordValueWithExpectedInterval (https://github.com/HdrHistogram/HdrHistogram);
    nothing is added below one interval. That the expected interval is the mean time between the
    requests of one connection is wrk's choice (https://github.com/wg/wrk, src/wrk.c). Where pictures
    of very different cost are mixed, a large one counts as a stall: trust the open loop there.
    """
    times = np.maximum(np.floor(latencies / interval + 1e-9) - 1, 0).astype(np.int64)
    before = np.cumsum(times) - times
    steps = np.arange(times.sum()) - np.repeat(before, times) + 1
    return np.concatenate([latencies, np.repeat(latencies, times) - steps * interval])


def spread(seconds: Iterable[float | None]) -> dict[str, float] | None:
    """Mean, percentiles and maximum of what is known; None where nothing is."""
    known = np.array([value for value in seconds if value is not None], dtype=np.float64)
    if not known.size:
        return None
    ranks = np.quantile(known, [rank / 100 for rank in PERCENTILES])
    values = (known.mean(), *ranks, known.max())
    return {name: float(value) for name, value in zip(LATENCIES, values, strict=True)}


def answered(every: Iterable[Done]) -> list[Done]:
    """Pick the counted requests that were answered with a picture."""
    return [one for one in every if one.end is End.OK and not one.warmup]


def measured(done: Iterable[Done]) -> Floats:
    """Seconds from the moment each request left to its answer; of a retried one, the wait included."""
    return np.array([one.ended - one.sent for one in done], dtype=np.float64)


def corrected(every: Sequence[Done], run: Run) -> Floats:
    """Latencies of the answered requests without coordinated omission."""
    done = answered(every)
    if run.loop == "open":
        return np.array([one.ended - one.due for one in done], dtype=np.float64)
    return back_filled(measured(done), expected_interval(every, run))


def expected_interval(every: Iterable[Done], run: Run) -> float:
    """Mean seconds between the requests of one client of the closed loop."""
    ended = sum(one.end in (End.OK, End.FAILED) and not one.warmup for one in every)
    return max(run.ended - run.began, 1e-9) * run.clients / max(ended, 1)


def summary(every: Sequence[Done], run: Run) -> dict[str, Any]:
    """Count and measure the requests that came after the warm-up."""
    done = [one for one in every if not one.warmup]
    by_end = {end: [one for one in done if one.end is end] for end in End}
    ok = by_end[End.OK]
    seconds = max(run.ended - run.began, 1e-9)
    pictures = sum(one.facts.pictures for one in ok)
    work = total(ok, lambda width, height, forwards: megapixels(width, height) * forwards)
    return {
        "seconds": seconds,
        "interrupted": run.interrupted,
        "requests": {
            "due": len(done),
            **{end.value: len(found) for end, found in by_end.items()},
            "warmup": len(every) - len(done),
        },
        "pictures": pictures,
        "throughput": {
            "requests_per_second": len(ok) / seconds,
            "pictures_per_second": pictures / seconds,
            "megapixel_forwards_per_second": None if work is None else work / seconds,
            "offered_requests_per_second": _offered(done),
        },
        "latency_seconds": {
            "measured": spread(measured(ok)),
            "corrected": spread(corrected(every, run)),
            "correction": CORRECTIONS[run.loop],
            "expected_interval": expected_interval(every, run) if run.loop == "closed" else None,
        },
        "queue_seconds": spread(one.facts.queue_seconds for one in ok),
        "gpu_seconds": spread(one.facts.gpu_seconds for one in ok),
        "errors": _errors(by_end[End.FAILED]),
        "client": _client(done, run),
    }


def _offered(done: Iterable[Done]) -> float | None:
    """Requests a second while requests were due; None where fewer than two were."""
    due = [one.due for one in done]
    span = max(due) - min(due) if due else 0.0
    return (len(due) - 1) / span if span else None


def total(ok: Iterable[Done], cost: Any) -> float | None:
    """Sum ``cost(width, height, forwards)`` over all pictures; None where a shape is not known."""
    found = 0.0
    for one in ok:
        width, height = one.facts.width or one.ask.width, one.facts.height or one.ask.height
        forwards = one.facts.forwards or one.ask.steps
        if not (width and height and forwards):
            return None
        found += one.facts.pictures * cost(width, height, forwards)
    return found


def _errors(failed: Iterable[Done]) -> list[dict[str, Any]]:
    """Group by status, or by problem where there was none; the most frequent first."""
    groups: dict[tuple[int, str], list[Done]] = {}
    for one in failed:
        groups.setdefault((one.status or 0, one.problem or ""), []).append(one)
    return [
        {
            "status": status or None,
            "count": len(found),
            "with_retry_after": sum(one.retry_after is not None for one in found),
            "message": problem or next((m for one in found if (m := one.facts.message)), None),
        }
        for (status, problem), found in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def retries(every: Iterable[Done]) -> dict[str, Any]:
    """Say how many requests were refused with Retry-After, and how many of those were made after it."""
    again = [one for one in every if one.first_status is not None and not one.warmup]
    made = sum(one.end is End.OK for one in again)
    return {
        "refused": len(again),
        "made_at_first_retry": made,
        "success_ratio": made / len(again) if again else None,
    }


def _client(done: Iterable[Done], run: Run) -> dict[str, Any]:
    """Tell whether this client can have been the bottleneck."""
    lags = spread(one.sent - one.due for one in done if one.end is not End.UNSENT)
    return {
        "cpu_ratio": run.cpu_seconds / max(run.ended, 1e-9),
        "send_lag_seconds": {key: lags[key] for key in ("p50", "p99", "max")} if lags else None,
    }


def against_peak(
    every: Iterable[Done], pictures_per_second: float, gpu: roofline.Gpu, gpus: int
) -> roofline.Roofline | None:
    """Set what was made against what the GPUs can make of the same mix; None where shapes are not known."""
    ok = answered(every)
    pictures = sum(one.facts.pictures for one in ok)
    flop = total(ok, roofline.picture_flop)
    return (
        roofline.against(pictures_per_second, flop / pictures, gpu, gpus)
        if flop and pictures
        else None
    )
