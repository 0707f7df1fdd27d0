"""Several models on a GPU at once, each getting a part of its speed: processor sharing. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lightmeter.replay.engine import (
    Engine,
    Floats,
    Integers,
    floats,
    integers,
    need_equal,
    order_of,
    part,
    run,
)
from lightmeter.replay.urgent import by_arrival


@dataclass(frozen=True)
class Replicas:
    """Models resident on GPUs: int arrays (replicas,), ``gpu`` where it is and ``service`` whose.

    ``speeds`` (gpus, k) is the total speed of each GPU with 1, 2, ... of its replicas at work, in
    GPUs of the service times; the last column stands for more. A replica serves one request at a
    time; those at work on a GPU progress at the same pace.
    """

    gpu: Integers
    service: Integers
    speeds: Floats


@dataclass(frozen=True)
class Together:
    """When each request started and ended, float arrays (n,) in seconds; and on which replica."""

    starts: Floats
    ends: Floats
    replica: Integers


def together(
    arrivals: Floats,
    services: Floats,
    owner: Integers,
    replicas: Replicas,
    *,
    ranks: Integers | None = None,
    engine: Engine = "auto",
) -> Together:
    """Replay requests on the replicas of their service, ``owner`` (n,), first come, first served.

    A request takes an idle replica of its service, on the GPU with the fewest at work; where none is
    idle it waits. With one GPU and a replica for every request at speed 1 this is processor sharing
    (M/G/1-PS: Kleinrock, Queueing Systems, vol. 2, 1976, section 4.4).

    With ``ranks``, an int array (n,), a replica that becomes idle takes the lowest rank that waits
    for its service. Requests at work on a GPU progress alike, whatever their ranks.

    Raises:
        ValueError: a service has requests and no replica.
    """
    need_equal(arrivals, services)
    n, order = len(arrivals), np.argsort(replicas.gpu, kind="stable")
    gpu, service = integers(replicas.gpu)[order], integers(replicas.service)[order]
    gpus, names = len(replicas.speeds), int(max(service.max(initial=0), owner.max(initial=0))) + 1
    counts = np.bincount(owner, minlength=names)
    missing = np.flatnonzero(counts)
    missing = missing[~np.isin(missing, service)]
    if len(missing):
        raise ValueError(f"service {missing[0]} has requests and no replica")
    by_service = integers(np.argsort(service, kind="stable"))
    ranks = np.zeros(n, dtype=np.int64) if ranks is None else integers(ranks)
    levels = int(ranks.max(initial=0)) + 1
    by = by_arrival(arrivals, ranks)
    lines = integers(owner[by] * levels + ranks[by])
    queue = order_of(lines)
    counts = np.bincount(lines, minlength=names * levels)
    heads = integers(np.cumsum(counts) - counts)
    starts, ends, replica = np.empty(n), np.empty(n), np.zeros(n, dtype=np.int64)
    run(
        _together,
        floats(arrivals[by]),
        floats(services[by]),
        (lines, levels),
        (gpu, service),
        integers(np.searchsorted(gpu, np.arange(gpus + 1))),
        (by_service, integers(np.searchsorted(service[by_service], np.arange(names + 1)))),
        (queue, heads, heads.copy()),
        floats(replicas.speeds),
        (np.zeros(len(gpu)), np.full(len(gpu), -1)),
        (np.zeros(gpus), np.zeros(gpus), np.zeros(gpus, dtype=np.int64), np.full(gpus, math.inf)),
        (starts, ends, replica),
        engine=engine,
    )
    back, replica = np.argsort(by), replica if gpus == 1 else order[replica]
    return Together(starts[back], ends[back], replica[back])


@part
def _choose(  # noqa: PLR0917  (a kernel takes its arrays one by one)
    name: int, listed: Any, bounds: Any, gpu_of: Any, job: Any, active: Any
) -> int:
    """Return the service's idle replica on the GPU with the fewest at work, -1 where none is idle."""
    found = -1
    for place in range(bounds[name], bounds[name + 1]):
        r = listed[place]
        if job[r] < 0 and (found < 0 or active[gpu_of[r]] < active[gpu_of[found]]):
            found = r
    return found


@part
def _first(begin: int, end: int, job: Any, finish: Any) -> int:
    """Return which of a GPU's replicas at work ends first, -1 where none works."""
    found = -1
    for r in range(begin, end):
        if job[r] >= 0 and (found < 0 or finish[r] < finish[found]):
            found = r
    return found


@part
def _line(first: int, levels: int, heads: Any, arrived: Any) -> int:
    """Return the most urgent of a service's lines that somebody waits in, else the last."""
    line = first
    while line < first + levels - 1 and heads[line] == arrived[line]:
        line += 1
    return line


@part
def _next_due(due: Any) -> int:
    """Return the GPU on which a request ends first."""
    g = 0
    for other in range(1, len(due)):
        if due[other] < due[g]:
            g = other
    return g


@part
def _gone(  # noqa: PLR0917  (a kernel takes its arrays one by one)
    i: int, arrivals: Any, services: Any, gpus: Any, results: Any
) -> bool:
    """Serve a request that finds the only GPU idle and is gone before the next comes: most are."""
    speeds, active = gpus
    if len(active) > 1 or active[0]:
        return False
    end = max(arrivals[i], arrivals[i] + services[i] / speeds[0][0])
    if i + 1 < len(arrivals) and arrivals[i + 1] < end:
        return False
    results[0][i], results[1][i] = arrivals[i], end
    return True


def _together(  # noqa: PLR0913, PLR0917  (a kernel: one loop, its arrays one by one)
    arrivals: Any,
    services: Any,
    lined: Any,
    residents: Any,
    of_gpu: Any,
    of_service: Any,
    of_queue: Any,
    speeds: Any,
    working: Any,
    states: Any,
    results: Any,
) -> int:
    (lines, levels), (gpu_of, service_of) = lined, residents
    queue, heads, arrived = of_queue
    finish, job = working  # in work done by each of the GPU's jobs since it was idle; -1 is idle
    done, at, active, due = states
    starts, ends, replica = results
    i, n, left = 0, len(arrivals), len(arrivals)
    while left:
        g = _next_due(due)
        if i < n and arrivals[i] < due[g]:
            now, line, name = arrivals[i], lines[i], lines[i] // levels
            i += 1
            arrived[line] += 1
            if _gone(i - 1, arrivals, services, (speeds, active), results):
                replica[i - 1] = of_service[0][of_service[1][name]]
                heads[line], left = heads[line] + 1, left - 1
                continue
            r = _choose(name, of_service[0], of_service[1], gpu_of, job, active)
            if r < 0:
                continue
            g = gpu_of[r]
            if active[g]:
                pace = speeds[g][min(active[g], len(speeds[g])) - 1] / active[g]
                done[g] += (now - at[g]) * pace
        else:
            now = due[g]
            r = _first(of_gpu[g], of_gpu[g + 1], job, finish)
            done[g] = finish[r]
            ends[job[r]] = now
            job[r] = -1
            active[g] -= 1
            left -= 1
            line = _line(service_of[r] * levels, levels, heads, arrived)
        at[g] = now
        if not active[g]:
            done[g] = 0.0
        if heads[line] < arrived[line]:  # r is idle and somebody waits for it
            k = queue[heads[line]]
            heads[line] += 1
            starts[k], replica[k] = now, r
            job[r], finish[r] = k, done[g] + services[k]
            active[g] += 1
        due[g] = math.inf
        if active[g]:
            soonest = finish[_first(of_gpu[g], of_gpu[g + 1], job, finish)]
            pace = speeds[g][min(active[g], len(speeds[g])) - 1] / active[g]
            due[g] = max(now, now + (soonest - done[g]) / pace)
    return 0
