"""A picture is the same, byte for byte, whatever is made beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from inference import tinymodel, zimage
from inference.engine import Engine, Job
from inference.setup import Setup


PROMPTS = (
    "a lighthouse",
    "a red fox in fresh snow, morning light " * 3,
    "",
    "雨夜里的一家面馆, 霓虹灯",
    "a long description of a house by the sea " * 5,
    "two cats",
    "three dogs and a horse",
    "k" * 37,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    tinymodel.build_tiny(path)
    return path


@pytest.fixture
def threads() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


def never() -> bool:
    return False


def jobs(side: int, guidance: float = 0.0) -> list[Job]:
    return [
        Job(
            prompt=prompt,
            negative_prompt=PROMPTS[-seed] if guidance else None,
            width=side,
            height=side,
            images=1,
            steps=3,
            guidance=guidance,
            seed=seed,
        )
        for seed, prompt in enumerate(PROMPTS)
    ]


def assert_independent(engine: Engine, wanted: list[Job]) -> None:
    """Make each picture alone, then in batches of every size, in both orders."""
    alone = [engine.generate([one], never).pixels[0] for one in wanted]
    for size in range(2, len(wanted) + 1):
        for order in (list(range(size)), list(range(size))[::-1]):
            together = engine.generate([wanted[index] for index in order], never).pixels
            for index, picture in zip(order, together, strict=True):
                assert np.array_equal(alone[index], picture), (size, index)


@pytest.mark.parametrize("side", [64, 256])
def test_independent(folder: Path, side: int) -> None:
    """In float32 and one thread, batches of 1 to 8 and prompts of all lengths change no bit."""
    engine = zimage.load(str(folder), Setup(device="cpu")).engine

    assert_independent(engine, jobs(side))


def test_guided(folder: Path) -> None:
    """The same holds under guidance, where each picture has two captions of different length."""
    engine = zimage.load(str(folder), Setup(device="cpu")).engine

    assert_independent(engine, jobs(64, guidance=3.0)[:4])


@pytest.mark.usefixtures("threads")
def test_deterministic(folder: Path) -> None:
    """With several threads the setting `deterministic` keeps every bit, and the forwards' count."""
    setup = Setup(device="cpu", threads=2, deterministic=True)
    engine = zimage.load(str(folder), setup).engine
    wanted = jobs(256)[:3]
    result = engine.generate(wanted, never)

    assert (3, 3) == (result.forwards, len(result.steps))
    for index, one in enumerate(wanted):
        assert np.array_equal(engine.generate([one], never).pixels[0], result.pixels[index])


def test_same_picture(folder: Path) -> None:
    """Taking pictures apart changes rounding, not the picture that the pipeline would make."""
    wanted = jobs(128)
    plain = zimage.read(str(folder), torch.device("cpu"))
    made = plain(
        prompt=[job.prompt for job in wanted],
        width=128,
        height=128,
        num_inference_steps=3,
        guidance_scale=0.0,
        generator=[torch.Generator("cpu").manual_seed(job.seed) for job in wanted],
        output_type="np",
    ).images
    for deterministic in (False, True):
        setup = Setup(device="cpu", deterministic=deterministic)
        ours = zimage.load(str(folder), setup).engine.generate(wanted, never).pixels

        assert 1 >= np.abs(ours.astype(int) - np.round(made * 255).astype(int)).max()
