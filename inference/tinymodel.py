"""A whole Z-Image pipeline with small random weights, for machines without a model or a GPU."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any


def build_tiny(folder: Path, seed: int = 0) -> None:
    """Save a whole Z-Image pipeline with small random weights: 0.4 M parameters, 2 MB.

    The same classes and the same code path as the real model, from the configuration in tiny.json;
    its pictures are coloured noise.
    """
    build(folder, {}, seed)


def build(folder: Path, larger: Mapping[str, Mapping[str, Any]], seed: int = 0) -> None:
    """Save a random-weight pipeline, with some of tiny.json's values replaced, by component."""
    import torch
    import transformers
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        ZImagePipeline,
        ZImageTransformer2DModel,
    )

    config = json.loads(resources.files("inference").joinpath("tiny.json").read_text())
    for component, values in larger.items():
        config[component] |= values
    tokenizer = _tiny_tokenizer(config["chat_template"])
    torch.manual_seed(seed)
    text = transformers.Qwen3Config(vocab_size=len(tokenizer) + 8, **config["text_encoder"])
    pipe = ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**config["scheduler"]),
        vae=AutoencoderKL(**config["vae"]),
        text_encoder=transformers.Qwen3Model(text),
        tokenizer=tokenizer,
        transformer=ZImageTransformer2DModel(**config["transformer"]),
    )
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    pipe.save_pretrained(partial)
    try:
        partial.rename(folder)
    except OSError:  # another worker was faster
        shutil.rmtree(partial)


def _tiny_tokenizer(chat_template: str) -> Any:
    """Make a byte-level tokenizer, so that a prompt may be in any language."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    words = [*sorted(ByteLevel.alphabet()), "<|endoftext|>"]
    return Qwen2Tokenizer(
        vocab={word: index for index, word in enumerate(words)},
        merges=[],
        extra_special_tokens=["<|im_start|>", "<|im_end|>"],
        chat_template=chat_template,
    )
