"""The simulator against the replay, the textbook and traces by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmeter import replay
from lightmeter.replay import Floats
from lightmeter.scaling import Observations, Settings, policies
from lightmeter.scaling.policies import Recommended, Static
from lightmeter.simulate import generate
from lightmeter.simulate.demand import Demand
from lightmeter.simulate.run import Player, play
from lightmeter.simulate.score import oracle, reversals, score, score_named
from lightmeter.simulate.view import World
from support import oracles


def demand(arrivals: list[float], services: list[float], users: list[int] | None = None) -> Demand:
    """Make a demand by hand."""
    return Demand(np.array(arrivals), np.array(services), np.array(users or range(len(arrivals))))


class Script:
    """Says what it was told to, tick by tick, and keeps what it saw."""

    wakes = False

    def __init__(self, *wishes: int) -> None:
        self.wishes = list(wishes)
        self.seen: list[Observations] = []

    def replicas(self, seen: Observations, now: float) -> int:
        """Say what is due at this tick."""
        self.seen.append(seen)
        return self.wishes[min(int(now / 15), len(self.wishes) - 1)]


LOADS = st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 3000)), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(LOADS, st.integers(1, 5))
def test_fixed_fleet(steps: list[tuple[int, int]], servers: int) -> None:
    """A fleet that never changes has the waits of the replay kernel, to the last bit."""
    table = np.array(steps, dtype=np.float64) / 16
    arrivals, services = np.cumsum(table[:, 0]), table[:, 1].copy()
    found = play(Demand(arrivals, services, np.zeros(len(arrivals), dtype=np.int64)), Static(servers), World(least=servers))  # fmt: skip

    assert replay.waits(arrivals, services, servers).tolist() == found.waits.tolist()


def test_textbook() -> None:
    """M/M/3 waits as Erlang C says."""
    rng = np.random.default_rng(7)
    n = 150_000
    arrivals, services = np.cumsum(rng.exponential(1 / 2.4, n)), rng.exponential(1.0, n)
    found = play(Demand(arrivals, services, np.arange(n)), Static(3), World(least=3))

    assert oracles.erlang_c_wait(2.4, 1.0, 3) == pytest.approx(found.waits.mean(), rel=0.08)


def test_billing() -> None:
    """A start is billed from its order on; what is idle goes at once, what is busy when it ends."""
    requests = demand([0.0, 1.0, 200.0], [100.0, 5.0, 10.0])
    # at 0 two are ordered, ready at 30: the first serves from 30 to 130, the second from 30 to 35
    found = play(requests, Script(2, 2, 2, 1, 0, 0, 0, 0, 0, 0, 1), World(cold_start=30.0))

    # at 45 the idle one goes; at 60 the busy one, which ends at 130; the next tick that
    # anybody looks at is 210, when one is ordered, which serves from 240 to 250
    assert [[0.0, 45.0], [0.0, 130.0], [210.0, 250.0]] == found.lives.tolist()
    assert [30.0, 29.0, 40.0] == found.waits.tolist()
    assert [[0.0, 2.0], [45.0, -1.0], [60.0, -1.0], [210.0, 1.0]] == found.changes.tolist()
    assert [0, 1, 2] == found.cold.tolist()
    summed = score(found, requests, World(cold_start=30.0))
    assert (45 + 130 + 40) / 3600 == pytest.approx(summed.gpu_hours)
    assert (4, 3, 3) == (summed.operations, summed.boots, summed.cold_starts)
    assert 2 == summed.reversals  # at 45, and at 210, two minutes and a half after the one at 60


def test_starts_go_first() -> None:
    """What is not ready yet is let go before what serves, and serves nobody."""
    found = play(demand([0.0, 20.0], [60.0, 1.0]), Script(1, 1, 2, 1, 1), World(cold_start=20.0))

    assert [[0.0, 81.0], [30.0, 45.0]] == found.lives.tolist()
    assert [20.0, 60.0] == found.waits.tolist()


def test_queue_moves_over() -> None:
    """Who waits is served by the first replica that is free, also one ordered after they came."""
    found = play(demand([0.0, 1.0, 2.0], [500.0, 5.0, 5.0]), Script(1, 3), World(cold_start=10.0))

    assert [10.0, 24.0, 23.0] == found.waits.tolist()  # both new ones are ready at 25


def test_what_is_seen() -> None:
    """Readings are what a monitoring system would have said at that time, and nothing later."""
    script = Script(1)
    play(demand([1.0, 2.0, 40.0, 41.0], [10.0, 20.0, 60.0, 9.0], [7, 7, 8, 7]), script, World(cold_start=5.0))  # fmt: skip
    first, second, third = script.seen[:3]

    assert (0, 0, 0, 0) == first[:4]
    # the replica was ready at 5 and served one until 15; the other still waits
    assert (1, 0, 1, 1, 2 / 120, 2 / 900, 1) == second[:7]
    assert (10.0, 14.0) == (second.service_seconds, second.latency_seconds)
    # in flight: 14 s and 13 s of the 15 s; busy: from 5 on
    assert (27 / 15, 10 / 15) == pytest.approx((second.concurrency, second.busy))
    assert third.service_seconds == 10.0
    fourth = script.seen[3]  # at 45: the second has ended at 35, two more are here, of two users
    assert (2, 1, 2) == (fourth.in_flight, fourth.queued, fourth.active_users)
    assert (10 + 0.02 * (20 - 10), 0.0) == (fourth.service_seconds, fourth.violation_ratio)


def test_nobody_serves() -> None:
    """A policy that starts nothing leaves its users waiting for ever, and the run ends."""
    found = play(demand([5.0], [1.0]), Static(0), World())

    assert [np.inf] == found.waits.tolist()
    row = score(found, demand([5.0], [1.0]), World()).row("none")
    assert (None, 1.0, 0.0) == (row["wait_p95_seconds"], row["violation_ratio"], row["gpu_hours"])


def test_nobody_comes() -> None:
    """Without a request nothing is started, and nothing breaks."""
    empty = demand([], [])
    for name in ("recommended", "knative", "oracle"):
        found = score_named(name, empty, Settings(), World())
        assert (0.0, 0, 0) == (found.gpu_hours, found.violations, found.operations)


@pytest.mark.parametrize("name", [*policies.POLICIES, "static:2"])
def test_sleep_is_exact(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipping the ticks of a sleeping fleet changes nothing that users or bills see."""
    requests = generate.sessions(1.5, per_day=150, seed=3)
    short = play(requests, policies.make(name, Settings()), World())
    if not policies.make(name, Settings()).wakes:
        monkeypatch.setattr(Player, "_sleep", lambda _, k: k)
        whole = play(requests, policies.make(name, Settings()), World())
        assert short.waits.tolist() == whole.waits.tolist()
        assert short.lives.tolist() == whole.lives.tolist()
    again = play(requests, policies.make(name, Settings()), World())
    assert short.lives.tolist() == again.lives.tolist()


def test_waking() -> None:
    """A policy in the request's path starts at the request, not at the next tick."""
    found = play(demand([4.0, 1000.0], [1.0, 1.0]), Recommended(Settings(price=0.0, hold_least=0.0)), World(cold_start=60.0))  # fmt: skip

    assert [60.0, 60.0] == found.waits.tolist()
    assert [4.0, 1000.0] == found.lives[:, 0].tolist()


def test_jitter() -> None:
    """Starts differ by up to the jitter, and a seed repeats them."""
    requests = generate.sessions(1.0, per_day=200, seed=5)

    def waits(seed: int, jitter: float) -> Floats:
        return play(
            requests, policies.make("knative", Settings()), World(jitter=jitter, seed=seed)
        ).waits

    assert waits(1, 0.3).tolist() == waits(1, 0.3).tolist()
    assert waits(1, 0.3).tolist() != waits(2, 0.3).tolist()
    assert waits(1, 0.0).tolist() == waits(2, 0.0).tolist()


def test_oracle() -> None:
    """The clairvoyant reference lets nobody wait, and pays the lesser of each gap and a start."""
    requests = demand([0.0, 5.0, 100.0, 1000.0], [10.0, 10.0, 10.0, 10.0])
    found = oracle(requests, World(cold_start=120.0))

    assert [0.0] * 4 == found.waits.tolist()
    # the second GPU works last, so it takes the third request after a gap of 85 s; two starts, and
    # a third one for the request at 1000, which is cheaper than a gap of 890 s
    assert 40 + 85 + 3 * 120 == pytest.approx(float(np.diff(found.lives).sum()))


@settings(max_examples=30, deadline=None)
@given(LOADS, st.integers(1, 40))
def test_oracle_is_least(steps: list[tuple[int, int]], start: int) -> None:
    """No fixed hold on on-demand GPUs with the same starts costs less than the reference."""
    table = np.array(steps, dtype=np.float64)
    arrivals, services = np.cumsum(table[:, 0]), table[:, 1].copy()
    reference = oracle(Demand(arrivals, services, np.arange(len(arrivals))), World(cold_start=float(start)))  # fmt: skip
    best = float(np.diff(reference.lives).sum())
    for hold in (0.0, 10.0, 300.0):
        lives = replay.elastic(arrivals, services, start=0.0, idle=hold, limit=1000)
        gaps = (lives.stopped - lives.started - hold).sum() + start * len(lives.started)
        assert best <= gaps + 1e-6


def test_reversals() -> None:
    """A turn within a quarter of an hour of the last change is a reversal; later it is none."""
    assert 2 == reversals(np.array([[0.0, 1], [10, 1], [20, -1], [919, 1], [2000, -1]]))
    assert 0 == reversals(np.empty((0, 2)))


def test_window() -> None:
    """What is scored begins where it is told to; what happened before only teaches."""
    requests = demand([0.0, 1000.0], [10.0, 10.0])
    found = play(requests, Static(1), World(least=1))

    assert 510 / 3600 == pytest.approx(score(found, requests, World(), begin=500.0).gpu_hours)
    assert 1 == score(found, requests, World(), begin=500.0).requests
    assert 500 / 3600 == pytest.approx(score(found, requests, World(), end=500.0).gpu_hours)


def test_generated() -> None:
    """The made-up demand is the same for a seed, has the days asked for and comes in sessions."""
    made = generate.sessions(4.0, seed=9)

    assert made.arrivals.tolist() == generate.sessions(4.0, seed=9).arrivals.tolist()
    assert 0 <= made.arrivals[0]
    assert made.arrivals[-1] < 4 * 86_400
    assert 0.6 < len(made) / (4 * generate.PER_DAY) < 1.4
    counts = np.bincount((made.arrivals / 3600).astype(int))
    assert counts.var() / counts.mean() > 10  # Poisson's is 1; a session is of one user
    assert 3 < len(made) / len(np.unique(made.users)) < 6


def test_recommended_is_frugal() -> None:
    """On generated sessions it costs less than every tuned peer, at both prices."""
    requests = generate.sessions(4.0, seed=2)
    for price in (300.0, 900.0):
        costs = {
            name: score_named(name, requests, Settings(price=price), World()).cost(price)
            for name in ("recommended", "hpa-tuned", "knative-tuned")
        }
        assert "recommended" == min(costs, key=costs.__getitem__)
