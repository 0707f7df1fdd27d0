"""Floating-point operations of Z-Image's transformer, from its configuration. Pure.

Counted are the matrix products: of a token with a weight two operations, and in attention four for
each pair of tokens and channel (products with keys and with values). Norms, activations and the
products of one row for each picture (timestep, modulation) are left out: 0.1 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


PAD = 32
"""Image and caption are each padded to a multiple of so many tokens."""
_PIXELS, _PATCH_NUMBERS = 16, 64
"""Side of a token, pixels; numbers in it: a patch of 2 x 2 latents of 16 channels."""


def padded(tokens: int) -> int:
    """Round up to what the model works on."""
    return -(-tokens // PAD) * PAD


def forward_flop(config: Mapping[str, Any], side: int, caption_tokens: int) -> float:
    """Count the operations of one forward for one square picture."""
    image, caption = padded((side // _PIXELS) ** 2), padded(caption_tokens)
    width = int(config["dim"])
    layers, refiners = int(config["n_layers"]), int(config["n_refiner_layers"])
    blocks = layers * _block(width, image + caption)
    blocks += refiners * (_block(width, image) + _block(width, caption))
    ends = 2 * _PATCH_NUMBERS * width * (image + image + caption)
    return float(blocks + ends + 2 * int(config["cap_feat_dim"]) * width * caption)


def _block(width: int, tokens: int) -> int:
    """Count a block's: queries, keys, values, output, the gated layer's three, and attention."""
    hidden = int(width / 3 * 8)
    return 2 * tokens * (4 * width**2 + 3 * width * hidden) + 4 * tokens**2 * width
