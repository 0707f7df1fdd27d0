"""Independent answers to hold the replay against: two simulators, two restatements, the textbook."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import ciw
import numpy as np
import simpy

from lightmeter.replay import Floats, Integers


def on_grid(values: Floats) -> Floats:
    """Round to whole 2**-20 s: sums of such floats are exact, in whatever order they are taken."""
    rounded: Floats = np.round(values * 2**20) / 2**20
    return rounded


def arrivals_at(rate: float, n: int, seed: int) -> Floats:
    """Poisson arrivals on the grid, seconds."""
    return np.cumsum(on_grid(np.random.default_rng(seed).exponential(1 / rate, n)))


def simpy_waits(arrivals: Floats, services: Floats, servers: int) -> Floats:
    """Wait of each customer according to SimPy."""
    environment = simpy.Environment()
    gpus = simpy.Resource(environment, capacity=servers)
    found = np.empty(len(arrivals))

    def customer(index: int, service: float) -> Generator[Any]:
        arrived = environment.now
        with gpus.request() as turn:
            yield turn
            found[index] = environment.now - arrived
            yield environment.timeout(service)

    def source() -> Generator[Any]:
        rows = zip(arrivals.tolist(), services.tolist(), strict=True)
        for index, (arrival, service) in enumerate(rows):
            yield environment.timeout(arrival - environment.now)
            environment.process(customer(index, service))

    environment.process(source())
    environment.run()
    return found


def ciw_waits(arrivals: Floats, services: Floats, servers: int) -> Floats:
    """Wait of each customer according to Ciw."""
    gaps = [*np.diff(arrivals, prepend=0.0).tolist(), math.inf]  # then nobody comes any more
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential(gaps)],
        service_distributions=[ciw.dists.Sequential(services.tolist())],
        number_of_servers=[servers],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(float(arrivals[-1] + services.sum()) + 1.0)
    records = sorted(simulation.get_all_records(), key=lambda record: record.id_number)
    return np.array([record.waiting_time for record in records])


@dataclass
class Gpu:
    """A GPU of a restated dispatch rule."""

    model: int = -1
    free: float = 0.0
    born: float = 0.0


def pool_rule(
    arrivals: Floats, services: Floats, models: Integers, *, servers: int, swap: float
) -> tuple[list[float], list[bool]]:
    """Dispatch to the earliest start, then to the GPU with the model, then to the longest idle."""
    names, counts = np.unique(models, return_counts=True)
    popular = [int(name) for _, name in sorted(zip(-counts, names, strict=True))]
    gpus = [Gpu(model=popular[index % len(popular)]) for index in range(servers)]
    waits, swapped = [], []
    for arrival, service, model in zip(arrivals, services, models, strict=True):
        keys = [
            (max(arrival, gpu.free) + swap * (gpu.model != model), gpu.model != model, gpu.free)
            for gpu in gpus
        ]
        chosen = gpus[min(range(servers), key=keys.__getitem__)]
        start, other, _ = min(keys)
        waits.append(float(start - arrival))
        swapped.append(bool(other))
        chosen.model, chosen.free = int(model), float(start + service)
    return waits, swapped


def elastic_rule(
    arrivals: Floats, services: Floats, *, start: float, idle: float, limit: int
) -> tuple[list[float], list[tuple[float, float]]]:
    """Start GPUs for the load, one object each, looking at all of them for every request."""
    on: list[Gpu] = []
    waits, lives = [], []
    for arrival, service in zip(arrivals, services, strict=True):
        lives += [(gpu.born, gpu.free + idle) for gpu in on if gpu.free + idle <= arrival]
        on = [gpu for gpu in on if gpu.free + idle > arrival]
        resting = [gpu for gpu in on if gpu.free <= arrival]
        if resting:
            gpu, begin = max(resting, key=lambda one: one.free), arrival
        elif len(on) < limit and all(one.free > arrival + start for one in on):
            gpu, begin = Gpu(born=float(arrival)), arrival + start
            on.append(gpu)
        else:
            gpu = min(on, key=lambda one: one.free)
            begin = gpu.free
        gpu.free = float(begin + service)
        waits.append(float(begin - arrival))
    return waits, sorted([*lives, *((gpu.born, gpu.free + idle) for gpu in on)])


def erlang_c_wait(rate: float, mean: float, servers: int) -> float:
    """Mean wait in M/M/c: rate per second, mean service in seconds."""
    load = rate * mean
    blocked = 1.0  # Erlang B, by its recursion
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    use = load / servers
    waiting = blocked / (1 - use * (1 - blocked))
    return waiting / (servers / mean - rate)


def pollaczek_khinchine(rate: float, mean: float, second_moment: float) -> float:
    """Mean wait in M/G/1."""
    return rate * second_moment / (2 * (1 - rate * mean))


def cold_start(
    rate: float, mean: float, second_moment: float, *, start: float, idle: float
) -> tuple[float, float]:
    """Mean wait, and share of time on, of M/G/1 with set-up time and idle timeout."""
    passes = math.exp(-rate * idle)  # the timeout passes before the next arrival
    first, second = passes * start, passes * start**2
    wait = pollaczek_khinchine(rate, mean, second_moment)
    wait += (2 * first + rate * second) / (2 * (1 + rate * first))
    busy = (first + mean) / (1 - rate * mean)
    return wait, ((1 - passes) / rate + busy) / (1 / rate + busy)
