"""dcgm-exporter's text as a source: torn lines, several pods, new names, silence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import dcgmsource
from exporter.dcgmsource import DcgmSource
from exporter.dcgmtext import Peaks, parse, snapshots
from exporter.exposition import TEXT, Sheet, document
from exporter.render import Naming, write
from exporter.snapshot import Owner, Snapshot
from lightmeter.catalog import Dcgm, GpuState, Throttle
from support.clock import Clock
from support.exporter import Served
from support.fleet import MIB, fleet, snapshot
from support.server import eventually


LABELS = 'gpu="0",UUID="GPU-a",pci_bus_id="00000000:0F:00.0",device="nvidia0",modelName="NVIDIA H100",Hostname="n",DCGM_FI_DRIVER_VERSION="580.1"'
PAGE = f"""# HELP DCGM_FI_DEV_GPU_TEMP GPU temperature (in C).
# TYPE DCGM_FI_DEV_GPU_TEMP gauge
DCGM_FI_DEV_GPU_TEMP{{{LABELS}}} 54
DCGM_FI_DEV_FB_USED{{{LABELS}}} 1000
DCGM_FI_DEV_FB_FREE{{{LABELS}}} 3000
DCGM_FI_DEV_FB_RESERVED{{{LABELS}}} 96 1790000000000
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{LABELS}}} 5000
DCGM_FI_DEV_POWER_VIOLATION{{{LABELS}}} 2500000000
go_goroutines 7
"""


def read(page: str) -> list[Snapshot]:
    return list(snapshots(parse(page), Peaks(60), 100.0, 50.0))


def test_page() -> None:
    """What the text tells is taken over, in our units where there is a name of ours."""
    (found,) = read(PAGE)

    assert (0, "GPU-a", "NVIDIA H100", "580.1") == (found.gpu.index, found.gpu.uuid, found.gpu.name, found.gpu.driver)  # fmt: skip
    assert 54.0 == found.gauges[Dcgm.GPU_TEMP]
    assert (1000 * MIB, 4096 * MIB) == (found.memory_used_bytes, found.memory_total_bytes)
    assert 5.0 == found.energy_joules
    assert {Throttle.POWER: 2.5} == found.throttle_seconds


def test_honest() -> None:
    """What the text cannot tell is absent."""
    (found,) = read(PAGE)

    assert found.busy_seconds is None
    assert found.sampled_seconds is None
    assert found.processes is None
    assert () == found.xids


def test_round_trip() -> None:
    """Our own page is read back as it was."""
    sheet = Sheet()
    write(sheet, fleet(8), Naming("n"))
    again = read(document(TEXT, [sheet]).decode())

    assert [(snapshot(i).gpu, snapshot(i).gauges) for i in range(8)] == [(one.gpu, one.gauges) for one in again]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        'DCGM_FI_DEV_GPU_TEMP{gpu="1"',
        'DCGM_FI_DEV_GPU_TEMP{gpu="1",UUID="GPU-b"} hot',
        'DCGM_FI_DEV_GPU_TEMP{gpu="one",UUID="GPU-b"} 1',
        'DCGM_FI_DEV_GPU_TEMP{gpu="1"} 1',
        'DCGM_FI_DEV_GPU_TEMP{gpu=1,UUID="GPU-b"} 1',
        "DCGM_FI_DEV_GPU_TEMP 1",
        'DCGM_FI_DEV_GPU_TEMP{gpu="1",UUID="GPU-b",GPU_I_ID="x"} 1',
        "}{",
        "<html>",
    ],
)  # fmt: skip
def test_malformed(line: str) -> None:
    """A line that is torn is counted, and costs no other line."""
    found = parse(f"{line}\n{PAGE}{line}")

    assert 2 == found.skipped
    assert 54.0 == found.readings["GPU-a", None].values[Dcgm.GPU_TEMP]


@given(st.text())
def test_anything(page: str) -> None:
    """No text whatever is an error."""
    parse(page)


@pytest.mark.parametrize("value", ["NaN", "+Inf", "9223372036854775794", "9223372036854775792"])
def test_blank(value: str) -> None:
    """DCGM's codes for "no value" are none."""
    assert [] == read(f'DCGM_FI_DEV_GPU_TEMP{{gpu="0",UUID="GPU-a"}} {value}')


def test_escapes() -> None:
    """Quotes, commas and backslashes in a label do not end it."""
    (found,) = read('DCGM_FI_DEV_GPU_TEMP{gpu="0",modelName="a\\"},b\\\\\\n",UUID="GPU-a"} 1')

    assert 'a"},b\\\n' == found.gpu.name


def test_new_names() -> None:
    """Names of DCGM 4.6 become the old ones, which dashboards know."""
    (found,) = read('DCGM_FI_DEV_GPU_TEMP_CELSIUS{gpu="0",UUID="GPU-a"} 54\nDCGM_FI_PROF_TENSOR_UTIL_RATIO{gpu="0",UUID="GPU-a"} 0.5')  # fmt: skip

    assert {Dcgm.GPU_TEMP: 54.0, Dcgm.TENSOR_ACTIVE: 0.5} == found.gauges


def test_mig() -> None:
    """Instances of one GPU are kept apart."""
    line = 'DCGM_FI_DEV_FB_USED{{gpu="0",UUID="GPU-a",GPU_I_PROFILE="1g.10gb",GPU_I_ID="{0}"}} {0}'
    found = read("\n".join(line.format(i) for i in (7, 8)))

    assert [("1g.10gb", 7, 7.0), ("1g.10gb", 8, 8.0)] == [(one.gpu.profile, one.gpu.instance, one.gauges[Dcgm.FB_USED]) for one in found]  # fmt: skip


def shared(pod: str, value: float) -> str:
    return f'DCGM_FI_DEV_FB_USED{{{LABELS},pod="{pod}",namespace="n",container="c"}} {value}\n'


def test_pods() -> None:
    """Several pods' copies of a device's value are one series; a false zero does not win."""
    copies = shared("a", 900.0) + shared("b", 0.0)

    assert [900.0] == [one.gauges[Dcgm.FB_USED] for one in read(copies)]
    assert [1000.0] == [one.gauges[Dcgm.FB_USED] for one in read(copies + PAGE)]
    assert [1000.0] == [one.gauges[Dcgm.FB_USED] for one in read(PAGE + copies)]
    assert {Owner("n", "a", "c"), Owner("n", "b", "c")} == parse(copies).readings["GPU-a", None].holders  # fmt: skip


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(0, 100)), min_size=1))
def test_peaks(steps: list[tuple[float, int]]) -> None:
    """A peak is the highest value of the window, as adding up by hand says."""
    peaks, now, seen = Peaks(60), 0.0, []
    for step, value in steps:
        now += step
        seen.append((now, value))
        assert max(v for at, v in seen if at >= now - 60) == peaks.add("x", value, now)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(dcgmsource, "EVERY_SECONDS", 0.05)
    with Served(PAGE) as made:
        yield made


@contextlib.contextmanager
def asking(url: str, clock: Clock) -> Iterator[DcgmSource]:
    source = DcgmSource(url, clock=clock)
    try:
        yield source
    finally:
        source.close()


def states(source: DcgmSource) -> list[tuple[int | None, bool, str]]:
    return [(one.index, one.up, one.reason) for one in source.fleet().health]


def test_source(exporter: Served) -> None:
    """Readings come by themselves, with the peak of what was seen; the source is named."""
    with asking(exporter.url, Clock()) as source:
        assert eventually(lambda: [(0, True, GpuState.OK)] == states(source))
        exporter.page = PAGE.replace(" 1000", " 2000")
        assert eventually(lambda: 2000 * MIB == source.fleet().snapshots[0].memory_used_bytes)
        exporter.page = PAGE
        assert eventually(lambda: 1000 * MIB == source.fleet().snapshots[0].memory_used_bytes)
        assert 2000 * MIB == source.fleet().snapshots[0].memory_peak_bytes
        assert "dcgm" == source.fleet().source


def test_silent(exporter: Served) -> None:
    """When the other exporter falls silent its readings go, with the reason, and come back."""
    clock = Clock()
    with asking(exporter.url, clock) as source:
        assert eventually(lambda: [(0, True, GpuState.OK)] == states(source))
        exporter.page = None
        assert eventually(lambda: "500" in source.fleet().health[0].detail)
        assert 1 == len(source.fleet().snapshots)
        clock.now += dcgmsource.STALE_SECONDS + 1
        assert [(0, False, GpuState.UNREACHABLE)] == states(source)
        assert () == source.fleet().snapshots
        exporter.page = PAGE
        assert eventually(lambda: [(0, True, GpuState.OK)] == states(source))


def test_gpu_gone(exporter: Served) -> None:
    """A GPU that the other exporter no longer tells of is lost, and still expected."""
    with asking(exporter.url, Clock()) as source:
        assert eventually(lambda: [(0, True, GpuState.OK)] == states(source))
        exporter.page = PAGE.replace("GPU-a", "GPU-b").replace('gpu="0"', 'gpu="1"')
        assert eventually(lambda: [(0, False, GpuState.LOST), (1, True, GpuState.OK)] == states(source))  # fmt: skip
        assert 2 == source.fleet().expected


def test_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Where nobody answers from the beginning, that is what health and the log say."""
    with asking("http://127.0.0.1:1/metrics", Clock()) as source:
        assert eventually(lambda: [(None, False, GpuState.UNREACHABLE)] == states(source))

    assert "dcgm-exporter at http://127.0.0.1:1/metrics is not read" in caplog.text


def test_endless(exporter: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page without end is not read to its end."""
    monkeypatch.setattr(dcgmsource, "MAX_BYTES", 100)
    with asking(exporter.url, Clock()) as source:
        assert eventually(lambda: "longer than 100 bytes" in source.fleet().health[0].detail)


def test_exclusive(exporter: Served) -> None:
    """A device that the text gives to one container is that container's."""
    exporter.page = shared("a", 900.0) + shared("b", 1.0).replace("GPU-a", "GPU-b") + shared("c", 1.0).replace("GPU-a", "GPU-b")  # fmt: skip
    with asking(exporter.url, Clock()) as source:
        assert eventually(lambda: {"GPU-a": Owner("n", "a", "c")} == source.exclusive())
