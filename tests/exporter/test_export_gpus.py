"""``lightmeter export`` on GPUs: real samplers and the real pynvml on the stand-in for the driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.samples import Sample

from lightmeter import catalog
from lightmeter.catalog import Dcgm
from support.exporter import Exporter
from support.fleet import MIB, values
from support.machine import Machine
from support.nvml import FakeNvml, Wave, uuid
from support.server import eventually


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "host")
    made.pod(1, "studio", "z-image-a", "main")
    made.pod(2, "studio", "z-image-b", "main")
    share = ["ALIYUN_COM_GPU_MEM_IDX=0", "ALIYUN_COM_GPU_MEM_CONTAINER=16", "ALIYUN_COM_GPU_MEM_DEV=79"]  # fmt: skip
    made.process(1001, Machine.cgroup(1), environ=share)
    made.process(1002, Machine.cgroup(2))
    made.process(1003, "0::/system.slice/display.service")
    return made


@pytest.fixture
def fake(tmp_path: Path) -> FakeNvml:
    made = FakeNvml(tmp_path, gpus=2)
    made.set(0, "vram", 40_000.0)
    made.set(0, "busy", Wave())
    for pid, mib in ((1001, 9000), (1002, 12_000), (1003, 500)):
        made.add(0, "process", pid, float(mib), 0.2)
    return made


@pytest.fixture
def exporter(machine: Machine, fake: FakeNvml) -> Iterator[Exporter]:
    with Exporter("--host-root", str(machine.root), "--host-metrics", "", **fake.environment) as running:  # fmt: skip
        assert eventually(lambda: [1.0, 1.0] == values(running.scrape(), catalog.GPU_UP), 60)
        yield running


def by_pod(found: list[Sample], name: str) -> dict[str, float]:
    return {s.labels["pod"]: s.value for s in found if s.name == name}


def test_pods(exporter: Exporter) -> None:
    """Each pod has its memory, grant and busy time; with the remainder they are the device's."""
    assert eventually(lambda: len(by_pod(exporter.scrape(), catalog.POD_BUSY.name)) == 2, 60)
    found = exporter.scrape()

    used = by_pod(found, catalog.POD_MEMORY_USED.name)
    assert {"z-image-a": 9000.0 * MIB, "z-image-b": 12_000.0 * MIB} == used
    assert {"z-image-a": 16.0 * 2**30} == by_pod(found, catalog.POD_MEMORY_GRANTED.name)
    (rest,) = values(found, catalog.UNATTRIBUTED_MEMORY, gpu="0")
    (device,) = values(found, Dcgm.FB_USED, gpu="0")
    assert device == pytest.approx((sum(used.values()) + rest) / MIB, abs=1)
    assert eventually(lambda: min(by_pod(exporter.scrape(), catalog.POD_BUSY.name).values()) > 0)


def test_process_ends(exporter: Exporter, fake: FakeNvml) -> None:
    """A pod whose process is gone has no use any more, rather than 0; its busy time stays."""
    assert eventually(lambda: len(by_pod(exporter.scrape(), catalog.POD_BUSY.name)) == 2, 60)
    fake.remove(0, "process")

    assert eventually(lambda: {} == by_pod(exporter.scrape(), catalog.POD_MEMORY_USED.name), 60)
    assert 2 == len(by_pod(exporter.scrape(), catalog.POD_BUSY.name))


def test_hang(exporter: Exporter, fake: FakeNvml) -> None:
    """A GPU that hangs goes from the page but for up 0 and its age; it comes back by itself."""
    fake.hang(1)
    assert eventually(lambda: [0.0] == values(exporter.scrape(), catalog.GPU_UP, gpu="1"), 60)
    found = exporter.scrape()
    assert {catalog.GPU_UP.name, catalog.SAMPLE_AGE.name} == {s.name for s in found if s.labels.get("gpu") == "1"}  # fmt: skip
    assert [1.0] == values(found, catalog.GPU_UP, gpu="0")
    assert [1.0, 2.0] == [*values(found, catalog.GPUS_SEEN), *values(found, catalog.GPUS_EXPECTED)]
    fake.heal(1)
    assert eventually(lambda: [1.0] == values(exporter.scrape(), catalog.GPU_UP, gpu="1"), 90)


def test_driver_comes(tmp_path: Path) -> None:
    """A driver that is installed later is found without a restart."""
    fake = FakeNvml(tmp_path, gpus=1)
    fake.unload()
    with Exporter("--host-metrics", "", **fake.environment) as running:
        assert eventually(lambda: [0.0] == values(running.scrape(), catalog.GPU_UP), 60)
        fake.gpus = 1
        assert eventually(lambda: [1.0] == values(running.scrape(), catalog.GPU_UP, UUID=uuid(0)), 90)  # fmt: skip


def test_mig(tmp_path: Path) -> None:
    """MIG instances have series of their own, labelled as dcgm-exporter does; none is there twice."""
    fake = FakeNvml(tmp_path, gpus=1)
    for number, instance in enumerate((7, 8)):
        fake.add(0, "instance", instance, "1g.10gb", 1, 9728, 1000 + number, 0.1)
    fake.set(0, "mig", 1)
    with Exporter("--host-metrics", "", **fake.environment) as running:
        assert eventually(lambda: 2 == len([s for s in running.scrape() if s.labels.get("GPU_I_ID") and s.name == Dcgm.FB_USED]), 60)  # fmt: skip
        found = running.scrape()

    dcgm = [(s.name, s.labels.get("GPU_I_ID")) for s in found if s.name.startswith("DCGM")]
    assert {1} == set(Counter(dcgm).values())
    assert {"1g.10gb"} == {s.labels["GPU_I_PROFILE"] for s in found if "GPU_I_ID" in s.labels}
    assert [1.0] == values(found, catalog.GPU_UP)
    assert [0.0] == values(found, catalog.SERIES_DROPPED)
