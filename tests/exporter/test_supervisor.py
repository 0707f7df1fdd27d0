"""The supervisor and its samplers, as processes, on the stand-in for the driver's library."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from exporter.bus import has_gpu
from exporter.snapshot import Fleet, Snapshot
from lightmeter.catalog import Dcgm, GpuState, Throttle
from support.nvml import FakeNvml, Watched, Wave, all_up, health, readings, snapshot, uuid
from support.server import eventually


MIB = 1 << 20
LOST, NO_PERMISSION, NOT_SUPPORTED, NOT_LOADED = 15, 4, 3, 9
QUICK = {"silence": 3.0, "start": 4.0}
"""Seconds after which a GPU is given up, for tests that wait for it."""


def reason(state: str, index: int | None = 0) -> Callable[[Fleet], bool]:
    """Make the condition that a GPU is in a state."""
    return lambda fleet: health(fleet, index).reason == state


def samplers(watched: Watched) -> dict[str, psutil.Process]:
    """Find the processes behind it by name."""
    found = psutil.Process(watched.process.pid).children(recursive=True)
    return {Path(f"/proc/{one.pid}/comm").read_text().strip(): one for one in found}


def test_readings(tmp_path: Path) -> None:
    """A GPU's readings come under DCGM's names in DCGM's units, and as totals in ours."""
    fake = FakeNvml(tmp_path)
    fake.set(0, "vram", 20_000)
    fake.set(0, "watts", 100, 700)
    fake.set(0, "busy", Wave(level=0.5))
    fake.set(0, "ecc", 3, 1, 5, 2)
    fake.add(0, "process", 4711, 2048, 0.5)
    fake.add(0, "process", 4712, -1, 0.0)
    with Watched(fake) as watched:
        known = readings(watched.until(lambda fleet: all_up(fleet) and (readings(fleet).sm_active_seconds or 0) > 1))  # fmt: skip

    gauges = known.gauges
    assert (uuid(0), "NVIDIA H200", "00000000:01:00.0") == (known.gpu.uuid, known.gpu.name, known.gpu.pci_bus_id)  # fmt: skip
    assert (20_000 * MIB, 20_000 * MIB) == (known.memory_used_bytes, known.memory_peak_bytes)
    assert (20_000, 600, 143_771) == tuple(gauges[name] for name in (Dcgm.FB_USED, Dcgm.FB_RESERVED, Dcgm.FB_TOTAL))  # fmt: skip
    assert (50, 400, 45, 1980) == tuple(gauges[name] for name in (Dcgm.GPU_UTIL, Dcgm.POWER_USAGE, Dcgm.GPU_TEMP, Dcgm.SM_CLOCK))  # fmt: skip
    assert (3, 1, 5, 2) == tuple(gauges[name] for name in (Dcgm.ECC_SBE_VOL, Dcgm.ECC_DBE_VOL, Dcgm.ECC_SBE_AGG, Dcgm.ECC_DBE_AGG))  # fmt: skip
    assert (0.5, 0.4, 0.25) == pytest.approx([gauges[name] for name in (Dcgm.GR_ACTIVE, Dcgm.SM_ACTIVE, Dcgm.TENSOR_ACTIVE)])  # fmt: skip
    assert Dcgm.FP64_ACTIVE not in gauges
    assert gauges[Dcgm.ENERGY] / 1000 == pytest.approx(known.energy_joules)
    assert known.busy_seconds == pytest.approx((known.sampled_seconds or 0) / 2)
    assert known.processes is not None
    assert [(4711, 2048 * MIB), (4712, None)] == [(one.pid, one.used_bytes) for one in known.processes]  # fmt: skip
    assert known.processes[0].busy_seconds
    assert 0 == known.processes[1].busy_seconds


def test_bursts(tmp_path: Path) -> None:
    """One second of work in five is counted as that, at moments when every gauge reads zero."""
    fake = FakeNvml(tmp_path, gpus=2)
    burst = Wave(5, 1)
    fake.set("*", "busy", burst)
    fake.set(1, "ring", 0.1, 100, 1)

    def idle(fleet: Fleet) -> bool:
        return all_up(fleet) and 3 < time.time() % 5 < 4.2

    with Watched(fake) as watched:
        first = watched.until(idle)
        later = time.time() + 14
        second = watched.until(lambda fleet: time.time() > later and idle(fleet))

    periods = round((readings(second).at - readings(first).at) / 5)
    for index in range(2):
        begin, end = readings(first, index), readings(second, index)
        assert (0, 0) == (begin.gauges[Dcgm.GPU_UTIL], end.gauges[Dcgm.GPU_UTIL])
        busy = (end.busy_seconds or 0) - (begin.busy_seconds or 0)
        assert periods == pytest.approx(busy, abs=0.005 * 5 * periods)


def test_spikes(tmp_path: Path) -> None:
    """Memory that was in use for an eighth of a second is in the peak, on each of eight GPUs."""
    fake = FakeNvml(tmp_path, gpus=8)
    fake.set("*", "vram", 10_000)
    fake.set("*", "spike", Wave(4, 0.12, level=49_392))

    def peaks(fleet: Fleet) -> list[int | None]:
        return [one.memory_peak_bytes for one in fleet.snapshots]

    with Watched(fake) as watched:
        watched.until(lambda fleet: peaks(fleet) == [59_392 * MIB] * 8)


def test_peak_passes(tmp_path: Path) -> None:
    """A peak is forgotten when its window has passed."""
    fake = FakeNvml(tmp_path)
    fake.set(0, "vram", 10_000)
    with Watched(fake, peak_window=1.0) as watched:
        watched.until(all_up)
        fake.set(0, "vram", 5000)
        watched.until(lambda fleet: readings(fleet).memory_peak_bytes == 5000 * MIB)


def test_hung(tmp_path: Path) -> None:
    """A GPU that hangs is gone from the page with the reason; the others are read on; then it is back."""
    fake = FakeNvml(tmp_path, gpus=3)
    with Watched(fake, **QUICK) as watched:
        before = readings(watched.until(all_up), 1)
        fake.hang(1)
        others: set[bool] = set()

        def hung(fleet: Fleet) -> bool:
            others.update(one.up for one in fleet.health if one.index != 1)
            return health(fleet, 1).reason == GpuState.HUNG

        fleet = watched.until(hung)
        assert snapshot(fleet, 1) is None
        assert 3 == fleet.expected
        assert uuid(1) == health(fleet, 1).uuid
        fleet = watched.until(lambda fleet: (health(fleet, 1).age_seconds or 0) > 6)
        assert (True, True) == (health(fleet, 0).up, health(fleet, 2).up)
        fake.heal(1)
        after = readings(watched.until(all_up), 1)
        assert {True} == others

    assert before.since == after.since
    assert (before.sampled_seconds or 0) <= (after.sampled_seconds or 0)
    assert "GPU 1 is not read: hung" in watched.log


def test_hangs_at_start(tmp_path: Path) -> None:
    """A GPU that hangs when the exporter starts keeps none of the others from being read."""
    fake = FakeNvml(tmp_path, gpus=3)
    fake.hang(1)
    with Watched(fake, **QUICK) as watched:
        fleet = watched.until(reason(GpuState.HUNG, 1))
        assert [0, 2] == [one.gpu.index for one in fleet.snapshots]
        fake.heal(1)
        watched.until(all_up)


def test_lost(tmp_path: Path) -> None:
    """A GPU that falls off the bus is lost and still expected; it is back when it is back."""
    fake = FakeNvml(tmp_path, gpus=2)
    with Watched(fake) as watched:
        watched.until(all_up)
        fake.error(1, LOST)
        fleet = watched.until(reason(GpuState.LOST, 1))
        assert (True, 2, "GPU is lost") == (health(fleet).up, fleet.expected, health(fleet, 1).detail)  # fmt: skip
        assert snapshot(fleet, 1) is None
        fake.heal(1)
        watched.until(all_up)


def test_gone_from_the_list(tmp_path: Path) -> None:
    """Where the driver's numbers move up behind a lost GPU nobody takes another's place."""
    fake = FakeNvml(tmp_path, gpus=3)
    with Watched(fake) as watched:
        watched.until(all_up)
        fake.set(1, "absent", 1)
        fake.error(1, LOST)
        watched.until(reason(GpuState.LOST, 1))
        samplers(watched)["gpu-2"].kill()
        killed = time.time()
        fleet = watched.until(lambda fleet: len(fleet.snapshots) == 2 and fleet.snapshots[1].at > killed + 1)  # fmt: skip

    assert [(0, uuid(0)), (2, uuid(2))] == [(one.gpu.index, one.gpu.uuid) for one in fleet.snapshots]  # fmt: skip


def test_added(tmp_path: Path) -> None:
    """A GPU that is added while another is amiss is found."""
    fake = FakeNvml(tmp_path, gpus=2)
    with Watched(fake, expected=3) as watched:
        fleet = watched.until(lambda fleet: len(fleet.snapshots) == 2)
        assert (3, GpuState.LOST) == (fleet.expected, health(fleet, 2).reason)
        fake.gpus = 3
        watched.until(all_up)


def test_no_permission(tmp_path: Path) -> None:
    """A GPU that may not be read says so; one reading that is refused is absent, and no more."""
    fake = FakeNvml(tmp_path, gpus=2)
    fake.error(0, NO_PERMISSION, "nvmlDeviceGetPowerUsage")
    fake.error(1, NO_PERMISSION)
    with Watched(fake) as watched:
        fleet = watched.until(reason(GpuState.NO_PERMISSION, 1))

    assert health(fleet).up
    assert Dcgm.POWER_USAGE not in readings(fleet).gauges


@pytest.mark.parametrize("how", ["no file", "library", "init"])
def test_driver_comes(tmp_path: Path, how: str) -> None:
    """Without a driver the exporter stays up and says so; a driver that comes is picked up."""
    fake = FakeNvml(tmp_path)
    hidden = FakeNvml(tmp_path)
    library = tmp_path / "library"
    if how == "library":
        library.mkdir()
        hidden.environment = fake.environment | {"LD_LIBRARY_PATH": str(library)}
    elif how == "init":
        fake.set("", "init", NOT_LOADED)
    else:
        fake.unload()
    with Watched(hidden) as watched:
        fleet = watched.until(reason(GpuState.DRIVER_MISSING, None))
        assert ((), None) == (fleet.snapshots, fleet.expected)
        if how == "library":
            (library / "libnvidia-ml.so.1").symlink_to(Path(fake.environment["LD_LIBRARY_PATH"], "libnvidia-ml.so.1"))  # fmt: skip
        fake.set("", "init", 0)
        watched.until(all_up)

    assert 1 == watched.log.count("driver_missing")


def device(root: Path, name: str, what: str, driver: str = "") -> None:
    """Put a device on a machine's PCI bus; ``what`` are its vendor and its class."""
    folder = root / "sys/bus/pci/devices" / name
    folder.mkdir(parents=True)
    for file, text in zip(("vendor", "class"), what.split(), strict=True):
        (folder / file).write_text(f"{text}\n")
    if driver:
        (folder / "driver").symlink_to(f"../../drivers/{driver}")


def test_no_gpu(tmp_path: Path) -> None:
    """A machine without a GPU says that, and no driver is missed; one that had a GPU says what is missing."""
    fake = FakeNvml(tmp_path)
    fake.unload()
    device(tmp_path, "0000:00:02.0", "0x1002 0x030000", "amdgpu")
    with Watched(fake, root=str(tmp_path)) as watched:
        fleet = watched.until(reason(GpuState.NO_GPU, None))
        assert ((), None) == (fleet.snapshots, fleet.expected)
        fake.set("", "driver", "590.1")
        watched.until(all_up)
        fake.unload()
        watched.until(reason(GpuState.DRIVER_MISSING))

    assert watched.log.startswith("INFO this machine has no NVIDIA GPU")
    assert "WARNING GPU 0 is not read: driver_missing" in watched.log


def test_gpu_without_driver(tmp_path: Path) -> None:
    """A GPU whose driver never came up is missed: it is on the bus. So is one that is expected and is not."""
    fake = FakeNvml(tmp_path)
    fake.unload()
    (tmp_path / "bare/sys/bus/pci/devices").mkdir(parents=True)
    device(tmp_path / "there", "0000:01:00.0", "0x10de 0x030200")
    with Watched(fake, root=str(tmp_path / "there")) as watched:
        watched.until(reason(GpuState.DRIVER_MISSING, None))
    with Watched(fake, root=str(tmp_path / "bare"), expected=1) as watched:
        watched.until(reason(GpuState.DRIVER_MISSING, 0))


def test_bus(tmp_path: Path) -> None:
    """Its sound is no GPU, and one that a virtual machine has is not ours; an unseen bus may have any."""
    assert has_gpu(str(tmp_path))
    device(tmp_path, "0000:01:00.1", "0x10de 0x040300", "snd_hda_intel")
    device(tmp_path, "0000:02:00.0", "0x10de 0x030200", "vfio-pci")
    assert not has_gpu(str(tmp_path))
    device(tmp_path, "0000:03:00.0", "0x10de 0x030000", "nouveau")
    assert has_gpu(str(tmp_path))


def test_driver_goes(tmp_path: Path) -> None:
    """A driver that is unloaded is missing for each GPU, and all go on when it is back."""
    fake = FakeNvml(tmp_path, gpus=2)
    with Watched(fake) as watched:
        watched.until(all_up)
        fake.unload()
        fleet = watched.until(lambda fleet: {one.reason for one in fleet.health} == {GpuState.DRIVER_MISSING})  # fmt: skip
        assert [0, 1] == [one.index for one in fleet.health]
        fake.set("", "driver", "590.1")
        fleet = watched.until(all_up)

    assert "590.1" == readings(fleet).gpu.driver


def test_mig(tmp_path: Path) -> None:
    """Where MIG is switched on the instances tell memory and work, the GPU the rest."""
    fake = FakeNvml(tmp_path)
    fake.set(0, "busy", Wave())
    seen: set[str] = set()
    with Watched(fake) as watched:
        watched.until(all_up)
        fake.add(0, "instance", 1, "1g.18gb", 1, 18_000, 500, 0.25)
        fake.add(0, "instance", 5, "3g.71gb", 3, 71_000, 7000, 0.5)
        fake.add(0, "process", 4711, 300, 1, "C", 1)
        fake.set(0, "mig", 1)

        def split(fleet: Fleet) -> bool:
            seen.add(health(fleet).reason)
            one = snapshot(fleet, 0, 5)
            return one is not None and (one.busy_seconds or 0) > 1

        fleet = watched.until(split)

    whole, large = readings(fleet), readings(fleet, 0, 5)
    assert seen <= {GpuState.OK, GpuState.MIG_CHANGED, GpuState.STARTING}
    assert ("3g.71gb", uuid(0), "NVIDIA H200") == (large.gpu.profile, large.gpu.uuid, large.gpu.name)  # fmt: skip
    assert large.gpu.mig_uuid
    assert readings(fleet, 0, 1).gpu.mig_uuid != large.gpu.mig_uuid
    assert 7000 == large.gauges[Dcgm.FB_USED]
    assert 0.5 == pytest.approx(large.gauges[Dcgm.GR_ACTIVE], abs=0.01)
    assert 0.5 == pytest.approx((large.busy_seconds or 0) / (large.sampled_seconds or 1), abs=0.01)
    assert [4711] == [one.pid for one in large.processes or ()]
    assert Dcgm.FB_USED not in whole.gauges
    assert (None, None) == (whole.memory_used_bytes, whole.busy_seconds)
    assert not whole.gauges.keys() & large.gauges.keys()
    assert Dcgm.GPU_TEMP in whole.gauges


def test_xid(tmp_path: Path) -> None:
    """XID errors are counted by number, with the moment of the last."""
    fake = FakeNvml(tmp_path)
    with Watched(fake) as watched:
        fleet = watched.until(lambda fleet: all_up(fleet) and Dcgm.XID in readings(fleet).gauges)
        assert ((), 0) == (readings(fleet).xids, readings(fleet).gauges[Dcgm.XID])
        for number in (31, 79, 31):
            fake.add(0, "xid", number)
        fleet = watched.until(lambda fleet: sum(xid.count for xid in readings(fleet).xids) == 3)

    found = {xid.number: xid for xid in readings(fleet).xids}
    assert (2, 1) == (found[31].count, found[79].count)
    assert abs(time.time() - found[31].last_at) < 60


def test_sampler_killed(tmp_path: Path) -> None:
    """A sampler that is killed is replaced while its data is fresh, and its counters go on."""
    fake = FakeNvml(tmp_path)
    fake.set(0, "busy", Wave())
    fake.add(0, "process", 4711, 300, 1)
    with Watched(fake) as watched:
        watched.until(lambda fleet: all_up(fleet) and (readings(fleet).busy_seconds or 0) > 2)
        fake.add(0, "xid", 31)
        before = readings(watched.until(lambda fleet: readings(fleet).xids))
        old = samplers(watched)["gpu-0"]
        old.kill()
        assert eventually(lambda: samplers(watched).get("gpu-0", old).pid != old.pid)
        fleet = watched.until(lambda fleet: readings(fleet).at > before.at + 3)

    after = readings(fleet)
    assert before.xids == after.xids
    assert (after.busy_seconds or 0) - (before.busy_seconds or 0) == pytest.approx(after.at - before.at, abs=1)  # fmt: skip
    assert total(before) < total(after)


def total(one: Snapshot) -> float:
    return sum(process.busy_seconds or 0 for process in one.processes or ())


def test_stopped(tmp_path: Path) -> None:
    """An exporter that was stopped for a while goes on with its samplers, and has lost nothing."""
    fake = FakeNvml(tmp_path)
    fake.set(0, "busy", Wave())
    with Watched(fake, **QUICK) as watched:
        before = readings(watched.until(all_up))
        old = samplers(watched)["gpu-0"].pid
        os.kill(watched.process.pid, signal.SIGSTOP)
        time.sleep(QUICK["silence"] + 2)
        os.kill(watched.process.pid, signal.SIGCONT)
        after = readings(watched.until(lambda fleet: all_up(fleet) and readings(fleet).at > before.at + 6))  # fmt: skip
        assert old == samplers(watched)["gpu-0"].pid

    assert (after.busy_seconds or 0) - (before.busy_seconds or 0) == pytest.approx(after.at - before.at, abs=1.5)  # fmt: skip


def test_nursery_killed(tmp_path: Path) -> None:
    """Where the process that starts samplers is killed everything is started anew."""
    fake = FakeNvml(tmp_path, gpus=2)
    with Watched(fake) as watched:
        before = readings(watched.until(all_up))
        samplers(watched)["gpu-samplers"].kill()
        after = readings(watched.until(lambda fleet: all_up(fleet) and readings(fleet).at > before.at + 3))  # fmt: skip

    assert (before.sampled_seconds or 0) < (after.sampled_seconds or 0)
    assert "started anew" in watched.log


def test_no_room_for_another(tmp_path: Path) -> None:
    """Where no process can be started in its place either, one is as soon as there is room again."""
    fake = FakeNvml(tmp_path)
    with Watched(fake) as watched:
        before = readings(watched.until(all_up))
        exporter = psutil.Process(watched.process.pid)
        most = exporter.rlimit(psutil.RLIMIT_NOFILE)
        exporter.rlimit(psutil.RLIMIT_NOFILE, (3, most[1]))
        samplers(watched)["gpu-samplers"].kill()
        assert eventually(lambda: "Too many open files" in watched.log)
        exporter.rlimit(psutil.RLIMIT_NOFILE, most)
        watched.until(lambda fleet: all_up(fleet) and readings(fleet).at > before.at + 3)


def test_nothing_is_left(tmp_path: Path) -> None:
    """No sampler outlives an exporter, however that ends."""
    fake = FakeNvml(tmp_path, gpus=2)
    fake.hang(1)
    for ending in (signal.SIGTERM, signal.SIGKILL):
        watched = Watched(fake)
        watched.until(lambda fleet: health(fleet).up)
        found = samplers(watched)
        assert {"gpu-samplers", "gpu-0", "gpu-1"} <= found.keys()
        os.kill(watched.process.pid, ending)
        watched.process.communicate()
        assert eventually(lambda: not any(map(runs, found.values())))  # noqa: B023  (called at once)


def runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_older_driver(tmp_path: Path) -> None:
    """What a driver does not offer is worked out from what it does, and said, or is absent."""
    fake = FakeNvml(tmp_path)
    fake.set(0, "busy", Wave(level=0.5))
    fake.set(0, "watts", 100, 300)
    fake.set(0, "ring", 1 / 6, 0)
    fake.set(0, "gpm", 0)
    fake.set(0, "throttle", "power", Wave())
    missing = ("FieldValues", "TotalEnergyConsumption", "MemoryInfo_v2", "ViolationStatus", "ProcessUtilization", "MigMode", "EncoderUtilization")  # fmt: skip
    for name in missing:
        fake.error(0, NOT_SUPPORTED, f"nvmlDeviceGet{name}")
    fake.error(0, 13, "nvmlDeviceGetCurrentClocksEventReasons")
    fake.error(0, 13, "nvmlDeviceRegisterEvents")
    fake.add(0, "process", 4711, 300, 1)
    with Watched(fake) as watched:
        known = readings(watched.until(lambda fleet: all_up(fleet) and (readings(fleet).energy_joules or 0) > 500))  # fmt: skip

    assert 0.5 == pytest.approx((known.busy_seconds or 0) / (known.sampled_seconds or 1))
    assert (known.throttle_seconds[Throttle.POWER], 0) > (1, 0) > (0, known.throttle_seconds[Throttle.THERMAL])  # fmt: skip
    assert 600 * MIB == known.memory_used_bytes
    absent = (Dcgm.FB_RESERVED, Dcgm.XID, Dcgm.ENC_UTIL, Dcgm.ENERGY, Dcgm.SM_ACTIVE, Dcgm.ECC_DBE_VOL)  # fmt: skip
    assert not known.gauges.keys() & set(absent)
    assert known.sm_active_seconds is None
    assert [None] == [process.busy_seconds for process in known.processes or ()]
    assert "energy is integrated from power" in watched.log


def test_tells_nothing(tmp_path: Path) -> None:
    """A device whose every reading is refused by design is up, and says nothing false."""
    fake = FakeNvml(tmp_path)
    for name in ("MemoryInfo", "MemoryInfo_v2", "UtilizationRates", "Samples", "FieldValues", "PowerUsage", "TotalEnergyConsumption", "ComputeRunningProcesses_v3", "GraphicsRunningProcesses_v3", "MPSComputeRunningProcesses_v3", "CurrentClocksEventReasons", "CurrentClocksThrottleReasons"):  # fmt: skip
        fake.error(0, NOT_SUPPORTED, f"nvmlDeviceGet{name}")
    fake.set(0, "gpm", 0)
    with Watched(fake) as watched:
        known = readings(watched.until(all_up))

    assert [None] * 8 == [known.memory_used_bytes, known.memory_total_bytes, known.memory_peak_bytes, known.busy_seconds, known.sampled_seconds, known.sm_active_seconds, known.energy_joules, known.processes]  # fmt: skip
    assert {} == known.throttle_seconds


BUSY_LISTENER = """
import json, socket, time
from exporter import frames
from exporter.sampling import Sampler, Spec
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
sampler = Sampler(Spec(0, None, 20.0, {}))
elapsed = 0
for _ in range(2000):
    sampler.drain(0.5)
    sampler.read(0.5)
    elapsed += 0.5
    sampler.tell(theirs, 0.0)
    if sampler._readers[0].raw()["drains"]:
        break
drains = []
ours.settimeout(0)
while True:
    try:
        drains += frames.loads(ours.recv(1 << 20))["raw"][0]["drains"]
    except BlockingIOError:
        break
drains += sampler._readers[0].raw()["drains"]
print(json.dumps([elapsed, sum(drain[0] for drain in drains)]))
"""


def test_busy_listener(tmp_path: Path) -> None:
    """What a sampler cannot say because nobody listens it says later; nothing is lost in between."""
    run = subprocess.run(
        [sys.executable, "-P", "-c", BUSY_LISTENER],
        env=os.environ | FakeNvml(tmp_path).environment,
        capture_output=True,
        check=True,
        text=True,
    )

    passed, told = json.loads(run.stdout)
    assert passed == told > 0
