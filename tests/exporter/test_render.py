"""What the page says of GPUs."""

from __future__ import annotations

import re
import subprocess
from collections import Counter

import pytest

from exporter import render
from exporter.exposition import OPENMETRICS, TEXT, Form, Sheet, document
from exporter.snapshot import Fleet
from lightmeter import catalog
from lightmeter.catalog import Dcgm, GpuState
from support.debian import need
from support.fleet import MIB, fleet, gpu, health, samples, snapshot, values


NAMING = render.Naming("node-7")
BOTH = pytest.mark.parametrize("form", [TEXT, OPENMETRICS], ids=["text", "openmetrics"])


def page(now: Fleet, naming: render.Naming = NAMING) -> Sheet:
    made = Sheet()
    render.write(made, now, naming)
    return made


def test_labels() -> None:
    """A DCGM series has dcgm-exporter's labels, in its order."""
    text = page(fleet(1)).text(TEXT)

    assert (
        f'{Dcgm.GPU_TEMP}{{gpu="0",UUID="{gpu(0).uuid}",pci_bus_id="00000000:10:00.0",'
        'device="nvidia0",modelName="NVIDIA H100 80GB HBM3",Hostname="node-7",'
        'DCGM_FI_DRIVER_VERSION="580.65.06"} 54.0\n'
    ) in text


@BOTH
def test_once(form: Form) -> None:
    """Each GPU has exactly one series under each DCGM name, so that sum() is right."""
    found = [s for s in samples(page(fleet(8)), form) if s.name.startswith("DCGM")]

    assert {8} == set(Counter(s.name for s in found).values())
    assert {1} == set(Counter((s.name, s.labels["gpu"]) for s in found).values())


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("Hostname", {"Hostname"}), ("hostname", {"hostname"}), ("both", {"Hostname", "hostname"})],
)
def test_hostname(choice: str, expected: set[str]) -> None:
    """The host's label is the one that the dashboards at hand filter by."""
    naming = render.Naming("node-7", catalog.HOSTNAME_LABELS[choice])
    found = next(s for s in samples(page(fleet(1), naming)) if s.name == Dcgm.GPU_TEMP)

    assert expected == {name for name, value in found.labels.items() if value == "node-7"}


def test_mig() -> None:
    """A MIG instance says its profile and id, as dcgm-exporter does; a whole GPU has neither."""
    instance = snapshot(gpu=gpu(profile="1g.10gb", instance=7))
    found = samples(page(fleet(snapshots=(instance, snapshot(1)))))
    whole, mig = sorted(
        (s.labels for s in found if s.name == Dcgm.GPU_TEMP), key=lambda own: "GPU_I_ID" in own
    )

    assert ("1g.10gb", "7") == (mig["GPU_I_PROFILE"], mig["GPU_I_ID"])
    assert not {"GPU_I_PROFILE", "GPU_I_ID"} & whole.keys()
    assert [5000.0] == values(found, catalog.GPU_BUSY, GPU_I_ID="7", GPU_I_PROFILE="1g.10gb")


def test_ours() -> None:
    """What DCGM lacks is there under our names."""
    found = samples(page(fleet(2)))
    own = {"gpu": "1", "UUID": gpu(1).uuid}

    assert [5000.0] == values(found, catalog.GPU_BUSY, **own)
    assert [10_000.0] == values(found, catalog.GPU_SAMPLED, **own)
    assert [59_392.0 * MIB] == values(found, catalog.GPU_MEMORY_PEAK, window="60s", **own)
    assert [12.5] == values(found, catalog.GPU_THROTTLE, reason="power", **own)
    assert [2.0] == values(found, catalog.GPU_XID, xid="31", **own)
    assert [1_789_999_000.0] == values(found, catalog.GPU_XID_LAST, xid="31", **own)
    assert [1.0] == values(found, catalog.GPU_UP, reason="ok", **own)
    assert [2.0] == values(found, catalog.GPUS_EXPECTED)


def test_unknown() -> None:
    """What a device cannot tell is absent, never 0."""
    bare = snapshot(
        gauges={},
        memory_peak_bytes=None,
        busy_seconds=None,
        sampled_seconds=None,
        sm_active_seconds=None,
        energy_joules=None,
        throttle_seconds={},
        xids=(),
    )
    text = page(fleet(snapshots=(bare,), health=(health(0),))).text(TEXT)

    assert {
        catalog.GPU_UP.name,
        catalog.SAMPLE_AGE.name,
        catalog.SOURCE_INFO.name,
        catalog.GPUS_EXPECTED.name,
        catalog.GPUS_SEEN.name,
    } == set(re.findall(r"^# TYPE (\S+)", text, flags=re.MULTILINE))


def test_hung() -> None:
    """A hung GPU is absent but for up 0 with the reason and its age; the others are all there."""
    states = (health(0), health(1, GpuState.HUNG, age_seconds=31.5), health(2))
    found = samples(page(fleet(3, snapshots=(snapshot(0), snapshot(2)), health=states)))

    about = {s.name: s.value for s in found if s.labels.get("gpu") == "1"}
    assert {catalog.GPU_UP.name: 0.0, catalog.SAMPLE_AGE.name: 31.5} == about
    assert [0.0] == values(found, catalog.GPU_UP, gpu="1", reason="hung")
    assert [54.0, 54.0] == values(found, Dcgm.GPU_TEMP)
    assert [2.0] == values(found, catalog.GPUS_SEEN)


def test_no_gpu() -> None:
    """A machine without a driver says so."""
    nothing = health(None, GpuState.DRIVER_MISSING, age_seconds=None)
    found = samples(page(fleet(snapshots=(), health=(nothing,), expected=None)))

    assert [0.0] == values(found, catalog.GPU_UP, gpu="", reason="driver_missing")
    assert [] == values(found, catalog.GPUS_EXPECTED)


@pytest.mark.parametrize("source", catalog.SOURCES)
def test_source(source: str) -> None:
    """Made-up or recorded readings are labelled as such."""
    assert [1.0] == values(samples(page(fleet(source=source))), catalog.SOURCE_INFO, source=source)


def test_unknown_field() -> None:
    """A DCGM field that the catalogue lacks is passed on, of unknown type."""
    now = fleet(snapshots=(snapshot(gauges={"DCGM_FI_DEV_FAN_SPEED": 30.0}),))

    assert "# TYPE DCGM_FI_DEV_FAN_SPEED untyped\n" in page(now).text(TEXT)
    assert [30.0] == values(samples(page(now)), "DCGM_FI_DEV_FAN_SPEED")


def test_promtool() -> None:
    """Prometheus' own tool reads the page, and finds fault with nothing but DCGM's own names."""
    program = need("promtool", "prometheus")
    text = document(TEXT, [page(fleet())])

    run = subprocess.run(
        [program, "check", "metrics"], input=text, capture_output=True, check=False
    )
    complaints = run.stderr.decode().splitlines()
    assert run.returncode in {0, 3}  # 3: read well, with remarks
    assert [] == [line for line in complaints if not line.startswith("DCGM_FI_")]
