"""A machine's /proc and /var/log in a folder, as the kernel and the kubelet keep them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def uid(number: int) -> str:
    """Make a pod's uid."""
    return f"{number:08x}-8f5f-4c6c-9a34-3f1c2f9f6f10"


def container_id(number: int) -> str:
    """Make a container's id."""
    return f"{number:064x}"


class Machine:
    """Grows processes and pods below a root."""

    def __init__(self, root: Path, *, host: bool = True) -> None:
        self.root = root
        if host:
            self.process(2, comm="kthreadd")

    def process(
        self, pid: int, cgroup: str = "0::/", *, comm: str = "python", environ: Iterable[str] = ()
    ) -> None:
        """Add a process."""
        folder = self.root / f"proc/{pid}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "comm").write_text(comm + "\n")
        (folder / "cgroup").write_text(cgroup + "\n")
        (folder / "environ").write_text("".join(f"{line}\0" for line in environ))

    def pod(
        self, number: int, namespace: str, pod: str, *containers: str, logs: bool = True
    ) -> None:
        """Add a pod's log folders; container i of pod n has the id ``1000 n + i``."""
        for i, container in enumerate(containers):
            folder = self.root / f"var/log/pods/{namespace}_{pod}_{uid(number)}/{container}"
            folder.mkdir(parents=True, exist_ok=True)
            if logs:
                links = self.root / "var/log/containers"
                links.mkdir(exist_ok=True)
                name = f"{pod}_{namespace}_{container}-{container_id(1000 * number + i)}.log"
                (links / name).symlink_to(folder / "0.log")

    @staticmethod
    def cgroup(number: int, container: int = 0) -> str:
        """Name the cgroup of a pod's container."""
        inner = f"cri-containerd-{container_id(1000 * number + container)}.scope"
        return f"0::/kubepods.slice/kubepods-pod{uid(number).replace('-', '_')}.slice/{inner}"
