"""``bench/gpu/run``: its whole way, tried out where there is no GPU."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from inference import tinymodel
from inference.setup import FULL
from lightmeter import roofline
from support.cli import clean_environment
from support.nvml import FakeNvml


ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from bench.gpu import collect, flop, launch, main, page  # noqa: E402  (bench is in no package)
from bench.gpu.results import Results  # noqa: E402
from bench.gpu.runner import Runner  # noqa: E402
from bench.gpu.table import BY_NAME, ROWS  # noqa: E402


MACHINE = {"card": "NVIDIA L4", "driver": "580.1", "torch": "2.13.0"}


@pytest.fixture(autouse=True)
def tidy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a killed run leaves behind go with the test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def command(out: Path, *options: str) -> list[str]:
    return [str(ROOT / "bench" / "gpu" / "run"), "--out", str(out), *options]


def started(*words: str) -> subprocess.Popen[str]:
    environment = clean_environment(PYTHON=sys.executable, OMP_NUM_THREADS="1")
    return subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ran(*words: str) -> tuple[int, str]:
    with started(*words) as process:
        said, _ = process.communicate(timeout=170)
    return process.returncode, said


def rows(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text())["rows"]
    return found


def entry(**more: Any) -> dict[str, Any]:
    began = Results.begin(MACHINE, "2026-11-20T12:00:00+00:00")
    return began | {"status": "measured", "reason": "", "seconds": 2.0} | more


def test_goes_on(tmp_path: Path) -> None:
    """What was measured before a kill is kept, and the next run goes on behind it."""
    words = command(tmp_path, "--device", "cpu", "--only", "picture,guards,sameness")
    with started(*words) as process:
        for line in process.stdout or ():
            if line.startswith("picture: measured"):
                process.kill()
    killed = rows(tmp_path)
    code, said = ran(*words)

    assert "measured" == killed["picture"]["status"]
    assert "measured" != killed.get("sameness", {}).get("status")
    assert (0, True) == (code, "picture: measured before" in said), said
    after = rows(tmp_path)
    assert {"measured"} == {row["status"] for row in after.values()}
    assert killed["picture"] == after["picture"]
    told = [line["told"] for line in after["guards"]["lines"] if "told" in line]
    assert ["nothing", "nan", "black", "nothing"] == told[:4]
    assert "nan" == told[-1]


def test_no_time(tmp_path: Path) -> None:
    """A row is not begun where the time that is left is too short for it; it waits and says so."""
    code, _ = ran(*command(tmp_path, "--device", "cpu", "--budget", "0"))

    assert 1 == code
    assert set(BY_NAME) == set(rows(tmp_path))
    assert {"waiting"} == {row["status"] for row in rows(tmp_path).values()}
    assert "too little time: it takes about 25 s, 0 s were left" == rows(tmp_path)["picture"]["reason"]  # fmt: skip


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(tmp_path: Path) -> None:
    """Without a GPU every row waits at once, and what was measured elsewhere stays."""
    Results(tmp_path / "results.json").put("matrix", entry())

    code, _ = ran(*command(tmp_path))

    assert 1 == code
    assert "measured" == rows(tmp_path)["matrix"]["status"]
    reasons = {row["reason"] for name, row in rows(tmp_path).items() if name != "matrix"}
    assert {"there was no NVIDIA GPU where this ran last"} == reasons


@pytest.mark.parametrize("words", [["--only", "pictures"], ["--device", "tpu"]])
def test_wrong_words(tmp_path: Path, words: list[str]) -> None:
    """A row or device that does not exist is refused before anything starts."""
    code, said = ran(*command(tmp_path, *words))

    assert (2, True) == (code, words[-1] in said)
    assert not (tmp_path / "results.json").exists()


def test_strange_file(tmp_path: Path) -> None:
    """A file that holds no results is not overwritten."""
    (tmp_path / "results.json").write_text('{"mine": 1}')

    code, said = ran(*command(tmp_path, "--budget", "0"))

    assert (1, True) == (code, "is no results file of this version" in said)
    assert '{"mine": 1}' == (tmp_path / "results.json").read_text()


def test_cut_off(tmp_path: Path) -> None:
    """A row that takes too long is cut off, and the next one finds a fresh process."""
    with Runner("cpu", tmp_path / "work", tmp_path / "run.log") as runner:
        first = list(runner.measure(BY_NAME["picture"], 0.01))
        second = list(runner.measure(BY_NAME["guards"], 120.0))

    assert [{"end": "waiting", "reason": "it was cut off after 0 s"}] == first
    assert {"end": "measured"} == second[-1]


def test_dies(tmp_path: Path) -> None:
    """A process that is killed costs its row, and says how it ended."""
    with Runner("cpu", tmp_path / "work", tmp_path / "run.log") as runner:
        told = runner.measure(BY_NAME["picture"], 120.0)
        next(told)
        process = runner._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        rest = list(told)

    assert {"end": "waiting", "reason": "its process ended with -9"} == rest[-1]


def test_measured_stays(tmp_path: Path) -> None:
    """A measured row gives way to another measurement only, never to a reason to wait."""
    results = Results(tmp_path / "results.json")
    results.put("matrix", entry())
    results.wait("matrix", "no time")
    results.wait("memory", "no time")
    again = Results(tmp_path / "results.json")

    assert ("NVIDIA L4", "") == (again.measured_on("matrix"), again.measured_on("memory"))
    assert "no time" == again.rows["memory"]["reason"]


def test_page() -> None:
    """The page says of each row on what it was measured or why it waits, and shows misses."""
    line = {"what": "a|b", "value": 0.123456, "unit": "s"}
    text = page.build(
        {
            "matrix": entry(lines=[line], missed=["0.5 is not 0.6"]),
            "memory": {"status": "waiting", "reason": "no time"},
            "picture": entry(machine={"card": "CPU"}),
        }
    )
    said = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}

    assert [row.name for row in ROWS] == list(said)
    assert "measured: NVIDIA L4, driver 580.1, 2026-11-20; 1 targets missed |" in said["matrix"]
    assert "| waiting: no time |" in said["memory"]
    assert "| waiting: not run yet |" in said["picture"]
    assert "| a/b | 0.1235 | s |" in text
    assert "Missed: 0.5 is not 0.6." in text
    assert "CPU" not in text.replace("its CPU time", "").replace("--device cpu", "")


def test_rows() -> None:
    """Every row has its function, importable without a GPU; all of them fit into ten minutes."""
    for row in ROWS:
        module, _, name = row.measure.partition(":")
        assert callable(getattr(importlib.import_module(module), name)), row.name
    assert sum(row.seconds for row in ROWS) < main.BUDGET


@pytest.mark.parametrize("side", [512, 1024])
def test_flop_counted(side: int) -> None:
    """The operations that the formula counts are those that torch counts in the full-size model."""
    pipe = tinymodel.make(FULL, torch.device("meta"), torch.float32)
    latents = [torch.empty(16, 1, side // 8, side // 8, device="meta")]
    caption = [torch.empty(40, pipe.transformer.config.cap_feat_dim, device="meta")]

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        pipe.transformer(latents, torch.ones(1, device="meta"), caption, return_dict=False)

    formula = flop.forward_flop(pipe.transformer.config, side, 40)
    assert counter.get_total_flops() == pytest.approx(formula, rel=0.002)


def test_flop_of_full_size() -> None:
    """At full size the count is that of the roofline, and what that leaves out."""
    config = tinymodel._config(FULL)["transformer"]

    exact = flop.forward_flop(config, 1024, roofline.CAPTION_TOKENS)

    assert 1.05 < exact / roofline.picture_flop(1024, 1024, 1) < 1.12


def test_wheels() -> None:
    """What is collected is what lightmeter needs, without torch and what is there already."""
    needed = collect.needed(["diffusers>=0.42", "torch>=2.13"])

    assert {"diffusers", "numpy", "huggingface-hub"} <= needed
    assert not {"torch", "sympy", "networkx"} & needed


def test_wheels_named(tmp_path: Path) -> None:
    """A dry run names exact versions and fetches nothing."""
    have = tmp_path / "freeze.txt"
    have.write_text("numpy==2.0.0\ntransformers @ file:///x\n# a comment\n")

    code, said = ran(
        str(ROOT / "bench/gpu/wheels"), str(tmp_path / "to"), "--have", str(have), "--dry-run"
    )

    assert 0 == code
    names = {line.partition("==")[0] for line in said.splitlines()}
    assert {"diffusers", "fastapi", "prometheus_client"} <= names
    assert not {"numpy", "transformers", "torch"} & names
    assert all("==" in line for line in said.splitlines())
    assert not (tmp_path / "to").exists()


def test_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel is installed beside the Python there is, once, and not where a later version is."""
    monkeypatch.setattr(launch, "SITE", tmp_path / "site")
    monkeypatch.setattr(sys, "path", [*sys.path])
    wheel = tmp_path / "fresh_snow-1.2.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = "fresh_snow-1.2.0.dist-info"
        archive.writestr("fresh_snow.py", "deep = True\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: fresh-snow\nVersion: 1.2.0\n")  # fmt: skip
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")  # fmt: skip
        archive.writestr(f"{info}/RECORD", "")

    assert not launch.is_there(wheel)
    launch._install([wheel])
    assert launch.is_there(wheel)
    assert ["no_such_thing"] == launch.missing(["fresh_snow", "no_such_thing", "json"])
    assert launch.is_there(wheel.with_name("fresh_snow-1.1.9-py3-none-any.whl"))
    assert not launch.is_there(wheel.with_name("fresh_snow-1.10.0-py3-none-any.whl"))


BURST = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
sys.path.insert(0, sys.argv[1] + "/tests")
from bench.gpu import exporting
from exporter.supervisor import Options, Supervisor
from support.nvml import FakeNvml

class Burner:
    def bursts(self, period):
        fake = FakeNvml(Path(sys.argv[2]))
        fake.set(0, "busy", 1000.0, 2.0, time.time() + 0.5, 1.0)
        time.sleep(4)
        return 2.0

source = Supervisor(Options())
exporting._snapshot(source)
for line in exporting._burst(source, Burner(), 4.0):
    print(line)
source.close()
"""


def test_known_load(tmp_path: Path) -> None:
    """A known load on a stand-in driver is told within a point, so nothing is reported as missed."""
    fake = FakeNvml(tmp_path)
    fake.set(0, "busy", 1000.0, 0.0, time.time(), 1.0)

    run = subprocess.run(
        [sys.executable, "-P", "-c", BURST, str(ROOT), str(tmp_path)],
        env=clean_environment(**fake.environment), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert 0 == run.returncode, run.stderr
    lines = [eval(line) for line in run.stdout.splitlines()]  # noqa: S307  (printed by our own script)
    assert ["half of every 4.0 s"] == [line.get("load") for line in lines]
    assert abs(lines[0]["points apart"]) < 1


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("tried")
    with started(*command(out, "--device", "cpu", "--budget", "3600")) as process:
        process.communicate(timeout=800)
    return rows(out)


@pytest.mark.proof
def test_whole_way(tried: dict[str, Any]) -> None:
    """Every row that does not need CUDA itself is measured with the tiny model, to its last line."""
    expected = {row.name: "measured" if row.anywhere else "waiting" for row in ROWS}

    assert expected == {name: row["status"] for name, row in tried.items()}, tried
    assert {"it needs a CUDA device"} == {row["reason"] for row in tried.values()} - {""}
    assert {"lightmeter", "lock server"} <= {line["server"] for line in tried["server"]["lines"]}
