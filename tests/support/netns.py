"""Network namespaces that see each other over one bridge: machines, as far as a socket can tell."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


class Net:
    """A bridge with an address of ours, and namespaces behind it."""

    def __init__(self) -> None:
        self._tag = f"lm{os.getpid() % 10_000}"
        self._prefix = f"10.{64 + os.getpid() % 64}.{os.getpid() // 64 % 256}"
        self._names: list[str] = []

    def open(self) -> None:
        """Make the bridge.

        Raises:
            OSError, subprocess.CalledProcessError: this machine does not permit it.
        """
        _ip("link", "add", self._tag, "type", "bridge")
        _ip("addr", "add", f"{self._prefix}.1/24", "dev", self._tag)
        _ip("link", "set", self._tag, "up")

    def add(self) -> tuple[list[str], str]:
        """Make a namespace; return the words that run a command in it, and its address."""
        name = f"{self._tag}-{len(self._names)}"
        host = f"{self._prefix}.{10 + len(self._names)}"
        self._names.append(name)
        _ip("netns", "add", name)
        _ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b")
        _ip("link", "set", f"{name}a", "master", self._tag, "up")
        _ip("link", "set", f"{name}b", "netns", name)
        _ip("-n", name, "addr", "add", f"{host}/24", "dev", f"{name}b")
        _ip("-n", name, "link", "set", f"{name}b", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        return ["ip", "netns", "exec", name], host

    def cut(self, number: int) -> None:
        """Pull the cable of a namespace: what it says is heard no more, and nobody is told."""
        _ip("link", "set", f"{self._names[number]}a", "down")

    def close(self) -> None:
        """Take everything away."""
        for name in self._names:
            _ip("netns", "del", name, check=False)
            _ip("link", "del", f"{name}a", check=False)
        _ip("link", "del", self._tag, check=False)


@contextlib.contextmanager
def network() -> Iterator[Net | None]:
    """Have a network; None where this machine or this user may not make one."""
    net = Net()
    try:
        net.open()
        net.add()
    except (OSError, subprocess.CalledProcessError):
        net.close()
        yield None
        return
    try:
        yield net
    finally:
        net.close()
