"""Where the parts of a model go, for cards from 6 to 80 GiB; and that pictures survive it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError

from inference import tinymodel, vram, warmup, weights, zimage
from inference.diffusion import DiffusionEngine
from inference.engine import Engine, warmup_job
from inference.memory import Shape
from inference.placement import Needs, Placement, choose
from inference.setup import Setup, held
from lightmeter import catalog
from lightmeter.catalog import LoadPhase
from lightmeter.settings import Serve
from support.server import Server
from support.server import picture as picture_of


GIB = 2**30
TURBO = Needs(
    components={
        "transformer": 12_309_817_472,
        "text_encoder": 8_044_936_192,
        "vae": 167_639_366,
    },
    largest_file=9_973_693_184,
    side=1024,
)
"""Z-Image-Turbo in BF16: 6,154,908,736, 4,022,468,096 and 83,819,683 parameters."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    tinymodel.build_tiny(path)
    return path


@pytest.mark.parametrize(
    ("gib", "offload", "vae"),
    [
        (2, "sequential", "tiled"),
        (8, "sequential", "sliced"),
        (16, "model", "sliced"),
        (21, "none", "tiled"),
        (24, "none", "sliced"),
        (80, "none", "whole"),
    ],
)
def test_by_memory(gib: int, offload: str, vae: str) -> None:
    """The less memory a card has, the less of the model stays on it; the reason says how much."""
    chosen = choose(Setup(), TURBO, gib * GIB)

    assert (offload, vae) == (chosen.offload, chosen.vae)
    assert f"{gib}.0 GiB to use" in chosen.reason
    assert "19.1 GiB of weights" in chosen.reason


def test_more_is_never_worse() -> None:
    """A larger card never offloads more, nor decodes in smaller pieces, with the same offload."""
    order = {"offload": ["sequential", "model", "none"], "vae": ["tiled", "sliced", "whole"]}
    last = choose(Setup(), TURBO, GIB)
    for gib in range(2, 150):
        chosen = choose(Setup(), TURBO, gib * GIB)
        assert order["offload"].index(chosen.offload) >= order["offload"].index(last.offload)
        if chosen.offload == last.offload:
            assert order["vae"].index(chosen.vae) >= order["vae"].index(last.vae)
        last = chosen

    assert ("none", "whole", True) == (last.offload, last.vae, last.direct)


def test_as_told() -> None:
    """What a setting says wins over what the memory suggests."""
    told = choose(Setup(offload="model", vae="tiled"), TURBO, 140 * GIB)
    spread = choose(Setup(gpus_per_worker=2), TURBO, 8 * GIB)
    exact = choose(Setup(deterministic=True), TURBO, 140 * GIB)

    assert ("model", "tiled", False) == (told.offload, told.vae, told.direct)
    assert "none" == spread.offload
    assert "sliced" == exact.vae


def test_direct() -> None:
    """Weights are read straight onto a card only if a float32 file fits beside them meanwhile."""
    assert choose(Setup(), TURBO, 40 * GIB).direct
    assert not choose(Setup(), TURBO, 24 * GIB).direct


def test_cpu() -> None:
    """Without a GPU nothing is moved, and pictures are decoded one by one."""
    chosen = choose(Setup(compile="blocks"), TURBO, None)

    assert ("none", "sliced", False, True) == (
        chosen.offload,
        chosen.vae,
        chosen.direct,
        chosen.compile,
    )
    assert not choose(Setup(compile="blocks", offload="sequential"), TURBO, GIB).compile


def test_sizes(folder: Path, tmp_path: Path) -> None:
    """The headers tell what each component will take, before any is loaded."""
    pipe = zimage.read(str(folder), torch.device("cpu"))
    sizes = weights.component_bytes(folder, 2)
    true = {
        name: 2 * sum(tensor.numel() for tensor in getattr(pipe, name).state_dict().values())
        for name in ("transformer", "text_encoder", "vae")
    }
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "torn.safetensors").write_bytes(b"torn")

    assert true == sizes
    assert {"vae": 0} == weights.component_bytes(tmp_path, 2)
    assert (0, {}) == (weights.largest_file(tmp_path / "no"), weights.component_bytes(tmp_path / "no", 2))  # fmt: skip


def picture(engine: Engine, side: int = 64, seed: int = 4) -> npt.NDArray[np.uint8]:
    job = dataclasses.replace(warmup_job(side, 3, 2), seed=seed)
    result = engine.generate([job], lambda: False)
    assert job.steps == result.forwards
    return result.pixels


def test_offloaded(folder: Path) -> None:
    """A pipeline whose parts come and go makes the same pictures, call after call."""
    cpu = torch.device("cpu")
    plain = zimage.load(str(folder), Setup(device="cpu")).engine
    pipe = zimage.read(str(folder), cpu)
    engine = DiffusionEngine(pipe, [cpu], Setup())
    where = Placement(offload="model", vae="sliced", direct=False, compile=False, reason="")
    zimage.put(pipe, cpu, where, spread=False)

    for seed in (4, 5, 4):
        assert np.array_equal(picture(plain, seed=seed), picture(engine, seed=seed))


def test_direct_map(folder: Path) -> None:
    """Read straight to its place, a pipeline makes the same pictures."""
    cpu = torch.device("cpu")
    plain = zimage.load(str(folder), Setup(device="cpu")).engine
    direct = DiffusionEngine(
        zimage.read(str(folder), cpu, device_map="cpu"), [cpu], Setup()
    )  # fmt: skip

    assert np.abs(picture(plain).astype(int) - picture(direct)).max() <= 1


def test_tiled(folder: Path) -> None:
    """Slices make the picture that is decoded at once but for rounding; tiles nearly."""
    whole, sliced, tiled = (
        picture(zimage.load(str(folder), Setup(device="cpu", vae=vae)).engine, side=128)
        for vae in ("whole", "sliced", "tiled")
    )

    assert 1 >= np.abs(sliced.astype(int) - whole).max()
    assert 0 < np.abs(tiled.astype(int) - whole).mean() < 60


def test_warmup_shapes(folder: Path) -> None:
    """A worker makes the sizes that it is told to, or the one that the model was made for."""
    loaded = zimage.load(str(folder), Setup(device="cpu"))
    told = warmup.batches("128x64,64x64", loaded)

    assert [(128, 64), (64, 64)] == [(job.width, job.height) for (job,) in told]
    assert [[warmup_job(64, 1)]] == warmup.batches("", loaded)
    assert [(*Shape.of(128, 64, 1), 0)] == warmup.warm_up(loaded.engine, told[:1])


@pytest.mark.parametrize("shapes", ["512", "512x", "100x512", "0x16", "512x512,", "512x512;1x1"])
def test_impossible_shapes(shapes: str) -> None:
    """A size that no picture can have is refused at the start."""
    with pytest.raises(ValidationError):
        Serve.model_validate({"warmup_shapes": shapes})


def test_settings_reach_the_worker(tmp_path: Path) -> None:
    """Every setting of the worker's setup is one of the server's, and can be sent in a frame."""
    sent = held(Serve.model_validate({"loras": tmp_path, "compile": "blocks"}))

    assert (str(tmp_path), "blocks", 8) == (sent["loras"], sent["compile"], sent["batch"])
    assert Setup(**sent) == Setup(loras=str(tmp_path), compile="blocks")


def test_too_few_gpus() -> None:
    """A worker that wants more GPUs than there are says so; on the CPU it wants none."""
    assert [] == vram.mine(Setup(device="cpu", gpus_per_worker=4))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="torch sees no CUDA device; use --device cpu"):
            vram.mine(Setup(device="cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("offload", ["none", "model", "sequential"])
def test_offloaded_on_gpu(folder: Path, offload: str) -> None:
    """However its parts come and go, the GPU makes the same pictures; less of it is taken."""
    plain = zimage.load(str(folder), Setup(device="cuda"))
    other = zimage.load(str(folder), Setup(device="cuda", offload=offload))

    assert np.abs(picture(plain.engine).astype(int) - picture(other.engine)).max() <= 5
    assert (other.memory_base_bytes or 0) <= (plain.memory_base_bytes or 0)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two CUDA devices")
def test_spread(folder: Path) -> None:
    """A model spread over two GPUs makes the pictures that it makes on one."""
    one = zimage.load(str(folder), Setup(device="cuda"))
    two = zimage.load(str(folder), Setup(device="cuda", gpus_per_worker=2))

    assert "cuda:0,cuda:1" == two.device
    assert np.abs(picture(one.engine).astype(int) - picture(two.engine)).max() <= 5


@pytest.mark.proof
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.timeout(600)
def test_compiled(tmp_path: Path) -> None:
    """Compiled blocks make the same picture but for rounding; the second start finds them kept."""
    first, again = (
        started(tmp_path, "--compile", "blocks"),
        started(tmp_path, "--compile", "blocks"),
    )
    plain = started(tmp_path / "plain")

    assert (0.0, True) == (plain[0], 0 < again[0] < first[0])
    assert any((tmp_path / "compiled").rglob("*.so"))
    assert 2 >= np.abs(plain[1] - first[1]).max()
    assert np.array_equal(first[1], again[1])


def started(data: Path, *options: str) -> tuple[float, npt.NDArray[np.int64]]:
    """Start a server; return how long it compiled, and a picture."""
    with Server(data, *options, model="tiny") as server:
        made = picture_of(server.ready().post(seed=3))
        seconds = server.value(catalog.MODEL_LOAD, "_sum", phase=LoadPhase.COMPILE)
    return seconds, np.asarray(made).astype(np.int64)
