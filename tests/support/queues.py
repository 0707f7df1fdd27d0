"""More independent answers for the replay: ranks, shared GPUs, reserves and timetables."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import ciw
import numpy as np
import simpy

from lightmeter.replay import Floats, Integers
from support.oracles import Gpu


def simpy_ranked(arrivals: Floats, services: Floats, ranks: Integers, servers: int) -> Floats:
    """Wait of each customer at SimPy's resource with priorities."""
    environment = simpy.Environment()
    gpus = simpy.PriorityResource(environment, capacity=servers)
    found = np.empty(len(arrivals))

    def customer(index: int) -> Generator[Any]:
        yield environment.timeout(float(arrivals[index]))
        arrived = environment.now
        with gpus.request(priority=int(ranks[index])) as turn:
            yield turn
            found[index] = environment.now - arrived
            yield environment.timeout(float(services[index]))

    for index in range(len(arrivals)):
        environment.process(customer(index))
    environment.run()
    return found


def ciw_ranked(arrivals: Floats, services: Floats, ranks: Integers, servers: int) -> Floats:
    """Wait of each customer at Ciw's node with priority classes."""
    names = [f"rank {rank}" for rank in range(int(ranks.max()) + 1)]
    indices = [np.flatnonzero(ranks == rank) for rank in range(len(names))]
    gaps = [[*np.diff(arrivals[index], prepend=0.0).tolist(), math.inf] for index in indices]
    network = ciw.create_network(
        arrival_distributions={name: [ciw.dists.Sequential(gap)] for name, gap in zip(names, gaps, strict=True)},
        service_distributions={name: [ciw.dists.Sequential(services[index].tolist())] for name, index in zip(names, indices, strict=True)},
        number_of_servers=[servers],
        priority_classes={name: rank for rank, name in enumerate(names)},
    )  # fmt: skip
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(float(arrivals[-1] + services.sum()) + 1.0)
    found = np.empty(len(arrivals))
    records = simulation.get_all_records()
    for name, index in zip(names, indices, strict=True):
        own = [record for record in records if record.customer_class == name]
        ordered = sorted(own, key=lambda record: record.arrival_date)
        found[index] = [record.waiting_time for record in ordered]
    return found


def ciw_sharing(arrivals: Floats, services: Floats, most: int) -> Floats:
    """End of each customer at Ciw's processor-sharing node that ``most`` may use at once.

    Ciw takes the service time when a customer arrives, so service times go by arrival here too.
    """
    gaps = [*np.diff(arrivals, prepend=0.0).tolist(), math.inf]
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential(gaps)],
        service_distributions=[ciw.dists.Sequential(services.tolist())],
        number_of_servers=[most],
    )
    simulation = ciw.Simulation(network, node_class=ciw.PSNode)
    simulation.simulate_until_max_time(float(arrivals[-1] + services.sum()) * 2 + 1.0)
    records = sorted(simulation.get_all_records(), key=lambda record: record.id_number)
    return np.array([record.exit_date for record in records])


@dataclass
class Resident:
    """A model on a GPU of a restated rule: what it works on, and how much of that is left."""

    gpu: int
    service: int
    job: int = -1
    left: float = 0.0


def sharing_rule(  # noqa: C901  (one loop over events, as plain as can be)
    arrivals: Floats, services: Floats, owner: Integers, residents: list[Resident], *, loss: float
) -> tuple[Floats, Floats]:
    """Play shared GPUs event by event; two or more at work on a GPU lose ``loss`` of its speed.

    Returns starts and ends.
    """
    starts, ends = np.full(len(arrivals), -1.0), np.empty(len(arrivals))
    waiting: list[int] = []
    now, coming = 0.0, 0

    def mates(gpu: int) -> int:
        return sum(one.job >= 0 and one.gpu == gpu for one in residents)

    def pace(one: Resident) -> float:
        count = mates(one.gpu)
        return (1.0 if count == 1 else 1.0 - loss) / count

    def seat(job: int) -> bool:
        idle = [one for one in residents if one.service == owner[job] and one.job < 0]
        if not idle:
            return False
        best = min(idle, key=lambda one: mates(one.gpu))
        best.job, best.left, starts[job] = job, float(services[job]), now
        return True

    while coming < len(arrivals) or any(one.job >= 0 for one in residents):
        busy = [one for one in residents if one.job >= 0]
        next_end = min((now + one.left / pace(one) for one in busy), default=math.inf)
        next_arrival = float(arrivals[coming]) if coming < len(arrivals) else math.inf
        then = min(next_end, next_arrival)
        paces = [pace(one) for one in busy]
        for one, its in zip(busy, paces, strict=True):
            one.left -= its * (then - now)
        now = then
        if next_arrival < next_end:
            if not seat(coming):
                waiting.append(coming)
            coming += 1
            continue
        one = min(busy, key=lambda busy_one: busy_one.left)
        ends[one.job] = now
        one.job = -1
        for job in waiting:
            if owner[job] == one.service:
                waiting.remove(job)
                seat(job)
                break
    return starts, ends


@dataclass
class Fleet:
    """GPUs that are on: the rented ones and those that were started."""

    rented: list[Gpu]
    started: list[Gpu] = field(default_factory=list)


def reserve_rule(
    arrivals: Floats, services: Floats, *, start: float, idle: float, sizes: tuple[int, int]
) -> tuple[list[float], list[tuple[float, float]]]:
    """Play ``sizes`` (rented, most started) GPUs: rented first, then what worked last, then a start.

    Of two that are free at the same instant the one that was given work last is taken; ``model``
    counts that here.
    """
    reserved, limit = sizes
    fleet = Fleet([Gpu() for _ in range(reserved)])
    waits, lives = [], []
    for index, (arrival, service) in enumerate(zip(arrivals, services, strict=True)):
        gone = [gpu for gpu in fleet.started if gpu.free + idle <= arrival]
        lives += [(gpu.born, gpu.free + idle) for gpu in gone]
        fleet.started = [gpu for gpu in fleet.started if gpu.free + idle > arrival]
        everyone = [*fleet.rented, *fleet.started]
        resting = [gpu for gpu in fleet.rented if gpu.free <= arrival]
        resting = resting or [gpu for gpu in fleet.started if gpu.free <= arrival]
        if resting:
            gpu, begin = max(resting, key=lambda one: (one.free, one.model)), arrival
        elif len(fleet.started) < limit and all(one.free > arrival + start for one in everyone):
            gpu, begin = Gpu(born=float(arrival)), arrival + start
            fleet.started.append(gpu)
        else:
            gpu = min(everyone, key=lambda one: (one.free, -one.model))
            begin = gpu.free
        gpu.free, gpu.model = float(begin + service), index
        waits.append(float(begin - arrival))
    return waits, sorted([*lives, *((gpu.born, gpu.free + idle) for gpu in fleet.started)])


def cobham(rates: list[float], mean: float, second_moment: float) -> list[float]:
    """Mean wait of each rank in M/G/1 with ranks that never interrupt, all of one service time.

    A. Cobham, Operations Research 2 (1954) 70: W_k = λE[S²]/2 / ((1-L_{k-1})(1-L_k)), L the load
    of the ranks up to k.
    """
    residual = sum(rates) * second_moment / 2
    found, before = [], 0.0
    for rate in rates:
        upto = before + rate * mean
        found.append(residual / ((1 - before) * (1 - upto)))
        before = upto
    return found
