"""Which container or job a process is in, from the text of /proc/PID/cgroup alone.

Paths begin with what the machine made and end with what the container made, so the outermost match
counts: a container cannot pass for another by the names that it gives its own cgroups. Layouts:
cgroup v1 and v2, kubelet's systemd and cgroupfs drivers, containerd, CRI-O, Docker, Podman, Slurm,
and paths seen from a private cgroup namespace, which begin with ``/..``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


MAX_CHARS = 65_536
_UID = r"[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32}"
_POD = re.compile(rf"(?:.*-)?pod({_UID})(?:\.slice)?")
_CONTAINER = re.compile(r"(?:([a-z][a-z-]*)-)?([0-9a-f]{64})(?:\.scope)?")
_JOB = re.compile(r"job_(\d+)")
_STEP = re.compile(r"step_(\w+)")
_SPLIT = re.compile(r"[/:]")  # a colon where containerd is told of a systemd slice it does not know


class Runtime(StrEnum):
    """What made the cgroup."""

    KUBERNETES = "kubernetes"
    DOCKER = "docker"
    PODMAN = "podman"
    SLURM = "slurm"
    OTHER = "container"


@dataclass(frozen=True)
class Place:
    """Where a process runs: a pod's uid and container's id in hex, or a job and its step."""

    runtime: Runtime
    pod: str = ""
    container: str = ""
    job: str = ""
    step: str = ""


def parse(text: str) -> Place | None:
    """Find the container or job of a process; None where it is in neither.

    Of several lines (cgroup v1 has one for each controller) the one that tells most counts.
    """
    paths = (line.split(":", 2)[-1] for line in text[:MAX_CHARS].splitlines())
    found = [place for path in paths if (place := _place(path))]
    return max(found, key=lambda one: (bool(one.pod), bool(one.container)), default=None)


def _place(path: str) -> Place | None:
    words = [
        word for word in _SPLIT.split(path.removesuffix(" (deleted)")) if word not in ("", "..")
    ]
    pod = ""
    for before, word in zip(["", *words], words, strict=False):
        if not pod and (match := _POD.fullmatch(word)):
            pod = match[1].replace("_", "-")
        elif (match := _CONTAINER.fullmatch(word)) and not str(match[1]).endswith("conmon"):
            return Place(_runtime(pod, match[1] or before), pod, match[2])
        elif not pod and "slurm" in path.partition(word)[0] and (match := _JOB.fullmatch(word)):
            return Place(Runtime.SLURM, job=match[1], step=next(_steps(words), ""))
    return Place(Runtime.KUBERNETES, pod) if pod else None


def _steps(words: list[str]) -> Iterator[str]:
    return (match[1] for word in words if (match := _STEP.fullmatch(word)))


def _runtime(pod: str, maker: str) -> Runtime:
    if pod:
        return Runtime.KUBERNETES
    return {"docker": Runtime.DOCKER, "libpod": Runtime.PODMAN}.get(maker, Runtime.OTHER)
