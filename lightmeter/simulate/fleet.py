"""A fleet whose size changes: first come, first served, one request on a replica at a time.

The recursion is that of `lightmeter.replay`: keep when each replica becomes free; a request starts
at the later of its arrival and the earliest of those times. A replica that boots is one that is
free when it is ready, and one that is let go leaves the heap when its request is done. A request is
given to a replica only when it starts, since the fleet may be another by then.
"""

from __future__ import annotations

import heapq
import math

from lightmeter.replay import Floats


class Fleet:
    """Replicas and the requests that they serve; time moves forward by `step`."""

    def __init__(self, arrivals: Floats, services: Floats, wait: float) -> None:
        """Prepare an empty fleet at time 0; ``wait`` is the longest wait that is no violation."""
        self.arrivals: list[float] = arrivals.tolist()
        self.services: list[float] = services.tolist()
        self.wait = wait
        self.replicas: list[tuple[float, float, float]] = []
        """A heap of (free at, ready at, ordered at)."""
        self.running: list[tuple[float, float, float]] = []
        """A heap of (ends at, service, arrived at)."""
        self.starts: list[float] = []
        self.start_sum = 0.0
        self.violations: list[int] = [0]
        """Of the first k requests."""
        self.lives: list[tuple[float, float]] = []
        """(ordered at, let go at) of the replicas that are gone."""
        self.cold: list[int] = []
        """Requests that waited for a replica to boot."""

    def step(self, until: float) -> None:
        """Start every request that can start before ``until``."""
        replicas, arrivals = self.replicas, self.arrivals
        if not replicas:
            return
        index, count, swap = len(self.starts), len(arrivals), heapq.heapreplace
        late = self.violations[-1]
        while index < count:
            arrival = arrivals[index]
            free, ready, ordered = replicas[0]
            start = arrival if arrival > free else free  # noqa: FURB136  (max() takes 1.6 times as long)
            if start >= until:
                break
            service = self.services[index]
            swap(replicas, (start + service, ready, ordered))
            heapq.heappush(self.running, (start + service, service, arrival))
            if free == ready and free > arrival:
                self.cold.append(index)
            late += start - arrival > self.wait
            self.violations.append(late)
            self.starts.append(start)
            self.start_sum += start
            index += 1

    def order(self, now: float, ready: float) -> None:
        """Start a replica that can serve from ``ready`` on."""
        heapq.heappush(self.replicas, (ready, ready, now))

    def dismiss(self, count: int, now: float) -> None:
        """Let ``count`` replicas go: those that boot, latest order first; idle ones; those free soonest.

        A busy one is drained, and billed until then.
        """
        booting = sorted((one for one in self.replicas if one[1] > now), key=lambda one: -one[2])
        for one in booting[:count]:
            self.replicas.remove(one)
            self.lives.append((one[2], now))
        heapq.heapify(self.replicas)
        for _ in range(count - len(booting[:count])):
            free, _, ordered = heapq.heappop(self.replicas)
            self.lives.append((ordered, max(now, free)))

    def close(self) -> float:
        """Serve what waits, let all replicas go, and return when the last request ended.

        A replica is billed to that instant.
        """
        self.step(math.inf)
        ends = [start + service for start, service in zip(self.starts, self.services, strict=False)]
        end = max(ends, default=0.0)
        end = max(end, self.arrivals[-1] if self.arrivals else 0.0)
        self.lives += [(ordered, max(end, ordered)) for _, _, ordered in self.replicas]
        self.replicas.clear()
        return end
