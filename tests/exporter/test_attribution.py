"""Each GPU divided among its containers: sums, remainders, silence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import attribution
from exporter.attribution import MPS_SERVER, Known, divide, prepare
from exporter.exposition import LABEL_CHARS, OPENMETRICS, TEXT, Form, Sheet, document
from exporter.grants import Grant
from exporter.snapshot import Owner, Process, Snapshot
from lightmeter import catalog
from support.fleet import MIB, TOTAL, fleet, gpu, parse, samples, snapshot, values


A, B = Owner("studio", "a", "main"), Owner("studio", "b", "main")
UUID = gpu(0).uuid
OWNERS = st.sampled_from([None, A, B, Owner("docker", "", "ab" * 6), MPS_SERVER])
PROCESSES = st.lists(
    st.builds(
        lambda pid, used: Process(pid=pid, used_bytes=used, busy_seconds=None),
        st.integers(1, 30),
        st.none() | st.integers(0, 2**37),
    ),
    max_size=20,
)


def process(pid: int, used: int | None, busy: float | None = None) -> Process:
    return Process(pid=pid, used_bytes=used, busy_seconds=busy)


def busy_gpu(*processes: Process, **fields: Any) -> Snapshot:
    return snapshot(0, processes=processes, **({"memory_used_bytes": 1000} | fields))


@given(PROCESSES, st.lists(OWNERS, min_size=31, max_size=31), st.none() | st.integers(0, 2**37), st.integers(0, 6))  # fmt: skip
def test_sum(processes: list[Process], owners: list[Owner | None], used: int | None, room: int) -> None:  # fmt: skip
    """The containers' memory and the remainder are the device's memory in use, whatever is known."""
    known = Known(owners={pid: owner for pid, owner in enumerate(owners) if owner})
    account = divide(busy_gpu(*processes, memory_used_bytes=used), known, room)

    assert len(account.shares) <= room
    shown = sum(share.used_bytes for share in account.shares if share.used_bytes is not None)
    rest = account.unattributed(used)
    assert rest is None if used is None else used == shown + (rest or 0)


def test_shares() -> None:
    """Processes of one container are added up; what nobody owns is the remainder."""
    account = divide(
        busy_gpu(process(1, 300), process(2, 200), process(3, 100), process(4, 50)),
        Known(owners={1: A, 2: B, 3: A}),
    )

    assert {A: 400, B: 200} == {share.owner: share.used_bytes for share in account.shares}
    assert 400 == account.unattributed(1000)


def test_unknown_use() -> None:
    """Where the driver does not tell one process's use, its container's is absent, not less."""
    account = divide(
        busy_gpu(process(1, 300), process(2, None), process(3, 200)),
        Known(owners={1: A, 2: A, 3: B}),
    )

    assert {A: None, B: 200} == {share.owner: share.used_bytes for share in account.shares}
    assert 800 == account.unattributed(1000)


def test_no_list() -> None:
    """A device that cannot list its processes is unattributed as a whole; no container is there."""
    account = divide(snapshot(0, processes=None, memory_used_bytes=1000), Known())

    assert ((), 1000) == (account.shares, account.unattributed(1000))


def test_listed_twice() -> None:
    """A process that computes and draws counts once."""
    account = divide(busy_gpu(process(1, 300), process(1, 300)), Known(owners={1: A}))

    assert [300] == [share.used_bytes for share in account.shares]


def test_freed_meanwhile() -> None:
    """Where processes were read before memory was freed, the sum still holds."""
    account = divide(busy_gpu(process(1, 1300)), Known(owners={1: A}))

    assert -300 == account.unattributed(1000)


def test_granted() -> None:
    """What was granted stands beside what is used, on the right GPU only."""
    grants = {1: (Grant(index=0, amount=3, whole=TOTAL // 2**30),)}
    here = divide(busy_gpu(process(1, 300)), Known(owners={1: A}, grants=grants))
    there = divide(snapshot(1, processes=(process(1, 300),)), Known(owners={1: A}, grants=grants))

    assert [3 * 2**30] == [share.granted_bytes for share in here.shares]
    assert [None] == [share.granted_bytes for share in there.shares]


def test_whole_gpu() -> None:
    """A container that holds a whole GPU and uses none of it is there with its grant alone."""
    (share,) = divide(busy_gpu(), Known(exclusive={UUID: A})).shares

    assert (A, None, TOTAL) == (share.owner, share.used_bytes, share.granted_bytes)


def test_whole_gpu_unlisted() -> None:
    """Where no processes can be listed, what is used of a GPU is its only holder's."""
    unlisted = snapshot(0, processes=None, memory_used_bytes=1000)
    account = divide(unlisted, Known(exclusive={UUID: A}))

    assert [(A, 1000)] == [(share.owner, share.used_bytes) for share in account.shares]
    assert 0 == account.unattributed(1000)


def test_series() -> None:
    """The page has each container's memory, grant and busy time, under names that DCGM lacks."""
    sheet = Sheet()
    known = Known(owners={1000: A}, busy={UUID: {A: 12.5}}, exclusive={UUID: A})
    attribution.write(sheet, fleet(1), prepare(fleet(1), known, 100))
    found = samples(sheet)

    labels = {"gpu": "0", "UUID": UUID, "namespace": "studio", "pod": "a", "container": "main"}
    assert [labels] == [s.labels for s in found if s.name == catalog.POD_MEMORY_USED.name]
    assert [9000.0 * MIB] == values(found, catalog.POD_MEMORY_USED)
    assert [float(TOTAL)] == values(found, catalog.POD_MEMORY_GRANTED)
    assert [12.5] == values(found, catalog.POD_BUSY)
    assert [31_000.0 * MIB] == values(found, catalog.UNATTRIBUTED_MEMORY)
    assert not [s for s in found if s.name.startswith("DCGM")]


@pytest.mark.parametrize("form", [TEXT, OPENMETRICS], ids=["text", "openmetrics"])
def test_hostile_names(form: Form) -> None:
    """A container's name cannot forge a line, end a label or fill the page."""
    names = [
        'x"} 1\nevil_metric{a="',
        "\\",
        "\n# EOF\n",
        "x" * 10_000,
        "\x00\x1b[31m",
        "\ud800",
        "名",
    ]
    owners = {1000 + i: Owner(name, name, name) for i, name in enumerate(names)}
    sheet = Sheet()
    now = fleet(snapshots=(busy_gpu(*(process(pid, 10) for pid in owners)),))
    attribution.write(sheet, now, prepare(now, Known(owners=owners), 100))
    found = parse(document(form, [sheet]).decode(), form)

    assert {catalog.POD_MEMORY_USED.name, catalog.UNATTRIBUTED_MEMORY.name} == {
        s.name for s in found
    }
    pods = [s.labels["pod"] for s in found if "pod" in s.labels]
    assert len(names) == len(pods)
    assert all(len(pod) <= LABEL_CHARS for pod in pods)
    assert "名" in pods


def test_full_page() -> None:
    """On a full page the containers that are left out count as the remainder, and are counted."""
    owners = {pid: Owner("n", f"pod-{pid:03}", "c") for pid in range(100)}
    processes = tuple(process(pid, 10) for pid in owners)
    sheet = Sheet()
    now = fleet(snapshots=(busy_gpu(*processes),))
    attribution.write(sheet, now, prepare(now, Known(owners=owners), 30))
    found = samples(sheet)

    assert [10.0] * 10 == values(found, catalog.POD_MEMORY_USED)
    assert [900.0] == values(found, catalog.UNATTRIBUTED_MEMORY)
    assert 270 == sheet.dropped


def test_same_label() -> None:
    """Names that are the same once they are cut are shown once; the other use is the remainder's."""
    owners = {1: Owner("n", "x" * 400 + "a", "c"), 2: Owner("n", "x" * 400 + "b", "c")}
    sheet = Sheet()
    now = fleet(snapshots=(busy_gpu(process(1, 300), process(2, 200)),))
    attribution.write(sheet, now, prepare(now, Known(owners=owners), 100))
    found = samples(sheet)

    assert [300.0] == values(found, catalog.POD_MEMORY_USED)
    assert [700.0] == values(found, catalog.UNATTRIBUTED_MEMORY)
    assert 3 == sheet.dropped


def test_before_anybody_looked() -> None:
    """Until owners were looked up, all of the memory in use is the remainder's."""
    sheet = Sheet()
    attribution.write(sheet, fleet(1), {})

    assert [40_000.0 * MIB] == values(samples(sheet), catalog.UNATTRIBUTED_MEMORY)


def test_gpu_gone() -> None:
    """Containers on a GPU that no longer answers are not shown with stale figures."""
    blocks = prepare(fleet(2), Known(owners={1000: A, 2000: B}), 100)
    sheet = Sheet()
    attribution.write(sheet, fleet(1), blocks)

    assert {"0"} == {s.labels["gpu"] for s in samples(sheet)}
