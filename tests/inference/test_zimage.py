"""The real pipeline, tiny: diffusers' own code with random weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference import tinymodel, zimage
from inference.diffusion import DiffusionEngine
from inference.engine import Job, Loaded, Stopped
from inference.setup import Setup
from inference.stopwatch import Stopwatch
from lightmeter import catalog
from lightmeter.catalog import Clock, GpuTime, LoadPhase, Stage
from support.cli import clean_environment
from support.device import Device, DeviceEvent
from support.server import Server, file, picture


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    tinymodel.build_tiny(path)
    return path


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Loaded:
    return zimage.load(str(folder), Setup(device="cpu"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data"), model="tiny") as running:
        yield running.ready()


def never() -> bool:
    return False


def job(prompt: str = "a lighthouse", **more: object) -> Job:
    usual: dict[str, object] = {
        "negative_prompt": None, "width": 64, "height": 64, "images": 1, "steps": 4, "guidance": 0.0, "seed": 3,
    }  # fmt: skip
    return Job(prompt=prompt, **{**usual, **more})  # type: ignore[arg-type]  # the fields above


def test_forwards(loaded: Loaded) -> None:
    """Forwards are counted at the model: as many as steps, and a time for each."""
    result = loaded.engine.generate([job(steps=5)], never)

    assert (5, 5) == (result.forwards, len(result.steps))
    assert all(seconds > 0 for seconds in result.steps)
    assert sum(result.steps) == pytest.approx(result.stages[Stage.DENOISE])
    assert sum(result.stages.values()) == pytest.approx(result.gpu_seconds)


def test_batch_mates(loaded: Loaded) -> None:
    """Whatever is made beside it, a picture is the same; pictures of one job are not."""
    jobs = [job(seed=8), job("a red fox", seed=20, images=2), job(seed=9)]
    together = loaded.engine.generate(jobs, never).pixels
    alone = [loaded.engine.generate([one], never).pixels for one in jobs]

    assert (4, 64, 64, 3) == together.shape
    assert np.array_equal(np.concatenate(alone), together)
    assert not np.array_equal(together[1], together[2])


def test_stopped(loaded: Loaded) -> None:
    """A batch that nobody wants ends after the next step, and the next one is none the worse."""
    before = loaded.engine.generate([job()], never).pixels
    asked: list[bool] = []

    def after_two() -> bool:
        asked.append(True)
        return len(asked) == 2

    with pytest.raises(Stopped) as stopped:
        loaded.engine.generate([job(steps=40)], after_two)

    assert 2 == len(asked)
    assert 0 < stopped.value.gpu_seconds < 10
    assert np.array_equal(before, loaded.engine.generate([job()], never).pixels)


def test_prompt_matters(loaded: Loaded) -> None:
    """Prompts, in any script, lead to different pictures; so does the guidance."""
    jobs = [job(), job("雨夜里的面馆"), job(guidance=4.0, negative_prompt="fog"), job("")]
    pictures = {loaded.engine.generate([one], never).pixels.tobytes() for one in jobs}

    assert 4 == len(pictures)


def test_shape(loaded: Loaded) -> None:
    """Pictures have the size asked for and are not one flat colour."""
    pixels = loaded.engine.generate([job(width=128, height=64)], never).pixels

    assert (1, 64, 128, 3) == pixels.shape
    assert np.uint8 == pixels.dtype
    assert pixels.std() > 5


def test_default_side(loaded: Loaded) -> None:
    """The default size is what the model itself was made for."""
    assert 64 == loaded.default_side


def test_served(server: Server) -> None:
    """The served picture is the pipeline's, the same every time, in the default size."""
    first, second = server.post(seed=1), server.post(seed=1)

    assert (64, 64) == picture(first).size
    assert file(first) == file(second)
    assert file(first) != file(server.post(seed=2))
    assert {Stage.TEXT_ENCODE, Stage.VAE_DECODE} <= set(first.json()["timings"])


def test_cold_start_told(server: Server) -> None:
    """The cold start is measured by phase, and the warm-up stays out of the users' figures."""
    for phase in (LoadPhase.IMPORT, LoadPhase.WEIGHTS, LoadPhase.WARMUP):
        assert 1 == server.value(catalog.MODEL_LOAD, "_count", phase=phase)
    assert 0 < server.value(catalog.GPU_SECONDS, kind=GpuTime.WARMUP)
    served = server.value(catalog.REQUEST_DURATION, "_count")
    assert served == server.value(catalog.IMAGES)


def test_own_folder(folder: Path, tmp_path: Path) -> None:
    """A folder saved with save_pretrained is served under its own name."""
    with Server(tmp_path, model=str(folder)) as server:
        answer = server.ready().post(model="tiny")

    assert (200, "tiny") == (answer.status_code, answer.json()["model"])


@pytest.mark.parametrize("broken", ["transformer", "weights"])
def test_not_whole(folder: Path, tmp_path: Path, broken: str) -> None:
    """A pipeline with a part missing ends the server with one clear line and exit code 2."""
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    if broken == "transformer":
        shutil.rmtree(copy / "transformer")
    else:
        (copy / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"torn")
    command = [sys.executable, "-P", "-m", "lightmeter.cli", "serve", "--model", str(copy), "--data", str(tmp_path / "data"), "--port", "0", "--metrics-port", "0"]  # fmt: skip
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, env=clean_environment()
    )

    last = run.stderr.strip().splitlines()[-1]
    assert 2 == run.returncode
    assert last.startswith(f"lightmeter: model '{copy}' cannot be loaded")
    assert "Traceback" not in run.stderr


def test_tiny_recipe(folder: Path) -> None:
    """The tiny folder has the real one's shape: the same parts, under the same classes."""
    index = json.loads((folder / "model_index.json").read_text())

    assert "ZImagePipeline" == index["_class_name"]
    assert ["diffusers", "ZImageTransformer2DModel"] == index["transformer"]
    assert "Qwen3Model" == index["text_encoder"][1]


def test_device_clock(folder: Path) -> None:
    """On a device with its own clock every step has its own time, and nothing is read too early."""
    pipe = zimage.read(str(folder), torch.device("cpu"))
    watch = Stopwatch(Clock.CUDA_EVENT, partial(DeviceEvent, Device(work_per_event=1)))
    engine = DiffusionEngine(pipe, [torch.device("cpu")], Setup(), watch)
    result = engine.generate([job(steps=5, images=2)], never)

    assert Clock.CUDA_EVENT is result.clock
    assert (0.001,) * 5 == pytest.approx(result.steps)
    assert 0.005 == pytest.approx(result.stages[Stage.DENOISE])
    assert 0.008 == pytest.approx(result.gpu_seconds) == pytest.approx(sum(result.stages.values()))
    with pytest.raises(Stopped) as stopped:
        engine.generate([job(steps=5)], lambda: True)
    assert pytest.approx(0.002) == stopped.value.gpu_seconds


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_clock(folder: Path) -> None:
    """On a GPU the times are the device's own, and the peak is that of the batch."""
    engine = zimage.load(str(folder), Setup(device="cuda")).engine
    large = engine.generate([job(width=512, height=512, images=2)], never)
    small = engine.generate([job(steps=5)], never)

    assert Clock.CUDA_EVENT is small.clock
    assert (5, 5) == (small.forwards, len(small.steps))
    assert all(seconds > 0 for seconds in small.steps)
    assert sum(small.stages.values()) == pytest.approx(small.gpu_seconds)
    assert 0 < (small.peak_vram_bytes or 0) < (large.peak_vram_bytes or 0)


def test_nan(folder: Path) -> None:
    """A picture that the model failed on is told from its healthy mates."""
    pipe = zimage.read(str(folder), torch.device("cpu"))
    engine = DiffusionEngine(pipe, [torch.device("cpu")], Setup())
    healthy = engine.generate([job(images=3)], never)
    decode = pipe.vae.decode

    def spoil(latents: torch.Tensor, **kwargs: Any) -> Any:
        latents[1, 0, 0, 0] = torch.nan
        latents[2] *= torch.inf
        return decode(latents, **kwargs)

    pipe.vae.decode = spoil
    result = engine.generate([job(images=3)], never)

    assert (False, False, False) == healthy.nan
    assert (False, True, True) == result.nan
    assert np.array_equal(healthy.pixels[0], result.pixels[0])
