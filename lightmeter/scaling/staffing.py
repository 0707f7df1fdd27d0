"""How many servers a load needs: Erlang C, corrected for other than random arrivals and services."""

from __future__ import annotations

import math
from functools import lru_cache


GRAIN = 0.02
"""Loads are rounded up to this many erlangs, so that the table of answers stays small."""


def erlang_c(servers: int, load: float) -> float:
    """Probability that a request waits in M/M/c, with ``load`` = rate x service time in erlangs.

    By the recursion of Erlang B, which neither overflows nor loses digits; 1 where the queue
    grows without end. Cooper, Introduction to Queueing Theory, 2nd edition, chapter 3.
    """
    if load <= 0:
        return 0.0
    if servers <= load:
        return 1.0
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return servers * blocked / (servers - load * (1 - blocked))


def late_ratio(servers: int, load: float, patience: float, scv: float) -> float:
    """Probability of waiting longer than ``patience`` service times.

    Exact for M/M/c (``scv`` = 1). Otherwise the exponent is stretched as Allen and Cunneen
    stretch the mean wait: by the mean of the squared coefficients of variation of arrivals, taken
    to be random (1), and of services (``scv``). Allen, Probability, Statistics and Queueing
    Theory, 2nd edition, section 5.2.3.
    """
    if servers <= load:
        return 1.0 if load > 0 else 0.0
    return erlang_c(servers, load) * math.exp(-2 * (servers - load) * patience / (1 + scv))


@lru_cache(maxsize=65_536)
def _staff(grains: int, worth: float, patience: float, scv: float) -> int:
    load = grains * GRAIN
    most_late = worth * load
    best, servers = most_late, 0
    count = math.floor(load) + 1
    while count < best:
        cost = count + most_late * late_ratio(count, load, patience, scv)
        if cost < best:
            best, servers = cost, count
        count += 1
    return servers


def staff(load: float, *, worth: float, patience: float, scv: float, most: int) -> int:
    """Servers (0..``most``) at which one more costs more than the late requests that it saves.

    ``load`` is in erlangs; ``worth`` is the price of a late request over its service time, so
    that ``load * worth`` is what all being late would cost, in servers; ``patience`` is the
    allowed wait over the service time. ``worth`` and ``patience`` are rounded to two digits and
    ``scv`` to one decimal, for the table of answers.
    """
    if load >= most:
        return most if load * worth > most else 0
    grains = math.ceil(load / GRAIN)
    return min(most, _staff(grains, _rough(worth), _rough(patience), round(min(scv, 100.0), 1)))


def _rough(value: float) -> float:
    return float(f"{value:.2g}")


def rescue(
    queued: int, ready: int, *, more: int, wait: float, start: float, service: float
) -> float:
    """Expected number of those in the queue who wait longer than ``wait`` with ``more`` started.

    ``ready`` replicas finish a request every ``service`` seconds each, at random moments; the
    others take one each when they are ready, after ``start`` < ``wait``, and go on from there. The
    one at place j is late where fewer than j are taken in time: a Poisson probability.
    """
    taken = (ready * wait + more * (wait - start)) / service
    probability, below, late = math.exp(-taken), 0.0, 0.0
    for place in range(queued - more):
        below += probability
        late += min(1.0, below)
        probability *= taken / (place + 1)
    return late
