"""Names of pods from the kubelet's log folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.cgroups import Place, Runtime, parse
from exporter.pods import Names
from exporter.snapshot import Owner
from support.clock import Clock
from support.machine import Machine, container_id, uid


def place(number: int, container: int = 0) -> Place:
    found = parse(Machine.cgroup(number, container))
    assert found is not None
    return found


def test_names(tmp_path: Path) -> None:
    """Containers of one pod are told apart."""
    machine = Machine(tmp_path)
    machine.pod(1, "studio", "z-image-5d4c-x7k2p", "main", "side-car")

    names = Names(tmp_path)
    assert Owner("studio", "z-image-5d4c-x7k2p", "main") == names.owner(place(1, 0))
    assert Owner("studio", "z-image-5d4c-x7k2p", "side-car") == names.owner(place(1, 1))


def test_pods_folder_alone(tmp_path: Path) -> None:
    """Without the links a pod is known by its uid, and its container where there is only one."""
    machine = Machine(tmp_path)
    machine.pod(1, "studio", "one", "main", logs=False)
    machine.pod(2, "studio", "two", "a", "b", logs=False)

    names = Names(tmp_path)
    assert Owner("studio", "one", "main") == names.owner(place(1))
    assert Owner("studio", "two", container_id(2000)[:12]) == names.owner(place(2))


def test_later(tmp_path: Path) -> None:
    """A pod that comes later is found, without the folders being read at every question."""
    machine, clock = Machine(tmp_path), Clock()
    names = Names(tmp_path, clock)

    assert Owner("", uid(1), container_id(1000)[:12]) == names.owner(place(1))
    machine.pod(1, "studio", "one", "main")
    assert Owner("", uid(1), container_id(1000)[:12]) == names.owner(place(1))
    clock.now += 5
    assert Owner("studio", "one", "main") == names.owner(place(1))


@pytest.mark.parametrize(
    ("found", "owner"),
    [
        (Place(Runtime.DOCKER, "", "ab" * 32), Owner("docker", "", "abababababab")),
        (Place(Runtime.PODMAN, "", "ab" * 32), Owner("podman", "", "abababababab")),
        (Place(Runtime.OTHER, "", "ab" * 32), Owner("container", "", "abababababab")),
        (Place(Runtime.SLURM, job="7", step="0"), Owner("slurm", "job_7", "step_0")),
        (Place(Runtime.SLURM, job="7"), Owner("slurm", "job_7", "")),
    ],
)
def test_elsewhere(found: Place, owner: Owner, tmp_path: Path) -> None:
    """Outside Kubernetes a container goes by its id and a job by its number."""
    assert owner == Names(tmp_path).owner(found)


def test_same_pod(tmp_path: Path) -> None:
    """A container of our own pod, of which the cgroup shows the id alone, has its name."""
    Machine(tmp_path).pod(1, "studio", "one", "main")

    assert Owner("studio", "one", "main") == Names(tmp_path).owner(Place(Runtime.OTHER, "", container_id(1000)))  # fmt: skip


def test_odd_entries(tmp_path: Path) -> None:
    """What the kubelet did not make is passed over."""
    machine = Machine(tmp_path)
    machine.pod(1, "studio", "one", "main")
    for name in ("x", "a_b_c-d.log", "_.log", "a_b_c_d-" + "0" * 64 + ".log", "\n_\n_"):
        (tmp_path / "var/log/containers" / name).touch()
        (tmp_path / "var/log/pods" / name).touch()

    assert Owner("studio", "one", "main") == Names(tmp_path).owner(place(1))


def test_unreadable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Folders that cannot be read are said once; pods go by their ids."""
    (tmp_path / "var/log").mkdir(parents=True)
    (tmp_path / "var/log/pods").write_text("")
    clock = Clock()
    names = Names(tmp_path, clock)
    for _ in range(3):
        clock.now += 10
        assert uid(1) == names.owner(place(1)).pod

    assert 1 == len(caplog.records)
