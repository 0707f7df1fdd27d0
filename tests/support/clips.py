"""CLIP models with random weights, saved as real ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer


def save_clip(folder: Path, config: Any) -> None:
    """Save a model of that configuration, a byte-level tokenizer and the preprocessing."""
    words = ["<|startoftext|>", "<|endoftext|>"]
    for letter in sorted(ByteLevel.alphabet()):
        words += [letter, f"{letter}</w>"]
    text = config.text_config
    text.bos_token_id, text.eos_token_id, text.pad_token_id = 0, 1, 1
    torch.manual_seed(4)
    CLIPModel(config).save_pretrained(folder)
    CLIPTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[]).save_pretrained(folder)  # fmt: skip
    side = config.vision_config.image_size
    crop = {"height": side, "width": side}
    CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=crop).save_pretrained(folder)


def small_config() -> Any:
    """Describe a CLIP that looks at 32 pixels and reads 24 tokens: 0.05 M parameters."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}  # fmt: skip
    text = sizes | {"vocab_size": 514, "max_position_embeddings": 24}
    vision = sizes | {"image_size": 32, "patch_size": 8}
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)
