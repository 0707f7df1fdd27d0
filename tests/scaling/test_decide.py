"""The decision: what raises, what holds, what lets go, and that a record says it all."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmeter.catalog import ACTIONS, Term
from lightmeter.scaling import adopt, decide, inputs
from lightmeter.scaling.holds import CROWDS, crowd
from lightmeter.scaling.signals import NEEDED, Observations
from lightmeter.scaling.state import Settings, State, fresh


QUIET = Observations(0, 0, 0, 0, 0.0, 0.0)
BUSY = Observations(
    2, 0, 2, 0, 0.1, 0.1, active_users=3, service_seconds=20.0, service_scv=1.0, cold_start_seconds=180.0
)  # fmt: skip


def begun(**changes: Any) -> State:
    """A state that remembers nothing yet."""
    return fresh(Settings(**changes))


def test_sleep() -> None:
    """With nobody there and no replica nothing is done."""
    decision = decide(begun(), QUIET, 0.0)

    assert (0, "hold", Term.SLEEP) == (decision.to, decision.action, decision.chosen_term)


def test_wake() -> None:
    """The first request orders the first replica, before anything is known of the service."""
    decision = decide(begun(), QUIET._replace(in_flight=1, queued=1, rate_short=1 / 120), 5.0)

    assert (1, "up", Term.WAKE) == (decision.to, decision.action, decision.chosen_term)
    assert "from 0 up to 1: 1 in flight need one at least" == decision.reason


def test_no_second_wake() -> None:
    """While the ordered replica boots it counts, and no other is ordered for the same request."""
    first = decide(begun(), QUIET._replace(in_flight=1, queued=1), 0.0)
    again = decide(first.after, QUIET._replace(in_flight=1, queued=1, starting=1), 15.0)

    assert (1, "hold") == (again.to, again.action)
    assert (0.0,) == again.after.boots


def test_staffing() -> None:
    """Work offered beyond what two replicas bear is staffed for, and said so."""
    decision = decide(begun(), BUSY._replace(rate_short=0.25, rate_long=0.25), 0.0)

    assert Term.STAFFING == decision.chosen_term
    assert decision.to > 5  # 0.25/s of 20 s each keep five busy without a moment's rest
    assert "0.25 requests/s of 20 s offered" in decision.reason


def test_price() -> None:
    """The dearer a violation is, the more replicas there are."""
    cheap = decide(begun(price=30.0), BUSY, 0.0)
    dear = decide(begun(price=3000.0), BUSY, 0.0)

    assert cheap.to < dear.to


def test_users() -> None:
    """Users who are there and silent for a moment keep the replicas that they will want."""
    state = begun()._replace(per_user=0.03)
    seen = BUSY._replace(active_users=9, in_flight=0, rate_short=0.0, rate_long=0.01)

    assert Term.USERS == decide(state, seen, 0.0).chosen_term


@pytest.mark.parametrize(("start", "asked"), [(180.0, 0), (20.0, 2)])
def test_backlog_in_time(start: float, asked: int) -> None:
    """Replicas are ordered for a queue only where they are there before its waits are too long."""
    seen = BUSY._replace(ready=1, in_flight=4, queued=3, cold_start_seconds=start)
    votes = decide(begun(), seen, 0.0).votes

    assert votes[Term.BACKLOG] >= asked
    assert bool(votes[Term.BACKLOG]) == bool(asked)


def test_long_backlog() -> None:
    """A queue that outlasts a start is shared with new replicas even so."""
    seen = BUSY._replace(ready=1, in_flight=40, queued=39)

    assert 4 == decide(begun(), seen, 0.0).votes[Term.BACKLOG]  # 39 x 20 s over 180 + 30 s


def idle_for(seconds: float, state: State | None = None) -> Any:
    """Two replicas fall idle, and are looked at again after so long."""
    busy = decide(state or begun(), BUSY._replace(rate_short=0.01, rate_long=0.01), 0.0)
    calm = BUSY._replace(in_flight=0, rate_short=0.0, rate_long=0.0, active_users=0)
    return decide(decide(busy.after, calm, 15.0).after, calm, 15.0 + seconds)


def test_hold() -> None:
    """An idle replica is kept for a while, the last one longer; then the fleet sleeps."""
    assert (2, Term.HOLD) == (idle_for(30).to, idle_for(30).chosen_term)
    holds = begun(turn_price=0.0).holds
    last, other = holds[crowd(0, 0)], holds[crowd(1, 0)]
    between = idle_for((last + other) / 2, begun(turn_price=0.0))
    assert other < last
    assert (1, "down", Term.LAST_REPLICA) == (between.to, between.action, between.chosen_term)
    later = idle_for(last + 1, begun(turn_price=0.0))
    assert (0, Term.SLEEP) == (later.to, later.chosen_term)


def test_hold_of_crowd() -> None:
    """Once learnt, a replica among many users is kept, and one that they left is let go."""
    state, now = begun(hold_least=0.0, turn_price=0.0), 0.0
    alone, crowded = (
        QUIET._replace(ready=2, active_users=1),
        QUIET._replace(ready=2, active_users=9),
    )
    for _ in range(100):
        for seen, gap in ((alone, 20_000.0), (crowded, 200.0)):
            state = decide(state, seen._replace(in_flight=2), now).after
            state = decide(state, seen, now + 15).after
            now += 15 + gap
    state = decide(state, crowded._replace(in_flight=2), now).after
    state = decide(state, crowded, now + 15).after

    kept = decide(state, crowded, now + 115)
    assert (2, Term.HOLD) == (kept.to, kept.chosen_term)
    assert 0 == decide(state, alone, now + 115).to
    assert 2 == decide(state, crowded._replace(active_users=None), now + 115).to


def test_turns() -> None:
    """The dearer a turn is, the longer idle replicas stay, and the queue must be worth going back up."""
    assert begun(turn_price=0.0).holds[-1] < begun(turn_price=900.0).holds[-1]

    seen = BUSY._replace(ready=1, in_flight=2, queued=1, cold_start_seconds=20.0)
    state = begun(turn_price=4000.0, hold_least=0.0)._replace(holds=(0.0,) * CROWDS)
    assert 2 == decide(state._replace(lowered_at=-1000.0), seen, 0.0).votes[Term.BACKLOG]
    assert 1 == decide(state._replace(lowered_at=-100.0), seen, 0.0).votes[Term.BACKLOG]


def test_lowered() -> None:
    """What went down last is remembered until more are wanted, whatever came of the order."""
    down = idle_for(20_000.0)
    again = decide(down.after, QUIET._replace(ready=2), down.at + 15)
    up = decide(again.after, BUSY._replace(ready=0, queued=2), down.at + 30)

    assert (0, down.at) == (down.to, down.after.lowered_at)
    assert down.at == again.after.lowered_at
    assert None is up.after.lowered_at


@pytest.mark.parametrize(("gap", "least", "most"), [(20_000.0, 0.0, 0.0), (550.0, 600.0, 1200.0)])
def test_holds_are_learnt(gap: float, least: float, most: float) -> None:
    """Where work never comes back soon nothing is held; where it does after 10 minutes, so long."""
    state, now = begun(hold_least=0.0), 0.0
    for _ in range(200):
        state = decide(state, QUIET._replace(ready=1, in_flight=1), now).after
        state = decide(state, QUIET._replace(ready=1), now + 15).after
        now += 15 + gap
    state = decide(state, QUIET._replace(ready=1, in_flight=1), now).after

    assert least <= state.holds[0] <= most


def test_other_settings() -> None:
    """Settings change while it runs: what was learnt stays, for more or fewer replicas."""
    state = decide(begun(), BUSY, 0.0).after
    for most in (1, 3, 12):
        other = adopt(state, Settings(most=most, price=50.0))
        assert (most, state.gaps) == (len(other.idle_since), other.gaps)
        assert other.holds[0] < state.holds[0]
        later = decide(decide(other, BUSY, 15.0).after, QUIET._replace(ready=2), 30.0)
        assert 0 < later.to <= most
        assert other == adopt(other, other.settings)


def test_burn_floor() -> None:
    """An alert raises, within the bounds; it never lowers."""
    assert 5 == decide(begun(), BUSY._replace(burn_floor=5), 0.0).to
    assert 8 == decide(begun(), BUSY._replace(burn_floor=50), 0.0).to
    assert decide(begun(), BUSY, 0.0).to == decide(begun(), BUSY._replace(burn_floor=1), 0.0).to


def test_bounds() -> None:
    """The least and the most are kept, and named as what decided."""
    low = decide(begun(least=2), QUIET._replace(ready=2), 0.0)
    high = decide(begun(most=1), BUSY._replace(rate_long=1.0), 0.0)

    assert (2, Term.BOUNDS) == (low.to, low.chosen_term)
    assert 1 == high.to


def test_rate_limit() -> None:
    """Steps are no greater than set, up and down."""
    up = decide(begun(step_up=1), BUSY._replace(rate_long=0.4), 0.0)
    down = decide(begun(step_down=1), QUIET._replace(ready=6), 0.0)

    assert (3, Term.RATE_LIMIT) == (up.to, up.chosen_term)
    assert (5, Term.RATE_LIMIT) == (down.to, down.chosen_term)


def test_freeze() -> None:
    """Frozen means frozen, until it is over."""
    state = begun()._replace(frozen_until=100.0)
    busy = BUSY._replace(rate_long=0.4)

    assert (2, "freeze") == (decide(state, busy, 99.0).to, decide(state, busy, 99.0).action)
    assert decide(state, busy, 100.0).to > 2


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -1.0, "stale"])
def test_missing(name: str, value: Any) -> None:
    """A needed reading that is missing, mad or old holds the fleet, idle as it looks."""
    seen = QUIET._replace(ready=3)
    seen = seen._replace(ages={name: 61.0}) if value == "stale" else seen._replace(**{name: value})
    state = begun()._replace(target=3)
    held = decide(state, seen, 0.0)

    assert (3, "hold", Term.STALE) == (held.to, held.action, held.chosen_term)
    assert name in held.reason
    fine = QUIET._replace(ready=3, ages={name: 59.0})
    assert 0 == decide(state, fine, 0.0).to


def test_safe_floor() -> None:
    """After a quarter of an hour without readings the safe floor is kept, and nothing is lowered."""
    blind = QUIET._replace(rate_long=None)
    first = decide(begun(safe_floor=2), blind, 0.0)
    later = decide(first.after, blind, 900.0)

    assert (0, 2, Term.SAFE_FLOOR) == (first.to, later.to, later.chosen_term)
    many = decide(first.after, blind._replace(ready=5), 9000.0)
    assert (5, "hold") == (many.to, many.action)
    assert 4 == decide(first.after, blind._replace(burn_floor=4), 1.0).to
    assert decide(later.after, QUIET, 915.0).after.stale_since is None


def test_optional_readings() -> None:
    """What may be missing is left out, not taken for zero."""
    seen = BUSY._replace(service_seconds=math.nan, active_users=None)

    assert {Term.WAKE, Term.HOLD} == decide(begun(), seen, 0.0).votes.keys()


def test_boot_timeout() -> None:
    """A replica that never becomes ready stops counting: another one is ordered in its place."""
    queue = QUIET._replace(in_flight=1, queued=1)
    state = decide(begun(), queue, 0.0).after
    waiting = queue._replace(starting=1)
    assert 1 == decide(state, waiting, 539.0).to
    stuck = decide(state, waiting, 541.0)

    assert (2, Term.BOOT_TIMEOUT) == (stuck.to, stuck.chosen_term)
    assert 2 == decide(stuck.after, waiting._replace(starting=2), 556.0).to  # and no third


def test_target() -> None:
    """Violations above the target raise the price from look to look; below it falls to the one set."""
    for ratio, begin, sign in ((0.05, 2.0, 1), (0.0, 2.0, -1), (0.02, 2.0, 0), (0.0, 1.0, 0)):
        state = begun(violation_target=0.02)._replace(pressure=begin)
        for now in range(0, 3600, 15):
            state = decide(state, BUSY._replace(violation_ratio=ratio), float(now)).after
        assert sign == (state.pressure > begin + 1e-9) - (state.pressure < begin - 1e-9)
    assert 1.0 == decide(begun(), BUSY._replace(violation_ratio=0.9), 0.0).after.pressure


NUMBERS = st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.integers(0, 12)
AGES = st.dictionaries(
    st.sampled_from(Observations._fields[:-1]), st.floats(0, 200) | st.just(math.nan)
)
LOOKS = st.lists(
    st.tuples(st.builds(Observations, *[NUMBERS] * 15, ages=AGES) | st.just(BUSY) | st.just(QUIET), st.floats(0, 4000)),
    max_size=6,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(LOOKS, st.integers(0, 3), st.sampled_from([0.0, 0.02]), st.integers(0, 2))
def test_record(
    looks: list[tuple[Observations, float]], least: int, target: float, step: int
) -> None:
    """Whatever is seen, a decision can be recomputed from its line of JSON, to the last vote."""
    state, now = begun(least=least, violation_target=target, step_down=step), 0.0
    for seen, pause in looks:
        now += pause
        decision = decide(state, seen, now)
        line = json.dumps(decision.record("shop"), allow_nan=False)
        record = json.loads(line)
        again = decide(*inputs(record))
        assert record == json.loads(json.dumps(again.record("shop"), allow_nan=False))
        assert decision.after == again.after
        assert record["action"] in ACTIONS
        assert record["to"] >= 0
        state = decision.after


@settings(max_examples=100, deadline=None)
@given(
    st.builds(Observations, st.integers(0, 9), st.integers(0, 3), *[NUMBERS] * 13, ages=AGES),
    st.sampled_from(NEEDED),
)
def test_never_down_blind(seen: Observations, name: str) -> None:
    """Whatever else is seen, without a needed reading nothing is scaled down."""
    missing: dict[str, Any] = {name: None}
    for gone in (seen._replace(**missing), seen._replace(ages={name: 61.0})):
        decision = decide(begun()._replace(target=4, stale_since=-5000.0), gone, 0.0)
        assert decision.to >= decision.current
        assert decision.to >= 1


def test_record_is_short() -> None:
    """A fleet of 10,000 that was used and let go has lines of a few KB; those written out are read as well."""
    decision = decide(begun(most=10_000), BUSY, -15.0)
    for now, busy in ((0.0, 10_000), (15.0, 9_000), (30.0, 2), (45.0, 6_000)):
        seen = BUSY._replace(ready=2, starting=9_998, in_flight=busy, queued=0, rate_long=busy / 20)
        decision = decide(decision.after, seen, now)
    record = json.loads(json.dumps(decision.record("shop")))
    long = {name: list(getattr(decision.before, name)) for name in ("idle_since", "idle_in", "boots")}  # fmt: skip

    assert len(json.dumps(record)) < 10_000 < len(json.dumps(long))
    assert (decision.before, decision.seen, decision.at) == inputs(record)
    assert decision.before == inputs({**record, "state": {**record["state"], **long}})[0]


@pytest.mark.parametrize("run", [[None, 10**9], [None, 0], [None, "3"], [None], [1, 2, 3]])
def test_hostile_run(run: list[Any]) -> None:
    """A line that asks for a list without end is no decision."""
    record = decide(begun(), BUSY, 12.5).record("shop")
    with pytest.raises(ValueError, match=r"run of|unpack"):
        inputs({**record, "state": {**record["state"], "idle_since": [run]}})


def test_record_fields() -> None:
    """The record has the fields of the contract, and its name says what it came from."""
    record = decide(begun(), BUSY, 12.5).record("shop", mode="act", result="done")

    assert ["schema", "id", "at", "target", "observed", "state", "votes", "chosen_term", "from", "to", "action", "reason", "mode", "result"] == list(record)  # fmt: skip
    assert {"value": 2, "age_seconds": 0.0} == record["observed"]["ready"]
    assert (12.5, "shop", "act", "done") == (record["at"], record["target"], record["mode"], record["result"])  # fmt: skip
    assert record["id"] == decide(begun(), BUSY, 12.5).id
    assert record["id"] != decide(begun(), BUSY, 12.6).id
