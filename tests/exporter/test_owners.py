"""Processes looked up on a machine: names, ledgers, and what is not believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.attribution import MPS_SERVER, divide
from exporter.owners import AGAIN_SECONDS, KEPT_SECONDS, Owners
from exporter.snapshot import Fleet, Owner, Process
from support.clock import Clock
from support.fleet import Readings, fleet, gpu, snapshot
from support.machine import Machine, uid
from support.server import eventually


A = Owner("studio", "a", "main")
UUID = gpu(0).uuid


def one(*processes: tuple[int, int | None, float | None]) -> Fleet:
    """Make a machine with one GPU and these processes: id, used bytes, busy seconds."""
    listed = tuple(Process(pid=p, used_bytes=u, busy_seconds=b) for p, u, b in processes)
    return fleet(snapshots=(snapshot(0, processes=listed, memory_used_bytes=10_000),))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.pod(1, "studio", "a", "main")
    made.process(10, Machine.cgroup(1))
    made.process(11, Machine.cgroup(1))
    return made


def test_names(machine: Machine) -> None:
    """Processes are their pods'; those of the machine itself are nobody's."""
    machine.process(12, "0::/system.slice/xorg.service")
    owners = Owners(machine.root)
    owners.refresh(one((10, 1, None), (12, 2, None), (99, 3, None)))

    assert {10: A} == owners.known.owners


def test_not_the_hosts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where process ids are a container's own, nothing is guessed from them, and it is said."""
    machine = Machine(tmp_path, host=False)
    machine.pod(1, "studio", "a", "main")
    machine.process(10, Machine.cgroup(1))
    readings = Readings(one((10, 1, None)))
    owners = Owners(tmp_path)
    owners.start(readings.fleet)
    owners.close()
    owners.refresh(readings.fleet())

    assert {} == owners.known.owners
    assert "hostPID" in caplog.text
    assert 10_000 == divide(readings.fleet().snapshots[0], owners.known).unattributed(10_000)


def test_mps(machine: Machine) -> None:
    """Under MPS the server owns what stands under it; its clients are not guessed."""
    machine.process(12, Machine.cgroup(1), comm="nvidia-cuda-mps")
    owners = Owners(machine.root)
    owners.refresh(one((12, 1, None)))

    assert {12: MPS_SERVER} == owners.known.owners


def test_gpushare(machine: Machine) -> None:
    """A gpushare container's grant is read from its environment."""
    machine.process(10, Machine.cgroup(1), environ=["ALIYUN_COM_GPU_MEM_IDX=0", "ALIYUN_COM_GPU_MEM_CONTAINER=3", "ALIYUN_COM_GPU_MEM_DEV=79"])  # fmt: skip
    owners = Owners(machine.root)
    now = one((10, 5000, None))
    owners.refresh(now)
    (share,) = divide(now.snapshots[0], owners.known).shares

    assert (A, 5000, 3 * 2**30) == (share.owner, share.used_bytes, share.granted_bytes)


def test_busy_grows(machine: Machine) -> None:
    """A container's busy seconds do not fall when one of its processes ends, nor when an id returns."""
    owners = Owners(machine.root)
    seen = []
    for step in (
        one((10, 1, 5.0), (11, 1, 3.0)),
        one((10, 1, 6.0), (11, 1, 4.0)),
        one((10, 1, 7.0)),
        one((10, 1, 8.0), (11, 1, 0.5)),
        one((10, 1, 0.25)),
    ):
        owners.refresh(step)
        seen.append(owners.known.busy[UUID][A])

    assert [8.0, 10.0, 11.0, 12.5, 12.75] == seen


def test_busy_unknown(machine: Machine) -> None:
    """Where the driver does not tell a process's time, there is none, not 0."""
    owners = Owners(machine.root)
    owners.refresh(one((10, 1, None)))

    assert {} == owners.known.busy


def test_gone(machine: Machine) -> None:
    """A container's last figure stays for a while after its end, and then goes."""
    clock = Clock()
    owners = Owners(machine.root, clock=clock)
    owners.refresh(one((10, 1, 5.0)))
    clock.now += KEPT_SECONDS
    owners.refresh(one())
    assert {UUID: {A: 5.0}} == owners.known.busy
    clock.now += 1
    owners.refresh(one())
    assert {} == owners.known.busy


def test_looked_up_once(machine: Machine) -> None:
    """A process is looked up again only after a while; then a reused id has its new owner."""
    clock = Clock()
    owners = Owners(machine.root, clock=clock)
    owners.refresh(one((10, 1, None)))
    machine.pod(2, "studio", "b", "main")
    machine.process(10, Machine.cgroup(2))
    clock.now += 5
    owners.refresh(one((10, 1, None)))
    assert {10: A} == owners.known.owners
    clock.now += AGAIN_SECONDS + 8
    owners.refresh(one((10, 1, None)))
    assert {10: Owner("studio", "b", "main")} == owners.known.owners


def test_exclusive_names(tmp_path: Path) -> None:
    """Without log folders, the only holder of the GPU names what runs on it."""
    machine = Machine(tmp_path)
    machine.process(10, Machine.cgroup(1))
    nameless, named = Owners(tmp_path), Owners(tmp_path, exclusive=lambda: {UUID: A})
    for owners in (nameless, named):
        owners.refresh(one((10, 1, None)))

    assert uid(1) == nameless.known.owners[10].pod
    assert {10: A} == named.known.owners


def test_thread(machine: Machine) -> None:
    """Once started, it follows what happens on the GPUs by itself."""
    readings = Readings(one((10, 1, 5.0)))
    owners = Owners(machine.root)
    owners.start(readings.fleet)
    try:
        assert eventually(lambda: bool(owners.known.owners), 10)
        readings.now = one()
        assert eventually(lambda: not owners.known.owners, 10)
    finally:
        owners.close()


def test_fault(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    """A fault in looking owners up is said once, and the next second is another try."""
    readings, asked = Readings(one((10, 1, 5.0))), []

    def faulty() -> Fleet:
        asked.append(1)
        if len(asked) < 3:
            raise LookupError("no fleet")
        return readings.fleet()

    owners = Owners(machine.root)
    owners.start(faulty)
    try:
        assert eventually(lambda: bool(owners.known.owners), 20)
    finally:
        owners.close()

    assert 1 == len(caplog.records)


def test_many(tmp_path: Path) -> None:
    """500 pods on a node are all told apart."""
    machine = Machine(tmp_path)
    processes = []
    for number in range(500):
        machine.pod(number, "studio", f"pod-{number}", "main")
        machine.process(10_000 + number, Machine.cgroup(number))
        processes.append((10_000 + number, 10, 1.0))
    owners = Owners(tmp_path)
    now = one(*processes)
    owners.refresh(now)
    account = divide(now.snapshots[0], owners.known)

    assert {f"pod-{number}" for number in range(500)} == {
        share.owner.pod for share in account.shares
    }
    assert 5000 == account.unattributed(10_000)
