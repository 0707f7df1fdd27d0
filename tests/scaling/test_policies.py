"""The other engines' rules on sequences by hand, with the numbers of their own sources."""

from __future__ import annotations

from typing import Any

import pytest

from lightmeter.errors import ScaleError
from lightmeter.scaling import Observations, Settings, policies
from lightmeter.scaling.hpa import Concurrency, Utilisation
from lightmeter.scaling.policies import Policy, Recommended, Static
from lightmeter.scaling.serverless import Classic, Knative, Ray
from lightmeter.scaling.window import Greatest, Mean


def look(
    ready: float, flying: float = 0, *, starting: float = 0, **more: float | None
) -> Observations:
    """See a fleet in which all that is in flight has been so since the last look."""
    seen = Observations(ready, starting, flying, max(0, flying - ready), 0.0, 0.0)
    shown: dict[str, Any] = {"concurrency": flying, "busy": min(ready, flying), **more}
    return seen._replace(**shown)


def walk(policy: Policy, looks: list[Observations], tick: float = 15.0) -> list[int]:
    """Show a policy one look after the other."""
    return [policy.replicas(seen, i * tick) for i, seen in enumerate(looks)]


def test_hpa_ratio() -> None:
    """Four busy replicas of four at a target of 70 % become ceil(4 / 0.7) = 6."""
    assert [6] == walk(Utilisation(), [look(4, 4)])


def test_hpa_tolerance() -> None:
    """Within 10 % of the target nothing moves: 3 of 4 busy is 1.07 times 70 %."""
    assert [4] == walk(Utilisation(), [look(4, 3)])


def test_hpa_starting() -> None:
    """Replicas that start count as idle on the way up: 2 busy of 2 + 2 ask for no more."""
    assert [4] == walk(Utilisation(), [look(2, 2, starting=2)])
    assert [3] == walk(Utilisation(), [look(2, 2)])


def test_hpa_window() -> None:
    """Down comes 300 s after the last wish for more, to the greatest of the window."""
    found = walk(Utilisation(), [look(4, 3), *[look(4, 0)] * 22])

    assert [4] * 21 == found[:21]
    assert 1 == found[21]


def test_hpa_rate() -> None:
    """Up by the greater of 100 % and 4 replicas in 15 s."""
    assert [5, 10] == [Concurrency(window=0, least=1).replicas(look(n, 40), 0.0) for n in (1, 5)]


def test_hpa_blind() -> None:
    """Without readings it stays; at zero it is switched off, and here kept at its least."""
    assert [3, 1] == walk(Utilisation(), [look(3, 3, busy=None), look(0)])
    assert 2 == Concurrency().replicas(look(2)._replace(in_flight=None), 0.0)


def test_keda() -> None:
    """From zero with the first request, to one on the target, to zero 300 s after the last."""
    policy = Concurrency()

    assert [0, 1, 4] == walk(policy, [look(0, 0), look(0, 3), look(1, 4)])
    found = [policy.replicas(look(1, 0), 30.0 + 15 * i) for i in range(1, 23)]
    assert [1] * 20 + [0, 0] == found


def test_knative_target() -> None:
    """The mean of 60 s over 70 % of one: a steady 2 in flight become 3 replicas."""
    assert 3 == walk(Knative(), [look(2, 2)] * 8)[-1]


def test_knative_panic() -> None:
    """Twice the ready replicas at once is panic: no fall for 60 s after it."""
    found = walk(Knative(), [look(1, 4), *[look(6, 0)] * 9])

    assert [6] * 5 == found[:5]  # ceil(4 / 0.7)
    assert found[-1] < 6


def test_knative_halves() -> None:
    """It lets go of half at a step at most."""
    assert 5 == Knative().replicas(look(10, 1), 0.0)


def test_knative_zero() -> None:
    """A last replica goes 30 s after nobody wanted it; the activator wakes it at once."""
    found = walk(Knative(), [look(1, 0)] * 3)

    assert [1, 1, 0] == found
    assert Knative.wakes
    assert 1 == Knative(1.0).replicas(look(0, 1, concurrency=0.0), 0.0)
    assert 2 == Knative().replicas(look(0, 1, concurrency=0.0), 0.0)  # 1 over 70 % is panic
    assert [3] == walk(Knative(), [look(3, 0, concurrency=None)])


def test_knative_delay() -> None:
    """A scale-down delay keeps the greatest wish of its time."""
    found = walk(Knative(1.0, 60.0), [look(4, 4), *[look(4, 0)] * 12])

    assert 4 == found[4]
    assert found[-1] < 4


def test_ray() -> None:
    """Two ongoing requests for each replica; up after 30 s of the same wish, down after 600 s."""
    policy = Ray()

    assert [1, 1, 3] == walk(policy, [look(1, 6)] * 3)
    down = [policy.replicas(look(3, 0), 45.0 + 15 * i) for i in range(44)]
    assert [3] * 40 == down[:40]
    assert 1 in down
    assert 1 == Ray(least=0).replicas(look(0, 5), 0.0)
    assert 2 == Ray().replicas(look(2, concurrency=None), 0.0)


def test_classic() -> None:
    """One more after 5 minutes above a second, one less after 30 minutes below 30 %; one stays."""
    slow = [look(1, 1, latency_seconds=20.0)] * 22
    found = walk(Classic(), slow)

    assert [1] * 20 + [2, 1] == found  # and then it counts anew
    calm = walk(Classic(), [look(2, 0, latency_seconds=None)] * 122)
    assert [2] * 120 + [1, 2] == calm
    assert 1 == Classic().replicas(look(0), 0.0)


def test_names() -> None:
    """Every name makes a policy, and a wrong one is told the nearest."""
    for name in policies.POLICIES:
        assert policies.make(name, Settings()).replicas(look(1, 1), 0.0) >= 0
    static = policies.make("static:3", Settings())
    assert isinstance(static, Static)
    assert 3 == static.replicas(look(0), 0.0)
    assert isinstance(policies.make("recommended", Settings()), Recommended)
    for name, words in (
        ("knativ", "did you mean 'knative'?"),
        ("static:x", "needs a number of replicas"),
        ("static:9", "0 to the maximum of 8"),
        ("oracle", "knows the future"),
    ):
        with pytest.raises(ScaleError) as refused:
            policies.make(name, Settings())
        assert words in str(refused.value)


def test_windows() -> None:
    """The greatest and the mean of a sliding window are those of its values."""
    greatest, mean = Greatest(30.0), Mean(60.0)

    assert [3, 3, 3, 2] == [greatest.add(15.0 * i, n) for i, n in enumerate([3, 1, 2, 0])]
    assert [6.0, 4.5, 3.0, 1.5, 0.0] == [
        mean.add(15.0 * i, n) for i, n in enumerate([6, 0, 0, 0, 0])
    ]
