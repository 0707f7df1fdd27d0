"""The Horizontal Pod Autoscaler of Kubernetes, alone and under KEDA, restated."""

from __future__ import annotations

import math
from collections import deque

from lightmeter.scaling.signals import Observations
from lightmeter.scaling.window import Greatest


TOLERANCE = 0.1
RATE_WINDOW = 15.0


class _Behaviour:
    """What the controller makes of a wish: scale-down window, then the limit on going up.

    Defaults of autoscaling/v2: the greatest wish of the last 300 s; up by the greater of 100 %
    and 4 pods in 15 s; down without limit.
    """

    def __init__(self, window: float) -> None:
        self._greatest = Greatest(window)
        self._ups: deque[tuple[float, int]] = deque()

    def settle(self, wish: int, current: int, now: float) -> int:
        """Return what the wish becomes."""
        greatest = self._greatest.add(now, wish)
        if wish <= current:
            return min(greatest, current)
        ups = self._ups
        while ups and ups[0][0] <= now - RATE_WINDOW:
            ups.popleft()
        before = current - sum(count for _, count in ups)
        to = max(current, min(wish, max(2 * before, before + 4)))
        ups.append((now, to - current))
        return to


class Utilisation:
    """HPA on the utilisation of its pods: ceil(ready pods x use / target).

    Pods that start count as idle on the way up and not at all otherwise; within the tolerance of
    10 % nothing happens; no ready pod, no decision.
    https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/podautoscaler/replica_calculator.go
    (``GetResourceReplicas``) and pkg/apis/autoscaling/v2/defaults.go, read 2026-11.
    """

    wakes = False

    def __init__(self, target: float = 0.7, window: float = 300.0, least: int = 1) -> None:
        self._target, self._least = target, least
        self._behaviour = _Behaviour(window)

    def replicas(self, seen: Observations, now: float) -> int:
        """Name a number of replicas; what cannot be seen changes nothing."""
        ready, starting = int(seen.ready or 0), int(seen.starting or 0)
        current = ready + starting
        if current == 0:  # 0 is "scaling disabled" to it
            return self._least
        wish = current
        if ready and seen.busy is not None:
            wish = self._wish(seen.busy, ready, starting)
        return max(self._least, self._behaviour.settle(max(wish, self._least), current, now))

    def _wish(self, busy: float, ready: int, starting: int) -> int:
        current = ready + starting
        ratio = min(1.0, busy / ready) / self._target
        if ratio <= 1 or not starting:
            return current if abs(1 - ratio) <= TOLERANCE else math.ceil(ratio * ready)
        damped = min(busy, float(ready)) / self._target / current
        wanted = math.ceil(damped * current)
        return current if abs(1 - damped) <= TOLERANCE or damped < 1 or wanted < current else wanted


class Concurrency:
    """HPA on requests in flight, an average for each pod: ceil(in flight / target).

    With ``least`` = 0 it is what KEDA makes of it: KEDA itself takes 0 to 1 when anything is in
    flight, and 1 to 0 when for ``cooldown`` nothing was; between 1 and the limit the HPA decides.
    ``GetExternalPerPodMetricReplicas`` of the file above;
    https://github.com/kedacore/keda/blob/main/pkg/scaling/executor/scale_scaledobjects.go at
    8b4f083 (2026-08); defaults of KEDA 2.21: cooldown 300 s. KEDA polls every 30 s, here at every
    tick.
    """

    wakes = False

    def __init__(
        self, target: float = 1.0, window: float = 300.0, least: int = 0, *, cooldown: float = 300.0
    ) -> None:
        self._target, self._least, self._cooldown = target, least, cooldown
        self._behaviour = _Behaviour(window)
        self._active = -math.inf

    def replicas(self, seen: Observations, now: float) -> int:
        """Name a number of replicas; what cannot be seen changes nothing."""
        current = int(seen.ready or 0) + int(seen.starting or 0)
        flying = seen.in_flight
        if flying is None:
            return current
        if flying > 0:
            self._active = now
        if current == 0:
            return max(self._least, 1 if flying > 0 else 0)
        if self._least == 0 and flying <= 0 and now - self._active > self._cooldown:
            return 0
        wish = current
        if abs(1 - flying / (self._target * current)) > TOLERANCE:
            wish = math.ceil(flying / self._target)
        least = max(1, self._least)
        return max(least, self._behaviour.settle(max(wish, least), current, now))
