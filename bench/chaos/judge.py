"""What was promised, held against what was seen. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from bench.chaos.clients import GONE, Answer


SETTLE_SECONDS = 60.0
"""What a process may take for itself after its start: caches, threads, pools of connections."""
LEAST_SECONDS, MOST_POINTS = 60.0, 600
MOST_GROWTH_MIB_HOUR, MOST_GROWTH_MIB = 20.0, 8.0
MOST_MORE_FILES = 16
FOREIGN = "prometheus", "alertmanager"
"""Programs whose memory is not ours to promise; they are listed all the same."""
MIB = 1024**2


@dataclass(frozen=True)
class Sample:
    """A process at a moment: monotonic seconds, bytes, open files of all kinds, sockets among them."""

    at: float
    rss: int
    files: int
    sockets: int


@dataclass(frozen=True)
class Trend:
    """How a process's memory went: MiB an hour with 95 % of what pairs of samples say, and its files."""

    process: str
    minutes: float
    mib: float
    slope: float
    low: float
    high: float
    files: tuple[float, float]
    sockets: tuple[float, float]

    @property
    def broken(self) -> str:
        """Say what is not flat; empty where all is.

        Memory counts as growing where even the low end of the interval is beyond
        `MOST_GROWTH_MIB_HOUR` and comes to more than `MOST_GROWTH_MIB` in the time that was seen: in
        four minutes 20 MiB an hour is one, which a cache takes.
        """
        ours = self.process not in FOREIGN
        if (
            ours
            and self.low > MOST_GROWTH_MIB_HOUR
            and self.low * self.minutes / 60 > MOST_GROWTH_MIB
        ):
            return f"{self.process} grows by {self.slope:.0f} MiB/h ({self.low:.0f} to {self.high:.0f}) over {self.minutes:.0f} min"
        for what, (first, last) in (("open files", self.files), ("sockets", self.sockets)):
            if last - first > MOST_MORE_FILES:
                return f"{self.process} had {first:.0f} {what} at first and {last:.0f} in the end"
        return ""


def trend(process: str, samples: Sequence[Sample]) -> Trend | None:
    """Fit a line through a process's memory that outliers cannot turn; None where it lived too briefly.

    Theil and Sen: the median of the slopes of all pairs
    (https://doi.org/10.1080/01621459.1968.10480934). Its interval takes samples for independent,
    so it is narrower than the truth where memory wanders.
    """
    settled = [one for one in samples if one.at >= samples[0].at + SETTLE_SECONDS]
    if not settled or settled[-1].at - settled[0].at < LEAST_SECONDS:
        return None
    thin = settled[:: max(1, len(settled) // MOST_POINTS)]
    hours = np.array([one.at for one in thin]) / 3600
    slope, _, low, high = stats.theilslopes([one.rss / MIB for one in thin], hours, 0.95)
    fifth = max(1, len(settled) // 5)
    ends = settled[:fifth], settled[-fifth:]
    files = [statistics.median(one.files for one in part) for part in ends]
    sockets = [statistics.median(one.sockets for one in part) for part in ends]
    return Trend(
        process, (settled[-1].at - settled[0].at) / 60, settled[-1].rss / MIB, float(slope), float(low), float(high),
        (files[0], files[1]), (sockets[0], sockets[1]),
    )  # fmt: skip


@dataclass
class Struck:
    """One fault and what became of it; moments in monotonic seconds."""

    fault: str
    target: str
    began: float
    healed: float = 0.0
    healthy: float | None = None
    served: float | None = None
    """When the first request that was sent after the fault had its picture."""
    over: float = 0.0
    """When all that it set off was over."""
    broken: list[str] = field(default_factory=list)
    kills: bool = False
    """Whether it ends a program that clients are connected to, or that has their jobs."""

    @property
    def recovery(self) -> float | None:
        """Seconds from the fault until the stack is whole; from its end where it is held for a while."""
        return None if self.healthy is None else self.healthy - self.healed


@dataclass(frozen=True)
class Firing:
    """An alert from its first moment to its last; ``until`` is None while it fires."""

    name: str
    who: str
    began: float
    until: float | None


def lost(answered: Collection[str], rows: Iterable[tuple[str, str]]) -> list[str]:
    """Compare what clients were given with the rows (id, outcome) of all histories."""
    counted = Counter(name for name, _ in rows)
    good = {name for name, outcome in rows if outcome == "ok"}
    gone = sorted(set(answered) - good)
    twice = sorted(name for name, count in counted.items() if count > 1)
    told = Counter(answered)
    given_twice = sorted(name for name, count in told.items() if count > 1)
    return [
        *([f"{len(gone)} answered requests are not in the history: {gone[:3]}"] if gone else []),
        *([f"{len(twice)} requests are in the history more than once: {twice[:3]}"] if twice else []),
        *([f"{len(given_twice)} ids were given to two requests: {given_twice[:3]}"] if given_twice else []),
    ]  # fmt: skip


HONEST = {200, 429, 502, 503, 504, "left", "job failed", "stream ended with error"}
"""What a client may be told while something breaks: a picture, to come again, that it failed."""
CUT = {"ConnectError", "ConnectTimeout", "ReadError", "RemoteProtocolError", "WriteError"}
"""How a connection ends whose other end is killed."""


def odd(answers: Iterable[Answer], struck: Sequence[Struck], after: float) -> list[str]:
    """Name the answers that nobody should get, whatever breaks.

    A connection may be cut, and a job be gone with its server, while a fault that kills is at hand, and
    ``after`` seconds beyond.
    """
    killed = [one for one in struck if one.kills]
    found: Counter[str] = Counter()
    for one in answers:
        near = any(
            fault.began <= one.ended and one.sent <= (fault.over or one.sent) + after
            for fault in killed
        )
        if one.status not in HONEST and not (near and (one.status in CUT or one.status == GONE)):
            found[f"{one.kind} {one.status}"] += 1
    return [f"{count} times a client got {what}" for what, count in sorted(found.items())]


def uncalled(firings: Iterable[Firing], allowed: Mapping[str, Collection[str]], struck: Sequence[Struck], after: float) -> list[str]:  # fmt: skip
    """Name the alerts that no fault explains: begun outside of each fault that may set them off.

    ``after`` is how many seconds after a fault is over its alerts may still begin.
    """
    found = []
    for one in firings:
        causes = [
            fault.fault
            for fault in struck
            if one.name in allowed.get(fault.fault, ())
            and fault.began <= one.began <= (fault.over or fault.began) + after
        ]
        if not causes:
            near = [fault.fault for fault in struck if fault.began <= one.began <= (fault.over or one.began) + after]  # fmt: skip
            found.append(
                f"{one.name} of {one.who} fired, which nothing asked for (at hand: {', '.join(near) or 'nothing'})"
            )
    return found


def table(struck: Sequence[Struck]) -> list[dict[str, Any]]:
    """Sum up each kind of fault: how often, and the seconds to the next picture and to being whole."""
    rows = []
    for name in dict.fromkeys(one.fault for one in struck):
        same = [one for one in struck if one.fault == name]
        served = [one.served - one.began for one in same if one.served is not None]
        whole = [one.recovery for one in same if one.recovery is not None]
        rows.append({
            "fault": name, "times": len(same),
            "next picture, median s": _shown(served, statistics.median), "worst s": _shown(served, max),
            "whole again, median s": _shown(whole, statistics.median), "worst, s": _shown(whole, max),
            "broken": sum(bool(one.broken) for one in same),
        })  # fmt: skip
    return rows


def _shown(values: Sequence[float], of: Any) -> float | str:
    return round(float(of(values)), 1) if values else "-"
