"""Histories that cannot be, or say less than they seem to: a plan is sane and says its doubt."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from lightmeter.errors import PlanError
from planner import plausible, steady
from planner.options.scaled import scaled
from support import plans, rows
from support.cli import inside
from support.plans import demand_of, draws_of, terms
from support.rows import every, row


MONTH = every(3600.0, 720, seconds=20.0)
NOW = rows.START + timedelta(days=31)


def test_future() -> None:
    """Rows of years to come are left out and said; a history that is all ahead keeps its times."""
    late = [row(86_400.0 * 3650 + n) for n in range(5)]
    found = plans.document([*MONTH, *late], now=NOW, sweep_points=0)
    quality = found["quality"]

    assert 720 == found["generated_from"]["requests"]
    assert "D" == quality["grade"]
    assert ["5 rows arrived more than a day in the future and are left out; is the server's clock right?"] == [one["reason"] for one in quality["flaws"] if "future" in one["reason"]]  # fmt: skip
    ahead, flaws = plausible.only(rows.frame(late), NOW)
    assert (5, []) == (len(ahead), flaws)


def test_longest() -> None:
    """A request of thirty years makes no plan of thirty years; one of an hour stays."""
    found = plans.document([*MONTH, row(5.0, 1e9), row(6.0, 3600.0)], sweep_points=0)

    assert 721 == found["generated_from"]["requests"]
    assert 32 > found["generated_from"]["span_seconds"] / 86_400
    assert ["C"] == [one["grade"] for one in found["quality"]["flaws"] if "more than a day" in one["reason"]]  # fmt: skip


def test_failed() -> None:
    """A history of failures is graded as one; a few are no flaw."""

    def flaws(share: float) -> list[str]:
        count = int(len(MONTH) * share)
        usage = [dataclasses.replace(one, outcome="error") for one in MONTH[:count]]
        found = plans.document([*usage, *MONTH[count:]], sweep_points=0)
        return [one["grade"] for one in found["quality"]["flaws"] if "failed" in one["reason"]]

    assert [[], ["B"], ["C"]] == [flaws(share) for share in (0.1, 0.3, 1.0)]


def test_refused() -> None:
    """Where everybody was refused, that is said, since no row tells how long a request takes."""
    usage = [dataclasses.replace(one, outcome="shed", service_seconds=None) for one in MONTH]
    with pytest.raises(PlanError, match=r"720 rows used a GPU \(720 were refused or given up\)"):
        plans.document(usage)


def test_few_bad_days() -> None:
    """Where all late requests of the advice fall on one day, the doubt about its interval is said."""

    def said(*days: int) -> list[str]:
        late = [row(86_400.0 * day + 600 + n, 60.0) for day in days for n in range(4)]
        found = plans.document([*every(600.0, 4000, seconds=20.0), *late])
        return [note for note in found["generated_from"]["notes"] if "late requests" in note]

    assert [] == said()
    (note,) = said(3)
    assert "fall on 1 of 28 days" in note
    assert [] == said(3, 8, 12)


def test_newcomers() -> None:
    """A service of the last days is named; one that is rare, or was there before, is not."""
    late = every(600.0, 40, service="new", first=86_400.0 * 29)
    rare = every(600.0, 4, service="rare", first=86_400.0 * 29)

    assert ["first asked for in the last quarter of the history: new; expect more of it than is planned for here"] == steady.newcomers(demand_of([*MONTH, *late, *rare]))  # fmt: skip
    assert [] == steady.newcomers(demand_of(MONTH))


def test_never_served() -> None:
    """Requests that the scaling policy serves after the history's end are late, however short that is."""
    demand = demand_of([row(0.0, 10.0, request_id=str(n)) for n in range(500)])
    (found,) = scaled(demand, draws_of(demand), terms(30.0, policy="recommended", max_gpus=1))

    assert np.quantile(found.waits, 0.95) > 4000
    assert not found.meets_slo


@pytest.mark.parametrize("seconds", [1e-300, 1e-6])
def test_shortest(seconds: float) -> None:
    """Times that no clock can tell make a plan, the simulated policy's too."""
    demand = demand_of([dataclasses.replace(one, service_seconds=seconds) for one in MONTH])
    (option,) = scaled(demand, draws_of(demand), terms(30.0, policy="recommended", max_gpus=1))

    assert np.isfinite(option.waits).all()


def test_spent_within_the_history(tmp_path: Path) -> None:
    """A time that no calendar holds neither stops the command nor stretches what was spent."""
    history = rows.folder(tmp_path / "h", [*MONTH, row(5.0, 1e300)])
    out = tmp_path / "r"

    assert 0 == inside("plan", "--history", history, "--held-gpus", "1", "--sweep-points", "0", "--resamples", "50", "--out", out)  # fmt: skip
    plan = json.loads((out / "plan.json").read_text())
    assert 719 < plan["actual"]["gpu_hours"] < 721
