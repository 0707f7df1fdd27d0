"""Which container a process is in, for every layout of cgroups there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cgroups import Place, Runtime, parse


UID = "0b7fd0b6-8f5f-4c6c-9a34-3f1c2f9f6f10"
UNDER = UID.replace("-", "_")
STATIC = "5d1f0c3c9b8a4f6e8d7c6b5a4f3e2d1c"
ID = "4f1e" * 16
OTHER = "9b2c" * 16
POD = Place(Runtime.KUBERNETES, UID, ID)

LAYOUTS = {
    "v2, systemd, containerd": (f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UNDER}.slice/cri-containerd-{ID}.scope", POD),
    "v2, systemd, guaranteed": (f"0::/kubepods.slice/kubepods-pod{UNDER}.slice/cri-containerd-{ID}.scope", POD),
    "v2, systemd, CRI-O": (f"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UNDER}.slice/crio-{ID}.scope", POD),
    "v2, systemd, CRI-O, in its own cgroup": (f"0::/kubepods.slice/kubepods-pod{UNDER}.slice/crio-{ID}.scope/container", POD),
    "v2, systemd, docker": (f"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UNDER}.slice/docker-{ID}.scope", POD),
    "v2, cgroupfs": (f"0::/kubepods/burstable/pod{UID}/{ID}", POD),
    "v2, cgroupfs, guaranteed": (f"0::/kubepods/pod{UID}/{ID}", POD),
    "v1, cgroupfs": (f"12:memory:/kubepods/besteffort/pod{UID}/{ID}\n11:cpu,cpuacct:/kubepods/besteffort/pod{UID}/{ID}\n0::/", POD),
    "v1, systemd": (f"9:name=systemd:/\n4:memory:/kubepods.slice/kubepods-pod{UNDER}.slice/docker-{ID}.scope", POD),
    "v1, a slice that containerd does not know": (f"10:devices:/system.slice/containerd.service/kubepods-burstable-pod{UNDER}.slice:cri-containerd:{ID}", POD),
    "kind": (f"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod{UNDER}.slice/cri-containerd-{ID}.scope", POD),
    "private namespace, systemd": (f"0::/../../kubepods-burstable-pod{UNDER}.slice/cri-containerd-{ID}.scope", POD),
    "private namespace, cgroupfs": (f"0::/../../pod{UID}/{ID}", POD),
    "private namespace, same pod": (f"0::/../cri-containerd-{ID}.scope", Place(Runtime.OTHER, "", ID)),
    "private namespace, same pod, cgroupfs": (f"0::/../{ID}", Place(Runtime.OTHER, "", ID)),
    "static pod": (f"0::/kubepods/burstable/pod{STATIC}/{ID}", Place(Runtime.KUBERNETES, STATIC, ID)),
    "a pod's own process": (f"0::/kubepods.slice/kubepods-pod{UNDER}.slice", Place(Runtime.KUBERNETES, UID)),
    "docker in a pod": (f"0::/kubepods/pod{UID}/{ID}/docker/{OTHER}", POD),
    "a hostile name inside a pod": (f"0::/kubepods/pod{UID}/{ID}/kubepods/pod{STATIC}/{OTHER}", POD),
    "ended": (f"0::/kubepods/pod{UID}/{ID} (deleted)", POD),
    "docker, systemd": (f"0::/system.slice/docker-{ID}.scope", Place(Runtime.DOCKER, "", ID)),
    "docker, cgroupfs": (f"4:memory:/docker/{ID}", Place(Runtime.DOCKER, "", ID)),
    "podman": (f"0::/machine.slice/libpod-{ID}.scope/container", Place(Runtime.PODMAN, "", ID)),
    "podman, rootless": (f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope", Place(Runtime.PODMAN, "", ID)),
    "podman, cgroupfs": (f"0::/libpod_parent/libpod-{ID}", Place(Runtime.PODMAN, "", ID)),
    "nerdctl": (f"0::/system.slice/nerdctl-{ID}.scope", Place(Runtime.OTHER, "", ID)),
    "ECS": (f"4:memory:/ecs/0a1b2c3d4e5f/{ID}", Place(Runtime.OTHER, "", ID)),
    "Slurm, v1": ("7:memory:/slurm/uid_1000/job_4711/step_0/task_2\n0::/", Place(Runtime.SLURM, job="4711", step="0")),
    "Slurm, v1, several daemons": ("7:memory:/slurm_node7/uid_1000/job_4711/step_batch", Place(Runtime.SLURM, job="4711", step="batch")),
    "Slurm, v2": ("0::/system.slice/slurmstepd.scope/job_4711/step_extern/user/task_0", Place(Runtime.SLURM, job="4711", step="extern")),
    "Slurm, v2, several daemons": ("0::/system.slice/node7_slurmstepd.scope/job_4711/step_0", Place(Runtime.SLURM, job="4711", step="0")),
    "Slurm, no step": ("7:memory:/slurm/uid_0/job_4711", Place(Runtime.SLURM, job="4711")),
    "slurmd in a pod": (f"0::/kubepods/pod{UID}/{ID}/slurm/job_1/step_0", POD),
    "a service": ("0::/system.slice/ssh.service", None),
    "a user": ("0::/user.slice/user-1000.slice/session-3.scope", None),
    "CRI-O's monitor": (f"0::/system.slice/crio-conmon-{ID}.scope", None),
    "podman's monitor": (f"0::/machine.slice/libpod-conmon-{ID}.scope", None),
    "the root": ("0::/", None),
    "a job that is not Slurm's": ("0::/user.slice/job_4711", None),
    "an id that is none": (f"0::/docker/{ID[:-1]}", None),
    "nothing": ("", None),
    "no cgroup file at all": ("\n:::\nx", None),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(layout: str) -> None:
    """A process is found in its container, whatever made the cgroup."""
    text, place = LAYOUTS[layout]

    assert place == parse(text)


@given(st.text())
def test_anything(text: str) -> None:
    """No text whatever is an error."""
    parse(text)


def test_own() -> None:
    """The kernel's own text of a real process is understood."""
    place = parse(Path("/proc/self/cgroup").read_text())

    assert place is None or place.container or place.job


@pytest.mark.parametrize(
    "text", ["0::" + "/a" * 1_000_000, f"0::/{'x/' * 100_000}docker/{ID}", "0::/x\n" * 100_000]
)
def test_long(text: str) -> None:
    """Of an endless path only the beginning is read."""
    assert parse(text) is None
