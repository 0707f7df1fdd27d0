"""Independent answers for GPUs that are not always on, urgent requests first: processes in SimPy."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy

from lightmeter.replay import Floats, Integers


HOUR = 3600.0


@dataclass
class Machine:
    """A GPU: when its work ends, when that began, and what to tell it where it is idle."""

    born: float
    rented: bool
    free: float
    wake: Any = None


@dataclass
class World:
    """GPUs that are started where the last in line would begin later than a new one is ready."""

    environment: Any
    loads: tuple[Floats, Floats, Integers]
    start: float
    idle: float
    line: list[int] = field(default_factory=list)
    on: list[Machine] = field(default_factory=list)
    waits: dict[int, float] = field(default_factory=dict)
    lives: list[tuple[float, float]] = field(default_factory=list)

    def forecast(self) -> float:
        """When the last in line begins, if nobody else comes."""
        frees, begin = sorted(one.free for one in self.on), math.inf
        for job in self.line:
            if frees:
                begin = frees.pop(0)
                frees = sorted([*frees, begin + self.loads[1][job]])
        return begin

    def gpu(self, machine: Machine) -> Generator[Any]:
        """Boot, serve who is first in line, and leave where nobody comes for long."""
        now = self.environment
        yield now.timeout(machine.free - now.now)
        while True:
            if not self.line:
                machine.wake = now.event()
                yield machine.wake if machine.rented else machine.wake | now.timeout(self.idle)
                if not machine.wake.triggered:
                    self.lives.append((machine.born, now.now))
                    self.on.remove(machine)
                    return
                machine.wake = None
            job = self.line.pop(0)
            self.waits[job] = now.now - self.loads[0][job]
            machine.free = now.now + self.loads[1][job]
            yield now.timeout(float(self.loads[1][job]))

    def customers(self, limit: int) -> Generator[Any]:
        """Join the line by rank; wake whoever worked last, or start one."""
        arrivals, _, ranks = self.loads
        for job, arrival in enumerate(arrivals):
            yield self.environment.timeout(float(arrival) - self.environment.now)
            self.line = sorted([*self.line, job], key=lambda one: (int(ranks[one]), one))
            resting = [one for one in self.on if one.wake is not None]
            if resting:
                max(resting, key=lambda one: (one.rented, one.free)).wake.succeed()
                yield self.environment.timeout(0.0)
            elif (
                sum(not one.rented for one in self.on) < limit
                and self.forecast() > arrival + self.start
            ):
                born = Machine(float(arrival), rented=False, free=float(arrival + self.start))
                self.on.append(born)
                self.environment.process(self.gpu(born))


def simpy_elastic(
    loads: tuple[Floats, Floats, Integers], *, start: float, idle: float, sizes: tuple[int, int]
) -> tuple[list[float], list[tuple[float, float]]]:
    """Wait of each request, and the lives of the GPUs that were started; ``sizes`` rented, most started."""
    environment = simpy.Environment()
    world = World(environment, loads, start, idle)
    for _ in range(sizes[0]):
        rented = Machine(0.0, rented=True, free=0.0)
        world.on.append(rented)
        environment.process(world.gpu(rented))
    environment.process(world.customers(sizes[1]))
    environment.run()
    return [world.waits[job] for job in range(len(loads[0]))], sorted(world.lives)


def simpy_timed(loads: tuple[Floats, Floats, Integers], counts: list[int]) -> list[float]:
    """Wait of each request for GPUs that take no work at closed hours."""
    arrivals, services, ranks = loads
    environment = simpy.Environment()
    store = simpy.PriorityStore(environment)
    waits: dict[int, float] = {}

    def customers() -> Generator[Any]:
        for job, arrival in enumerate(arrivals):
            yield environment.timeout(float(arrival) - environment.now)
            yield store.put(simpy.PriorityItem((int(ranks[job]), job), job))

    def gpu(number: int) -> Generator[Any]:
        while len(waits) < len(arrivals):
            hour = math.floor(environment.now / HOUR)
            if counts[hour % len(counts)] <= number:
                yield environment.timeout((hour + 1) * HOUR - environment.now)
                continue
            turn = store.get()
            yield turn | environment.timeout((hour + 1) * HOUR - environment.now)
            if not turn.triggered:
                turn.cancel()
                continue
            job = turn.value.item
            waits[job] = environment.now - arrivals[job]
            yield environment.timeout(float(services[job]))

    environment.process(customers())
    for number in range(max(counts)):
        environment.process(gpu(number))
    environment.run(until=float(arrivals[-1] + services.sum()) + 100 * HOUR)
    return [float(waits[job]) for job in range(len(arrivals))]


def simpy_apart(loads: tuple[Floats, Floats, Integers], owner: Integers, loss: float) -> Floats:
    """End of each request on one GPU with a replica for each service, in steps of SimPy's clock.

    Requests at work share the GPU evenly; a replica takes the most urgent that waits for it.
    """
    arrivals, services, ranks = loads
    environment = simpy.Environment()
    replicas = [simpy.PriorityResource(environment) for _ in range(int(owner.max()) + 1)]
    left: dict[int, float] = {}
    ends = np.empty(len(arrivals))
    changed = [environment.event()]

    def tell() -> None:
        told, changed[0] = changed[0], environment.event()
        told.succeed()

    def customer(job: int) -> Generator[Any]:
        yield environment.timeout(float(arrivals[job]))
        with replicas[owner[job]].request(priority=int(ranks[job])) as turn:
            yield turn
            left[job] = float(services[job])
            tell()
            while left[job] > 1e-9:
                pace = (1.0 if len(left) == 1 else 1.0 - loss) / len(left)
                since = environment.now
                yield changed[0] | environment.timeout(left[job] / pace)
                left[job] -= pace * (environment.now - since)
            del left[job]
            ends[job] = environment.now
            tell()

    for job in range(len(arrivals)):
        environment.process(customer(job))
    environment.run()
    return ends
