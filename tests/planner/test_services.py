"""What a person knows of services: the file, and what it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lightmeter.errors import PlanError
from planner import services
from planner.options import WAYS, Sharing, dedicated, shared
from planner.options.base import Known
from support import plans
from support.plans import demand_of, draws_of, terms
from support.rows import every, row


GOOD = """
[services.a]
vram_gib = 18
interference = 0.05
start = "2m"
wait = 10
priority = "batch"
share = false
speed = { L4 = 0.4, "A100-80G" = 2 }

[services.b]
"""


def write(tmp_path: Path, text: str) -> Path:
    """Write a services file."""
    path = tmp_path / "services.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_read(tmp_path: Path) -> None:
    """Every key is understood, times with units too; what is left out is unknown."""
    found = services.load(write(tmp_path, GOOD))

    assert (
        Known(
            vram_bytes=18 * 2**30,
            interference=0.05,
            start_seconds=120.0,
            wait_seconds=10.0,
            batch=True,
            share=False,
            speed=(("L4", 0.4), ("A100-80G", 2.0)),
        )
        == found["a"]
    )
    assert Known() == found["b"]
    assert {} == services.load(None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must hold [services.NAME] tables and nothing else"),
        ("[service.a]\nvram_gib = 1", "must hold [services.NAME] tables"),
        ("[services.a]\nvram = 1", "'vram' is no key; did you mean 'vram_gib'?"),
        ("[services.a]\nvram_gib = 0", "vram_gib is 0; it must be at least 0.01"),
        ("[services.a]\nvram_gib = '18'", "vram_gib is '18'; it must be a number"),
        ("[services.a]\nvram_gib = nan", "vram_gib is nan; it must be a number"),
        ("[services.a]\ninterference = 1.5", "must be at least 0 and at most 0.99"),
        ("[services.a]\nstart = '2 monkeys'", "start: "),
        ("[services.a]\npriority = 'high'", "priority is 'high'; it must be one of"),
        ("[services.a]\nshare = 1", "share is 1; write true or false"),
        ("[services.a]\nspeed = 2", "write it like speed = { L4 = 0.4 }"),
        ("[services.a]\nspeed = { L4 = 0 }", "L4 is 0; it must be at least 0.001"),
        ("[services]\na = 3", "'a' is 3; write it as a [services.NAME] table"),
        ("[services.a", "is no TOML"),
    ],
)
def test_refused(tmp_path: Path, text: str, said: str) -> None:
    """What is not understood is refused in one line that names the file, the service and the value."""
    with pytest.raises(PlanError) as caught:
        services.load(write(tmp_path, text))

    assert said in str(caught.value)
    assert "services.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(PlanError, match=r"gone\.toml"):
        services.load(tmp_path / "gone.toml")


def test_unknown_service(tmp_path: Path) -> None:
    """A service that the history does not have is told of, with the nearest one that it has."""
    path = write(tmp_path, "[services.zimage]\nshare = true")
    found = plans.document(every(60.0, 200, service="z-image"), services=path)

    (note,) = found["generated_from"]["notes"]
    assert "knows 'zimage', of which the history has no request; did you mean 'z-image'?" in note


def test_own_limit(tmp_path: Path) -> None:
    """A service with a limit of its own is held to it, the others to the plan's."""
    usage = [one for name in "ab" for _ in range(4) for one in every(3600.0, 48, seconds=20.0, service=name)]  # fmt: skip
    demand = demand_of(usage)
    known = services.load(write(tmp_path, "[services.a]\nwait = '1m'"))
    demand, here, _ = services.with_known(demand, terms(15.0), known)
    found = dedicated(demand, draws_of(demand), here)

    assert [1, 4] == [place.gpus for place in found.placement]
    assert found.meets_slo


def test_batch_waits() -> None:
    """Batch requests go last, are not held to the objective, and are told of apart."""
    usage = [
        *(row(3600.0 * n, 20.0, priority="interactive") for n in range(200)),
        *(row(3600.0 * n - 1 + k / 10, 20.0, priority="batch") for n in range(1, 200) for k in range(8)),
    ]  # fmt: skip
    demand = demand_of(usage)
    found = dedicated(demand, draws_of(demand), terms(30.0))

    assert (1, True, 1.0) == (found.gpus, found.meets_slo, found.attainment)
    assert 19.0 == max(found.asked_waits)
    assert 150.0 < max(found.waits)
    pooled = shared(demand, draws_of(demand), terms(30.0))
    assert found.waits.tolist() == pooled.waits.tolist()


def test_batch_service(tmp_path: Path) -> None:
    """A whole service may be called batch; the objective is about the others then."""
    usage = [*every(30.0, 3000, seconds=20.0), *every(900.0, 100, seconds=200.0, service="night")]
    demand = demand_of(usage)
    known = services.load(write(tmp_path, "[services.night]\npriority = 'batch'"))
    demand, here, _ = services.with_known(demand, terms(30.0, swap_seconds=0.0), known)
    found = shared(demand, draws_of(demand), here)

    assert 3000 == len(found.asked_waits)
    assert found.meets_slo


def test_urgent_everywhere() -> None:
    """Urgent requests wait less than batch ones on started, scheduled and shared GPUs too, or it is said."""
    usage = [
        one
        for name in "ab"
        for n in range(24 * 14)
        if n % 24 in range(9, 18)
        for one in [
            *(row(3600.0 * n + k, 20.0, name, priority="batch", peak_vram_bytes=2**33) for k in range(4)),
            row(3600.0 * n + 15, 20.0, name, priority="interactive", peak_vram_bytes=2**33),
        ]
    ]  # fmt: skip
    demand = demand_of(usage)
    here = terms(60.0, start_seconds=20.0, policy="recommended")
    found = [one for way in WAYS for one in way.options(demand, draws_of(demand), here)]
    slow = [one for one in found if np.median(one.asked_waits) >= np.median(one.waits[~demand.judged])]  # fmt: skip

    assert {"on-demand GPUs", "dedicated GPUs, off at quiet hours"} < {one.title for one in found}
    assert {Sharing.TIME_SLICING, Sharing.MPS} < {one.sharing for one in found}
    assert ["on-demand GPUs, ruled by lightmeter scale"] == [one.title for one in slow]
    assert "urgent requests" in [what for one in slow for what, _, _ in one.facts]
