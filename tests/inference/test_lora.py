"""Pictures with a LoRA, beside pictures without: small ones made here, in diffusers' own format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file

from inference import loras, tinymodel, zimage
from inference.adapters import Adapters
from inference.engine import Job
from inference.setup import Setup
from lightmeter.errors import InputError, WorkerError
from support.server import Server, file


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    tinymodel.build_tiny(path)
    return path


def make_lora(model: Path, folder: Path, name: str, seed: int) -> None:
    """Save a LoRA on the transformer's attention, large enough to be seen."""
    pipe = zimage.read(str(model), torch.device("cpu"))
    torch.manual_seed(seed)
    config = LoraConfig(r=4, target_modules=["to_q", "to_v"], init_lora_weights=False)
    pipe.transformer.add_adapter(config)
    layers = get_peft_model_state_dict(pipe.transformer)
    pipe.save_lora_weights(
        folder,
        transformer_lora_layers={key: value * 8 for key, value in layers.items()},
        weight_name=f"{name}.safetensors",
    )


@pytest.fixture(scope="module")
def folder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loras")
    make_lora(model, path, "ink", seed=1)
    make_lora(model, path, "neon_v1.2", seed=2)
    make_lora(model, path, "oil", seed=3)
    strange = torch.ones(4, 7), torch.ones(9, 4)
    layer = "transformer.layers.0.attention.to_q.lora_"
    save_file({f"{layer}A.weight": strange[0], f"{layer}B.weight": strange[1]}, path / "wide.safetensors")  # fmt: skip
    other = layer.replace("layers.0", "blocks.5")
    save_file({f"{other}A.weight": strange[0], f"{other}B.weight": strange[1]}, path / "other.safetensors")  # fmt: skip
    save_file({"weight": torch.ones(2)}, path / "plain.safetensors")
    (path / "torn.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    (path / "pickled.bin").write_bytes(b"\x80\x04N.")
    (path / "-odd.safetensors").write_bytes(b"")
    return path


class Painter:
    """An engine with LoRAs, which remembers its unadapted picture."""

    def __init__(self, model: Path, folder: Path, slots: int = 4) -> None:
        setup = Setup(device="cpu", loras=str(folder), lora_slots=slots)
        self.engine = zimage.load(str(model), setup).engine

    def __call__(self, lora: str | None = None, scale: float = 1.0) -> npt.NDArray[np.uint8]:
        """Make the one picture."""
        job = Job(
            prompt="a lighthouse",
            negative_prompt=None,
            width=64,
            height=64,
            images=1,
            steps=2,
            guidance=0.0,
            seed=5,
            lora=lora,
            lora_scale=scale,
        )
        return self.engine.generate([job], lambda: False).pixels

    @property
    def held(self) -> int:
        """LoRAs in memory."""
        return len(self.engine._adapters._held)  # type: ignore[attr-defined]  # of this engine


def same(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    return np.array_equal(one, other)


def test_changes_the_picture(model: Path, folder: Path) -> None:
    """A LoRA changes the picture, more so the stronger it is; a strength of 0 changes nothing."""
    paint = Painter(model, folder)
    base, full, half = paint(), paint("ink"), paint("ink", 0.5)

    assert same(base, paint("ink", 0.0))
    assert not same(base, full)
    assert np.abs(half.astype(int) - base).mean() < np.abs(full.astype(int) - base).mean()
    assert not same(full, paint("neon_v1.2"))
    assert same(full, paint("ink"))


def test_leaves_no_trace(model: Path, folder: Path) -> None:
    """After LoRAs, and after some that failed, a plain picture is the same byte for byte."""
    paint = Painter(model, folder)
    base = paint()
    for lora in ("ink", "neon_v1.2", "ink"):
        paint(lora)
        assert same(base, paint())
    for lora in ("wide", "other"):
        with pytest.raises(InputError, match=f"lora '{lora}' does not fit this model"):
            paint(lora)
        assert same(base, paint())

    assert not same(base, paint("ink"))


def test_few_are_kept(model: Path, folder: Path) -> None:
    """With room for fewer than are asked for, LoRAs take turns and none loses its effect."""
    roomy, tight, single = (Painter(model, folder, slots) for slots in (4, 2, 1))
    for lora in ("ink", "neon_v1.2", "oil", "ink", "oil", "neon_v1.2", None, "oil"):
        assert same(roomy(lora), tight(lora))
        assert same(roomy(lora), single(lora))

    assert (3, 2, 1) == (roomy.held, tight.held, single.held)


def test_replaced_file(model: Path, tmp_path: Path) -> None:
    """A LoRA whose file is replaced is read again."""
    make_lora(model, tmp_path, "mine", seed=3)
    paint = Painter(model, tmp_path)
    before = paint("mine")
    make_lora(model, tmp_path, "mine", seed=4)
    os.utime(tmp_path / "mine.safetensors", ns=(1, 1))

    assert not same(before, paint("mine"))


class Full:
    """A pipeline on a device that has no room left."""

    def load_lora_weights(self, *_: object, **__: object) -> None:
        """Fail as torch does."""
        raise torch.OutOfMemoryError("CUDA out of memory.")


def test_no_memory(folder: Path) -> None:
    """A LoRA for which there is no room is not said to be made for another model."""
    with pytest.raises(WorkerError, match="there is no memory for lora 'ink'"):
        Adapters(Full(), str(folder), 4).use("ink", 1.0)


def test_names(folder: Path, tmp_path: Path) -> None:
    """Offered is what has a fitting name and is no pickle; a folder that is gone offers nothing."""
    assert ["ink", "neon_v1.2", "oil", "other", "plain", "torn", "wide"] == loras.names(folder)
    assert [] == loras.names(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("inc", "there is none of that name; did you mean 'ink'?"),
        ("../ink", "a name has up to 100 letters"),
        ("/etc/passwd", "a name has up to 100 letters"),
        ("ink\x00", "a name has up to 100 letters"),
        (".", "a name has up to 100 letters"),
        ("", "a name has up to 100 letters"),
        ("pickled", "there is none of that name"),
        ("torn", "its file is damaged"),
        ("plain", "its file holds no LoRA"),
    ],
)
def test_refused(folder: Path, name: str, words: str) -> None:
    """What is no LoRA of the folder is refused before torch sees it, with what to do."""
    with pytest.raises(InputError) as refused:
        loras.check(folder, name)

    assert words in str(refused.value)


@pytest.fixture(scope="module")
def server(model: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("data")
    with Server(data, "--loras", str(folder), model=str(model)) as running:
        yield running.ready()


def test_mixed_queue(server: Server) -> None:
    """Requests with different LoRAs wait together and each gets its own picture."""
    bodies = [
        {"seed": 1, "num_inference_steps": 4, **more}
        for more in (
            {},
            {"lora": "ink"},
            {"lora": "neon_v1.2"},
            {"lora": "ink", "lora_scale": 0.25},
            {"lora": "ink", "lora_scale": 0},
        )
    ]
    alone = [file(server.post(body)) for body in bodies]
    together = [file(answer) for answer in server.together(bodies * 3)]

    assert alone * 3 == together
    assert 4 == len(set(alone))
    assert alone[0] == alone[4]


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("lora", {"lora": "../../etc/passwd"}),
        ("lora", {"lora": "torn"}),
        ("lora", {"lora": "inc"}),
        ("lora", {"lora": 3}),
        ("lora_scale", {"lora": "ink", "lora_scale": 5}),
        ("lora_scale", {"lora_scale": 1}),
    ],
)
def test_invalid(server: Server, field: str, body: dict[str, object]) -> None:
    """A LoRA that cannot be used is the request's fault, and the answer names the field."""
    answer = server.post(body)

    assert (422, field) == (answer.status_code, answer.json()["error"]["param"])


def test_does_not_fit(server: Server) -> None:
    """One made for another model is the request's fault, in one line; the next picture is made."""
    refused, after = server.post(lora="wide"), server.post()
    error = refused.json()["error"]

    assert (422, 200) == (refused.status_code, after.status_code)
    assert "lora" == error["param"]
    assert error["message"].startswith(
        "lora 'wide' does not fit this model, it was made for another: "
    )
    assert "size mismatch" in error["message"]
    assert 1 == len(error["message"].splitlines())
    assert len(error["message"]) < 250


def test_none_offered(tmp_path: Path) -> None:
    """A server without a folder of LoRAs refuses them and names the setting."""
    with Server(tmp_path) as server:
        answer = server.ready().post(lora="ink")

    assert 422 == answer.status_code
    assert "serve.loras" in answer.json()["error"]["message"]
