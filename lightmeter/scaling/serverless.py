"""The autoscalers of Knative and Ray Serve, restated; and the founding article's rules."""

from __future__ import annotations

import math

from lightmeter.scaling.signals import Observations
from lightmeter.scaling.window import Greatest, Mean


class Knative:
    """The Knative Pod Autoscaler on concurrency.

    ceil(mean of 60 s / target), or in panic, while 6 s ask for twice the ready pods, ceil(mean of
    6 s / target), which then never falls; at most halved and at most 1000-fold at a step; the
    greatest wish of ``delay``; to zero 30 s after the wish. The first request from zero is held by
    the activator, which wakes it at once. Ready pods count, starting ones do not: at no ready pod
    it reckons with one.
    https://github.com/knative/serving/blob/main/pkg/autoscaler/scaling/autoscaler.go at 98e5ef9
    (2026-08); defaults of config-autoscaler: target 1 x 70 %, delay 0. The 6 s are the instant of
    the look here, and looks are a tick apart instead of 2 s.
    """

    wakes = True
    STABLE, PANIC, DOWN, UP, GRACE = 60.0, 2.0, 2.0, 1000.0, 30.0

    def __init__(self, target: float = 0.7, delay: float = 0.0, least: int = 0) -> None:
        self._target, self._least = target, least
        self._delay = Greatest(delay)
        self._mean = Mean(self.STABLE)
        self._panic_since: float | None = None
        self._panic_pods = 0
        self._zero_since: float | None = None

    def replicas(self, seen: Observations, now: float) -> int:
        """Name a number of replicas; what cannot be seen changes nothing."""
        current = int(seen.ready or 0) + int(seen.starting or 0)
        if seen.in_flight is None or seen.concurrency is None or seen.ready is None:
            return current
        stable = self._mean.add(now, seen.concurrency)
        wish = self._wish(stable, seen.in_flight, max(1, int(seen.ready)), now)
        if current == 0 and seen.in_flight > 0:
            wish = max(1, wish)  # the activator's own report
        wish = max(self._least, self._delay.add(now, wish))
        return wish or self._to_zero(current, now)

    def _wish(self, stable: float, instant: float, ready: int, now: float) -> int:
        low, high = math.floor(ready / self.DOWN), math.ceil(ready * self.UP)
        for_stable = min(max(math.ceil(stable / self._target - 1e-9), low), high)
        raw_panic = math.ceil(instant / self._target)
        for_panic = min(max(raw_panic, low), high)
        over = raw_panic / ready >= self.PANIC
        if over:
            self._panic_since = now
        elif self._panic_since is not None and self._panic_since + self.STABLE < now:
            self._panic_since, self._panic_pods = None, 0
        if self._panic_since is None:
            return for_stable
        self._panic_pods = max(self._panic_pods, for_stable, for_panic)
        return self._panic_pods

    def _to_zero(self, current: int, now: float) -> int:
        if current == 0:
            self._zero_since = None
            return 0
        if self._zero_since is None or self._zero_since > now:
            self._zero_since = now
        if now - self._zero_since < self.GRACE:
            return 1
        self._zero_since = None
        return 0


class Ray:
    """Ray Serve's request-based autoscaling: ceil(mean ongoing of 30 s / target).

    A step up after 30 s of the same wish, down after 600 s; from none at once.
    https://github.com/ray-project/ray/blob/master/python/ray/serve/autoscaling_policy.py and
    config.py, read 2026-11; defaults: target 2, at least 1 replica. Looks are a tick apart instead
    of 0.1 s.
    """

    wakes = False

    def __init__(
        self, target: float = 2.0, down: float = 600.0, least: int = 1, *, up: float = 30.0
    ) -> None:
        self._target, self._least, self._up, self._down = target, least, up, down
        self._mean = Mean(30.0)
        self._since: tuple[int, float] = (0, 0.0)

    def replicas(self, seen: Observations, now: float) -> int:
        """Name a number of replicas; what cannot be seen changes nothing."""
        current = int(seen.ready or 0) + int(seen.starting or 0)
        if seen.concurrency is None or seen.in_flight is None:
            return current
        ongoing = self._mean.add(now, seen.concurrency)
        if current == 0:
            return max(self._least, 1 if seen.in_flight > 0 else 0)
        wish = max(self._least, math.ceil(ongoing / self._target - 1e-9))
        if current > 1:
            wish = max(1, wish)  # to zero from one only
        way = (wish > current) - (wish < current)
        if way != self._since[0]:
            self._since = way, now
        if way and now - self._since[1] >= (self._up if way > 0 else self._down):
            self._since = 0, now
            return wish
        return current


class Classic:
    """The founding article on monitoring, literally.

    One replica more while the mean latency is above 1 s for 5 minutes, one less while utilisation
    is below 30 % for 30 minutes; at least one. Each counts anew once it has acted.
    """

    wakes = False
    SLOW_FOR, IDLE_FOR = 300.0, 1800.0

    def __init__(self, latency: float = 1.0, utilisation: float = 0.3) -> None:
        self._latency, self._utilisation = latency, utilisation
        self._slow: float | None = None
        self._idle: float | None = None

    def replicas(self, seen: Observations, now: float) -> int:
        """Name a number of replicas; what cannot be seen changes nothing."""
        ready, starting = int(seen.ready or 0), int(seen.starting or 0)
        current = ready + starting
        slow = seen.latency_seconds is not None and seen.latency_seconds > self._latency
        idle = bool(ready) and seen.busy is not None and seen.busy / ready < self._utilisation
        self._slow = (self._slow if self._slow is not None else now) if slow else None
        self._idle = (self._idle if self._idle is not None else now) if idle else None
        if self._slow is not None and now - self._slow >= self.SLOW_FOR:
            self._slow = None
            return current + 1
        if self._idle is not None and now - self._idle >= self.IDLE_FOR:
            self._idle = None
            return max(1, current - 1)
        return max(1, current)
