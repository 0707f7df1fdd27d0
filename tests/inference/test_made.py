"""Built-in pipelines with random weights, made in place: the tiny one, and one of full size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inference import tinymodel, zimage
from inference.engine import Job, warmup_job
from inference.server import model_name
from inference.setup import FULL, TINY, Setup
from lightmeter import roofline
from lightmeter.catalog import LoadPhase


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_full_size() -> None:
    """The full-size model has Z-Image-Turbo's own numbers of weights; nothing is made to count them."""
    sizes = tinymodel.component_bytes(FULL, 1)

    assert {
        "transformer": roofline.PARAMETERS,
        "text_encoder": 4_022_468_096,
        "vae": 83_819_683,
    } == sizes
    assert 1024 == tinymodel.side(FULL)


def test_named() -> None:
    """Both are served under their names, although no such files exist."""
    assert (TINY, FULL) == (model_name("tiny"), model_name("full"))


def test_made_in_place() -> None:
    """A pipeline that was made in place makes pictures like one from a folder: sound and repeatable."""
    first = zimage.load(TINY, Setup(device="cpu"))
    again = zimage.load(TINY, Setup(device="cpu"))
    job = warmup_job(64, 2)

    one, other = (loaded.engine.generate([job], lambda: False) for loaded in (first, again))

    assert (False,) == one.nan
    assert one.pixels.std() > 1
    assert np.array_equal(one.pixels, other.pixels)
    assert 64 == first.default_side
    assert LoadPhase.WEIGHTS in first.phases


def test_number_format() -> None:
    """Weights are drawn in the format that they will work in; positions stay exact."""
    pipe = tinymodel.make(TINY, torch.device("cpu"), torch.bfloat16)

    formats = {weight.dtype for weight in pipe.transformer.parameters()}
    assert {torch.bfloat16} == formats | {weight.dtype for weight in pipe.vae.parameters()}
    assert torch.float32 == pipe.text_encoder.rotary_emb.inv_freq.dtype
    assert torch.float32 == torch.get_default_dtype()


def test_seeds() -> None:
    """The same seed draws the same weights, all of them; another seed draws others."""
    pipes = [
        tinymodel.make(TINY, torch.device("cpu"), torch.float32, seed=seed) for seed in (1, 1, 2)
    ]
    one, same, other = ([p.detach() for p in pipe.transformer.parameters()] for pipe in pipes)

    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_spread_refused() -> None:
    """A made model cannot be spread over several GPUs; that is said with what to do."""
    with pytest.raises(ValueError, match="use --gpus-per-worker 1"):
        zimage._make(FULL, torch.device("cpu"), direct=False, spread=True)


def test_any_language() -> None:
    """A prompt may be in any language, also where the vocabulary is larger than the tokenizer's."""
    engine = zimage.load(TINY, Setup(device="cpu")).engine
    job = Job(prompt="一只红狐狸 🦊", negative_prompt=None, width=64, height=64, images=1, steps=1, guidance=0.0, seed=1)  # fmt: skip

    assert (False,) == engine.generate([job], lambda: False).nan
