"""Options that rest on what nobody measured are not advised, unless they bear its whole range."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightmeter.rows import UsageRow
from lightmeter.settings_plan import Plan
from planner import doubt
from planner.inputs import INPUTS
from planner.options import OptionKind
from support import plans
from support.rows import row


SLEEP = "one shared pool, idle models asleep"
TOGETHER = "several services on a GPU, time-sliced"
GIB = 2**30


def in_turns(count: int = 400, **values: Any) -> list[UsageRow]:
    """Two services that take turns, a quarter of an hour apart, so that each request wakes a model."""
    return [row(900.0 * k, 10.0, service="ab"[k % 2], **values) for k in range(count)]


def bursts() -> list[UsageRow]:
    """Two services of 6 GiB that are asked for five times at once, every ten minutes of a week."""
    rows = (
        row(600.0 * k + n, 6.0, service=name, peak_vram_bytes=6 * GIB)
        for k in range(7 * 144)
        for name in "ab"
        for n in range(5)
    )
    return sorted(rows, key=lambda one: one.arrived_at)


def advised(found: dict[str, Any]) -> str:
    """Name what is advised, nothing where nothing is."""
    place = found["recommendation"]["option"]
    return "" if place is None else str(found["options"][place]["name"])


def test_every_unmeasured_input_is_known() -> None:
    """What is called unmeasured has a range and a source, and is a setting that a user can give."""
    assert doubt.UNMEASURED <= {one.key for one in INPUTS}
    assert doubt.UNMEASURED <= set(Plan.model_fields)


def test_assumed_wake() -> None:
    """A pool whose wake time nobody measured is not advised where a slow one would break it."""
    found = plans.document(in_turns(), slo="p95_wait=15s", swap_seconds=22.7)
    measure = found["recommendation"]["measure"]

    assert any(SLEEP == option["name"] and option["meets_slo"] for option in found["options"])
    assert SLEEP != advised(found)
    assert (SLEEP, "wake_seconds", 6.0) == (measure["option"], measure["key"], measure["assumed"])
    assert 14.5 < measure["upto"] <= 15.0  # the limit of the wait itself
    assert "set plan.wake_seconds" in found["recommendation"]["reason"]
    assert "a month more" in found["recommendation"]["reason"]


@pytest.mark.parametrize("wake", [6.0, 2.0])
def test_given_wake(wake: float) -> None:
    """The same pool is advised once its owner says how long a model takes to wake, the default too."""
    found = plans.document(in_turns(), slo="p95_wait=15s", swap_seconds=22.7, wake_seconds=wake)

    assert SLEEP == advised(found)
    assert found["recommendation"]["measure"] is None
    assert "nobody measured" not in found["recommendation"]["reason"]


def test_measured_value_is_true_to_its_word() -> None:
    """Set to just what was said to be enough it is advised; a little above it is not."""
    said = plans.document(in_turns(), slo="p95_wait=15s")["recommendation"]["measure"]["upto"]

    below, above = (
        advised(plans.document(in_turns(), slo="p95_wait=15s", wake_seconds=value))
        for value in (said, said * 1.02)
    )
    assert SLEEP == below
    assert SLEEP != above


def test_robust() -> None:
    """Where the whole range of the wake time keeps the objective, nothing stands in the way."""
    found = plans.document(in_turns(), slo="p95_wait=2m", swap_seconds=60)

    assert found["recommendation"]["measure"] is None
    assert "shared" == found["recommendation"]["kind"]


def test_assumed_start() -> None:
    """On-demand GPUs are advised where even ten minutes of a start keep it, not where only three do."""
    usage = [row(5 * 3600.0 * k, 10.0) for k in range(150)]

    patient = plans.document(usage, slo="p95_wait=11m")
    hasty = plans.document(usage, slo="p95_wait=4m")
    given = plans.document(usage, slo="p95_wait=4m", start_seconds=180)

    assert "on-demand GPUs" == advised(patient)
    assert "on-demand GPUs" != advised(hasty)
    assert "start_seconds" == hasty["recommendation"]["measure"]["key"]
    assert "on-demand GPUs" == advised(given)


def test_nothing_but_a_doubtful_one() -> None:
    """Where only an unmeasured input is in the way of any advice, that is said."""
    found = plans.document(in_turns(), slo="p95_wait=15s", max_gpus=1, swap_seconds=60)

    assert "" == advised(found)
    assert (
        "would keep it if the time to wake a model is at most"
        in (found["recommendation"]["reason"])
    )


def test_services_file(tmp_path: Path) -> None:
    """Interference that the services file states for every service counts as measured."""
    said = tmp_path / "services.toml"
    said.write_text("[services.a]\ninterference = 0.05\n[services.b]\ninterference = 0.05\n")
    # ten at once, of 6 s each: the last waits 60 s with a loss of 0.095, 69 s with 0.2
    wish: dict[str, Any] = {"slo": "p95_wait=64s", "wake_seconds": 60, "mps_interference": 0.3}

    assumed = plans.document(bursts(), **wish)
    stated = plans.document(bursts(), **wish, services=said)

    assert "interference" == assumed["recommendation"]["measure"]["key"]
    assert TOGETHER != advised(assumed)
    assert TOGETHER == advised(stated)


def test_bears_what_it_does_not_mind() -> None:
    """Rented GPUs rest on nothing that was not measured."""
    demand = plans.demand_of(in_turns(), days=5)
    case = demand, plans.draws_of(demand), plans.terms(assumed=doubt.UNMEASURED)

    option = plans.option(OptionKind.DEDICATED, np.ones(5))
    assert doubt.bears(option, case)
    assert doubt.doubt(option, case) is None
