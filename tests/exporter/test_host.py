"""The host's metrics: node_exporter's names, values and silence."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.samples import Sample

from exporter import hostfiles, mounts
from exporter.exposition import TEXT, Sheet
from exporter.host import Host, KeptFile
from lightmeter import catalog
from support.debian import need
from support.fleet import samples, values
from support.server import eventually, fetch


NAMES = {metric.name for metric in catalog.CATALOG if metric.room == "host"}
STAT = """cpu  300 0 300 0 0 0 0 0 0 0
cpu0 100 1 200 3000 40 5 6 7 8 9
cpu2 200 0 100 1000 0 0 0 0 0 0
btime 1790000000
"""
MOUNTS = r"""/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
tmpfs /run tmpfs rw 0 0
/dev/sdb1 /mnt/with\040space xfs rw 0 0
overlay /var/lib/docker/overlay2/x/merged overlay rw 0 0
tmpfs /var/lib/kubelet/pods/1/volumes/t tmpfs rw 0 0
old /data nfs4 rw 0 0
new /data ext4 rw 0 0
torn
"""
UPSTREAM = (  # what node_exporter leaves out by itself; Debian's build leaves out more
    "--collector.netdev.device-exclude=^$",
    "--collector.filesystem.mount-points-exclude=^/(dev|proc|sys|var/lib/docker/.+)($|/)",
)


@contextmanager
def reading(*groups: str, root: Path = Path("/")) -> Iterator[Host]:
    here = Host(groups or catalog.HOST_GROUPS, root)
    try:
        yield here
    finally:
        here.close()


def look(here: Host) -> list[Sample]:
    sheet = Sheet()
    here.write(sheet)
    return samples(sheet)


def test_all() -> None:
    """Everything that the catalogue promises of a host is there on this one."""
    with reading() as here:
        assert eventually(lambda: NAMES == {sample.name for sample in look(here)}, 10)


@pytest.mark.parametrize("off", catalog.HOST_GROUPS)
def test_switch(off: str) -> None:
    """A group that is switched off is absent; the others stay."""
    with reading(*(group for group in catalog.HOST_GROUPS if group != off)) as here:
        left = {sample.name for sample in look(here)}
    with reading(off) as here:
        alone = {sample.name for sample in look(here)}

    assert alone
    assert not alone & left
    assert NAMES == alone | left


def test_long_file() -> None:
    """A list that is longer than a page is read to its end, as often as it is read: no disk and no interface is lost."""
    path = Path("/proc/self/maps")
    kept = KeptFile(path)
    reads = kept.read(), kept.read()
    kept.close()

    assert all(len(text) > os.sysconf("SC_PAGE_SIZE") for text in reads)
    assert {path.read_text().splitlines()[-1]} == {text.splitlines()[-1] for text in reads}


def test_cpu() -> None:
    """A CPU that is offline leaves its number free, and ticks become seconds."""
    times = hostfiles.cpu_times(STAT)

    assert ["0", "2"] == list(times)
    assert [1.0, 0.01, 2.0, 30.0, 0.4, 0.05, 0.06, 0.07] == times["0"]


def test_memory() -> None:
    """Memory is bytes, huge pages are pages, and what the catalogue has not is left out."""
    text = "MemTotal:  25184912 kB\nActive(anon):  100 kB\nHugePages_Total:  7\nNew:  1 kB\n"
    expected = {"MemTotal": 25184912 * 1024, "Active(anon)": 102_400, "HugePages_Total": 7}

    assert expected == hostfiles.meminfo(text)


def test_mounts() -> None:
    """What holds no data, and containers' own mounts, are left out; the upper mount counts."""
    expected = [("/dev/sda1", "/"), ("tmpfs", "/run"), ("/dev/sdb1", "/mnt/with space"), ("new", "/data")]  # fmt: skip

    assert expected == [(mount.device, mount.point) for mount in mounts.parse(MOUNTS)]


def test_disks() -> None:
    """Whole disks count, in bytes and seconds; partitions would count twice."""
    text = """ 259 0 nvme0n1 10 2 16 3000 20 5 32 4000 0 5000 7000
 259 1 nvme0n1p1 1 0 8 1 1 0 8 1 0 1 2 0 0 0 0 0 0
   7 0 loop0 1 0 8 1 1 0 8 1 0 1 2
   8 0 sda 0 0 0 0 0 0 0 0 0 0 0
"""
    expected = {
        "nvme0n1": (10, 2, 8192, 3.0, 20, 5, 16_384, 4.0, 0, 5.0, 7.0),
        "sda": (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    }

    assert expected == hostfiles.diskstats(text)


def test_network() -> None:
    """Interfaces count, numbers close to the name too; ends of containers' networks do not."""
    text = """Inter-|   Receive                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes ...
    lo:     100    1 0 0 0 0 0 0      200    2 3 4 0 0 0 0
  eth0:12345678901 1 0 0 0 0 0 0 98765432109 1 0 0 0 0 0 0
eth0:1:       5    1 0 0 0 0 0 0        6    1 0 0 0 0 0 0
veth1a: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
"""

    found = hostfiles.netdev(text)

    assert ["lo", "eth0", "eth0:1"] == list(found)
    assert (100, 1, 0, 0, 0, 0, 0, 0, 200, 2, 3, 4, 0, 0, 0, 0) == found["lo"]
    assert 12345678901 == found["eth0"][0]


def test_pressure() -> None:
    """Pressure is seconds since the start; a line that an older kernel has not is left out."""
    text = "some avg10=1.50 avg60=0.00 avg300=0.00 total=2500000\n"

    assert {"some": 2.5} == hostfiles.pressure(text)


def test_counts() -> None:
    """The first number after a name counts, whatever follows; other lines are passed over."""
    text = "cpu0 1 2\nintr 77 0 0 1\nctxt 5\nodd\n"

    assert {"intr": 77, "ctxt": 5} == hostfiles.counts(text, ("ctxt", "intr", "processes"))


def test_root(tmp_path: Path) -> None:
    """Seen from a container, the host is under the folder where it is mounted."""
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "proc/stat").write_text(STAT)
    (tmp_path / "proc/1/mounts").write_text(MOUNTS)
    with reading("cpu", "filesystem", "system", root=tmp_path) as here:
        found = look(here)

    assert [1.0] == values(found, catalog.NODE_CPU, cpu="0", mode="user")
    assert [1_790_000_000.0] == values(found, catalog.NODE_BOOT_TIME)
    disk = os.statvfs(tmp_path)
    assert [disk.f_blocks * disk.f_frsize] == values(found, catalog.NODE_FILESYSTEM_SIZE, mountpoint="/data")  # fmt: skip
    assert [1.0] == values(found, catalog.NODE_FILESYSTEM_ERROR, mountpoint="/run")


def test_unreadable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be read is absent and said once; the rest is served."""
    with reading("cpu", "load", root=tmp_path) as here:
        look(here)
        found = look(here)

    assert {metric.name for metric in catalog.NODE_LOAD} == {sample.name for sample in found}
    assert 1 == len(caplog.records)
    assert "no cpu metrics" in caplog.text


def test_odd_kernel(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that a kernel writes otherwise costs its own group only."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/diskstats").write_text(" 8 0 sda 1 2 3 4\n")
    with reading("disk", "load", root=tmp_path) as here:
        found = look(here)

    assert {metric.name for metric in catalog.NODE_LOAD} == {sample.name for sample in found}
    assert "no disk metrics" in caplog.text


def test_hung_mount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file system that never answers is marked until it is unmounted; the others keep their values."""
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "proc/1/mounts").write_text("a /a nfs4 rw 0 0\nb /b ext4 rw 0 0\n")
    (tmp_path / "b").mkdir()
    never, real = threading.Event(), os.statvfs

    def statvfs(path: str) -> os.statvfs_result:
        if path.endswith("/a"):
            never.wait(30)
        return real(path)

    monkeypatch.setattr(os, "statvfs", statvfs)
    monkeypatch.setattr(mounts, "STUCK_SECONDS", 0.2)
    monkeypatch.setattr(mounts, "EVERY_SECONDS", 0.1)
    with reading("filesystem", root=tmp_path) as here:
        assert eventually(
            lambda: [0.0, 1.0] == sorted(values(look(here), catalog.NODE_FILESYSTEM_ERROR)), 10
        )
        assert ["/b"] == [s.labels["mountpoint"] for s in look(here) if s.name == catalog.NODE_FILESYSTEM_SIZE.name]  # fmt: skip
        (tmp_path / "proc/1/mounts").write_bytes(b"b /b ext4 rw 0 0\nc /caf\xe9 ext4 rw 0 0\n")
        left = {"/b": 0.0, "/caf\ufffd": 1.0}
        assert eventually(lambda: left == {s.labels["mountpoint"]: s.value for s in look(here) if s.name == catalog.NODE_FILESYSTEM_ERROR.name}, 10)  # fmt: skip
        never.set()
        assert eventually(lambda: not mounted_stuck(here), 10)


def mounted_stuck(here: Host) -> bool:
    assert here._mounts is not None
    return bool(here._mounts._asked)


@pytest.fixture(scope="module")
def node_exporter() -> Iterator[str]:
    program = need("prometheus-node-exporter", "prometheus-node-exporter")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [program, f"--web.listen-address={address}", *UPSTREAM]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield f"http://{address}/metrics"
        process.terminate()


def theirs(url: str) -> list[Sample]:
    from prometheus_client.parser import text_string_to_metric_families

    try:
        text = fetch(url).text
    except httpx.TransportError:
        return []
    families = text_string_to_metric_families(text)
    return [sample for family in families for sample in family.samples]


def key(sample: Sample) -> tuple[str, frozenset[tuple[str, str]]]:
    return sample.name, frozenset(sample.labels.items())


def test_node_exporter(node_exporter: str) -> None:
    """Each of our series is one that node_exporter has, and the other way round, at its value."""
    assert eventually(lambda: bool(theirs(node_exporter)), 20)
    off = {key(sample) for sample in theirs(node_exporter)}
    off = {one for one in off if one[0] in NAMES - {metric.name for metric in catalog.NODE_LOAD}}

    def agree() -> bool:  # a busy machine's figures move between two looks, but not at each of them
        before, ours = time.time(), {key(s): s.value for s in look(here)}
        peer = {key(s): s.value for s in theirs(node_exporter) if s.name in NAMES}
        assert before <= ours[catalog.NODE_TIME.name, frozenset()] <= time.time()
        assert peer.keys() == ours.keys()
        off.difference_update([one for one in off if ours[one] == pytest.approx(peer[one], rel=0.05, abs=30)])  # fmt: skip
        return not off

    with reading() as here:
        assert eventually(agree, 20), off


def test_types(node_exporter: str) -> None:
    """Each metric has node_exporter's type."""
    assert eventually(lambda: bool(theirs(node_exporter)), 20)
    lines = fetch(node_exporter).text.splitlines()
    with reading() as here:
        sheet = Sheet()
        here.write(sheet)
    own = [line for line in sheet.text(TEXT).splitlines() if line.startswith("# TYPE")]

    assert own
    assert [] == [line for line in own if line not in lines]
