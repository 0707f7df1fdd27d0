"""``lightmeter export`` as a whole: a machine without a GPU, refusals, another exporter's text."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from exporter.bus import has_gpu
from exporter.exposition import TEXT, Sheet, document
from exporter.options import Options, loads
from exporter.render import Naming, write
from lightmeter import catalog
from lightmeter.catalog import Dcgm, GpuState
from lightmeter.settings_export import Export
from support.certs import Authority
from support.cli import lightmeter
from support.exporter import Exporter, Served
from support.fleet import MIB, fleet, gpu, parse, values
from support.server import eventually, fetch


@pytest.fixture(scope="module")
def bare() -> Iterator[Exporter]:
    with Exporter() as running:
        yield running


def test_no_gpu(bare: Exporter) -> None:
    """Without a driver the host's metrics are served, with up 0 and the reason, which tells whether there is a GPU."""
    reason = GpuState.DRIVER_MISSING if has_gpu("/") else GpuState.NO_GPU
    assert eventually(lambda: [0.0] == values(bare.scrape(), catalog.GPU_UP, reason=reason))
    found = bare.scrape()

    assert [0.0] == values(found, catalog.GPU_UP, gpu="")
    assert values(found, catalog.NODE_CPU, mode="idle")
    assert values(found, catalog.NODE_MEMORY["MemAvailable"])[0] > 0
    assert [1.0] == values(found, catalog.SOURCE_INFO, source="nvml")
    assert [] == [s.name for s in found if s.name.startswith("DCGM")]


def test_no_gpu_said(bare: Exporter) -> None:
    """One line of the log says that no GPU is read, however often it is looked for: a warning where there is one."""
    said = "driver_missing" if has_gpu("/") else "this machine has no NVIDIA GPU"
    assert eventually(lambda: any(said in line for line in bare.log))
    bare.scrape()

    assert 1 == sum(said in line for line in bare.log), bare.log


def test_options() -> None:
    """No setting is lost on the way from the command to the exporter's process."""
    names = {field.name for field in dataclasses.fields(Options)}
    settings = Export.model_validate({"host_root": "/host", "window": "90s", "replay": "x"})
    options = loads(settings.model_dump_json())

    assert set(Export.model_fields) == names
    assert settings.model_dump() == dataclasses.asdict(options)


def test_secret_url(other: Served) -> None:
    """A password in the other exporter's address is not for everybody on the machine to see."""
    address = other.url.replace("http://", "http://me:secret@")
    with Exporter(LIGHTMETER_EXPORT_DCGM=address) as running:
        shown = Path(f"/proc/{running.process.pid}/cmdline").read_text()

    assert "exporter" in shown
    assert "secret" not in shown
    assert "secret" not in "".join(running.log)


def test_lean(bare: Exporter) -> None:
    """The process has neither click nor pydantic, which would double the memory of all of them."""
    maps = Path(f"/proc/{bare.process.pid}/maps").read_text()

    assert "libpython" in maps or "python" in maps
    assert "pydantic" not in maps


def test_probe(bare: Exporter) -> None:
    """A liveness probe is answered."""
    assert 200 == fetch(bare.url.replace("/metrics", "/healthz")).status_code


def test_loopback(bare: Exporter) -> None:
    """Nobody from outside is let in unless that is asked for."""
    assert "http://127.0.0.1:" in bare.url


def test_ends() -> None:
    """SIGTERM ends it with 0 and without a word of complaint."""
    with Exporter("--host-metrics", "") as running:
        running.scrape()
        assert 0 == running.stop()

    assert [] == [line for line in running.log if "Traceback" in line or "ERROR" in line]


def test_switches() -> None:
    """Groups of host metrics are switched off one by one."""
    with Exporter("--host-metrics", "load,memory") as running:
        names = {s.name for s in running.scrape() if s.name.startswith("node_")}

    expected = (*catalog.NODE_LOAD, *catalog.NODE_MEMORY.values())
    assert {metric.name for metric in expected} == names


def test_refused_port(tmp_path: Path) -> None:
    """A busy port is refused with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = lightmeter("export", "--port", port, cwd=tmp_path)

    assert "give another --port" in ran.refusal()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--web.config.file", "web.yml"], "did you mean 'basic_auth_users'?"),
        (["--web-config", "web.yml"], "did you mean 'basic_auth_users'?"),
        (
            ["--demo", "--dcgm", "http://localhost:1/metrics"],
            "--demo and --dcgm exclude each other",
        ),
        (["--replay", "missing.jsonl"], "recording missing.jsonl does not exist"),
        (["--dcgm", "localhost:9400"], "export.dcgm is 'localhost:9400'"),
        (["--host-metrics", "cpu,memroy"], "did you mean 'memory'?"),
        (["--hostname-label", "host"], "export.hostname_label is 'host'"),
    ],
)
def test_refused(options: list[str], words: str, tmp_path: Path) -> None:
    """What cannot be is refused at the start, in one line that says what to do."""
    (tmp_path / "web.yml").write_text("basic_auth_user: {}\n")
    ran = lightmeter("export", "--port", "0", *options, cwd=tmp_path)

    assert words in ran.refusal()


def expiry(page: str, authority: Authority) -> float:
    try:
        text = httpx.get(page, trust_env=False, verify=authority.client()).text
    except httpx.TransportError:  # it does not speak TLS yet
        return 0.0
    return values(parse(text, TEXT), catalog.CERTIFICATE_EXPIRY)[0]


def test_web_config_changes(tmp_path: Path) -> None:
    """A web configuration that goes wrong stays out, and a metric says so until it is mended.

    One that brings TLS is taken too, and then a metric says when the certificate expires.
    """
    authority = Authority(tmp_path)
    authority.issue("server")
    web = tmp_path / "web.yml"
    web.write_text("http_server_config: {}\n")
    with Exporter("--web.config.file", str(web), "--demo", "--host-metrics", "") as running:
        assert [1.0] == values(running.scrape(), catalog.CONFIG_RELOADED)
        web.write_text("basic_auth_user: {}\n")
        assert eventually(lambda: [0.0] == values(running.scrape(), catalog.CONFIG_RELOADED))
        web.write_text("{}\n")
        assert eventually(lambda: [1.0] == values(running.scrape(), catalog.CONFIG_RELOADED))
        assert [] == values(running.scrape(), catalog.CERTIFICATE_EXPIRY)
        web.write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}\n")
        page = running.url.replace("http:", "https:")
        assert eventually(lambda: expiry(page, authority) > time.time())

    assert 1 == sum("did you mean 'basic_auth_users'?" in line for line in running.log)


def test_demo() -> None:
    """Made-up GPUs have everything that a page can have, and say what they are."""
    with Exporter("--demo", "--gpus", "3") as running:
        found = running.scrape()

    assert 3 == len(values(found, Dcgm.GPU_TEMP))
    assert 3 == len(values(found, catalog.GPU_BUSY))
    assert [1.0] == values(found, catalog.SOURCE_INFO, source="demo")
    assert "this is a demo" in "".join(running.log)


def test_replay(tmp_path: Path) -> None:
    """What was recorded of GPUs is shown again, and says what it is."""
    file = tmp_path / "readings.jsonl"
    with Exporter("--demo", "--gpus", "2", "--record", str(file)):
        assert eventually(lambda: file.exists() and file.read_text().count("\n") >= 2)
    with Exporter("--replay", str(file)) as running:
        found = running.scrape()

    assert 2 == len(values(found, Dcgm.GPU_TEMP))
    assert [1.0] == values(found, catalog.SOURCE_INFO, source="replay")


@pytest.fixture
def other() -> Iterator[Served]:
    sheet = Sheet()
    write(sheet, fleet(8), Naming("node-7"))
    with Served(document(TEXT, [sheet]).decode()) as served:
        yield served


def test_dcgm(other: Served) -> None:
    """Another exporter's GPUs are shown with peaks, the host's metrics and what was not understood."""
    other.page = (other.page or "") + "DCGM_FI_DEV_GPU_TEMP{torn\n"
    with Exporter("--dcgm", other.url, "--hostname", "gpu-node-3") as running:
        assert eventually(lambda: 8.0 in values(running.scrape(), catalog.GPUS_SEEN))
        found = running.scrape()

    assert [54.0] == values(found, Dcgm.GPU_TEMP, gpu="7", Hostname="gpu-node-3")
    assert [40_000.0 * MIB] == values(found, catalog.GPU_MEMORY_PEAK, UUID=gpu(7).uuid)
    assert [1.0] == values(found, catalog.SOURCE_INFO, source="dcgm")
    assert values(found, catalog.DCGM_LINES_SKIPPED)[0] >= 1
    assert values(found, catalog.NODE_CPU)
    assert [] == values(found, catalog.GPU_BUSY)
