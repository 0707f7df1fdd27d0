"""Names of pods and containers from the kubelet's log folders: no API, no token, no socket.

The kubelet keeps ``/var/log/pods/NAMESPACE_POD_UID/CONTAINER/`` and
``/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log``; to read the two listings is enough.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from exporter.cgroups import Place, Runtime
from exporter.snapshot import Owner
from lightmeter.errors import explain


EVERY_SECONDS = 5.0
"""How soon after one look an unknown id may cause the next."""
MAX_ENTRIES = 20_000
"""Most entries of a folder that are looked at."""
SHORT = 12
"""Digits of a container's id that stand for a name that is not known."""
_LOG = re.compile(r"([^_/]+)_([^_/]+)_([^_/]+)-([0-9a-f]{64})\.log")
_FOLDER = re.compile(r"([^_/]+)_([^_/]+)_([0-9a-f-]{32,36})")
_log = logging.getLogger(__name__)


class Names:
    """The kubelet's log folders below a root, read again when an unknown id comes up."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._logs = root / "var/log"
        self._clock = clock
        self._looked = -EVERY_SECONDS
        self._containers: dict[str, Owner] = {}
        self._pods: dict[str, str] = {}
        self._complained = False

    def owner(self, place: Place) -> Owner:
        """Name the owner of what runs in a place; what has no known name goes by its ids."""
        if place.runtime is Runtime.SLURM:
            step = f"step_{place.step}" if place.step else ""
            return Owner(place.runtime, f"job_{place.job}", step)
        if not self._knows(place) and self._clock() - self._looked >= EVERY_SECONDS:
            self._look()
        short = place.container[:SHORT]
        if place.container in self._containers:
            return self._containers[place.container]
        if place.pod in self._pods:
            folder = self._pods[place.pod]
            namespace, pod, _ = folder.split("_")
            return Owner(namespace, pod, self._only(folder) or short)
        if place.runtime is Runtime.KUBERNETES:
            return Owner("", place.pod, short)
        return Owner(place.runtime, "", short)

    def _knows(self, place: Place) -> bool:
        return place.container in self._containers or (
            place.runtime in (Runtime.DOCKER, Runtime.PODMAN)
        )

    def _look(self) -> None:
        self._looked = self._clock()
        logs = (_LOG.fullmatch(name) for name in self._list("containers"))
        self._containers = {m[4]: Owner(m[2], m[1], m[3]) for m in logs if m}
        folders = (_FOLDER.fullmatch(name) for name in self._list("pods"))
        self._pods = {m[3]: m[0] for m in folders if m}

    def _only(self, folder: str) -> str:
        """Name the container of a pod that has one."""
        names = self._list(f"pods/{folder}")
        return names[0] if len(names) == 1 else ""

    def _list(self, folder: str) -> list[str]:
        try:
            with os.scandir(self._logs / folder) as entries:
                return [entry.name for entry in itertools.islice(entries, MAX_ENTRIES)]
        except FileNotFoundError:
            return []
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.warning("pods go by their ids: %s %s", error.filename, explain(error))
            return []
