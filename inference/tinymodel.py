"""Whole Z-Image pipelines with random weights, from a configuration that stands beside this file.

One is tiny, for machines without a model or a GPU; one has the full size of Z-Image-Turbo, to
measure a GPU for which nothing can be downloaded. The classes and the code path are the real
model's; the pictures are coloured noise.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from inference.setup import FULL, TINY


MADE = (TINY, FULL)
"""Names of the configurations."""
Larger = Mapping[str, Mapping[str, Any]]
"""Values that replace those of a configuration, by component."""
_PARTS = ("transformer", "text_encoder", "vae")


def build_tiny(folder: Path, seed: int = 0) -> None:
    """Save the tiny pipeline: 0.4 M parameters, 2 MB of float32."""
    build(folder, {}, seed)


def build(folder: Path, larger: Larger, seed: int = 0) -> None:
    """Save the tiny pipeline with some of its configuration's values replaced."""
    import torch

    pipe = make(TINY, torch.device("cpu"), torch.float32, seed=seed, larger=larger)
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    pipe.save_pretrained(partial)
    try:
        partial.rename(folder)
    except OSError:  # another worker was faster
        shutil.rmtree(partial)


def make(name: str, place: Any, dtype: Any, *, seed: int = 0, larger: Larger | None = None) -> Any:
    """Make a pipeline where it is to work: its weights are drawn there and are never elsewhere.

    Each is drawn as its class does it before training. The tokenizer takes a byte for a token, with
    either configuration.
    """
    import torch
    import transformers
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        ZImagePipeline,
        ZImageTransformer2DModel,
    )

    config, tokenizer = _config(name), _tokenizer()
    for component, values in (larger or {}).items():
        config[component] |= values
    vocabulary = {"vocab_size": len(tokenizer) + 8}
    text = transformers.Qwen3Config(**vocabulary | config["text_encoder"])
    usual = torch.get_default_dtype()
    torch.manual_seed(seed)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(place):
            vae = AutoencoderKL(**config["vae"])
            text_encoder = transformers.Qwen3Model(text)
            transformer = ZImageTransformer2DModel(**config["transformer"])
    finally:
        torch.set_default_dtype(usual)
    for token in (transformer.x_pad_token, transformer.cap_pad_token):
        torch.nn.init.zeros_(token)  # their class leaves them as the memory was
    return ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**config["scheduler"]),
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        transformer=transformer.eval(),
    )


def component_bytes(name: str, number_bytes: int) -> dict[str, int]:
    """Tell what each component takes with numbers of so many bytes, without making it."""
    import torch

    pipe = make(name, torch.device("meta"), torch.float32)
    return {
        part: sum(weight.numel() for weight in getattr(pipe, part).parameters()) * number_bytes
        for part in _PARTS
    }


def side(name: str) -> int:
    """Tell the side, pixels, of the pictures that the model is made for."""
    return int(_config(name)["vae"]["sample_size"])


def _config(name: str) -> Any:
    return json.loads(resources.files("inference").joinpath(f"{name}.json").read_text())


def _tokenizer() -> Any:
    """Make a byte-level tokenizer, so that a prompt may be in any language."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    words = [*sorted(ByteLevel.alphabet()), "<|endoftext|>"]
    return Qwen2Tokenizer(
        vocab={word: index for index, word in enumerate(words)},
        merges=[],
        extra_special_tokens=["<|im_start|>", "<|im_end|>"],
        chat_template=_config(TINY)["chat_template"],
    )
