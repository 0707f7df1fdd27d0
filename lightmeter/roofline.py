"""What no GPU can exceed: the arithmetic of a picture against the peak of the tensor cores. Pure.

A forward pass takes two floating-point operations for each weight and token, a multiplication and an
addition (https://arxiv.org/abs/2001.08361, section 2.1), so a picture takes

    2 x parameters x tokens x forwards FLOP,   tokens = height/16 x width/16 + caption tokens

and a GPU makes at most peak / FLOP pictures a second. Of Z-Image the transformer alone is counted.
Left out are attention (4 % more at 512x512, 16 % more at 1024x1024), the text encoder and the VAE;
counted too much is what sees only some of the tokens (8 %: the modulation, half of the refiners).
Peaks are at the rated boost clock, which a cool consumer card exceeds by some per cent. Served
models reach 30 to 70 % of the limit; a claim near 100 % is as doubtful as one above it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from lightmeter.errors import SettingError, nearest


PARAMETERS = 6_154_908_736
"""Weights of Z-Image's transformer, counted on the meta device with diffusers 0.42.1."""
PIXELS_OF_TOKEN = 16
"""Side of a token's square: the VAE's 8 times the transformer's patch of 2."""
CAPTION_TOKENS = 64
"""A sentence or two; Z-Image pads captions to a multiple of 32."""


@dataclass(frozen=True)
class Gpu:
    """A GPU and its peak: dense BF16 on the tensor cores with FP32 accumulation, FLOP/s."""

    name: str
    peak: float
    source: str


_NVIDIA = "https://www.nvidia.com/en-us/data-center"
_ADA = "https://images.nvidia.com/aem-dam/Solutions/geforce/ada/nvidia-ada-gpu-architecture.pdf"
_GA102 = "https://www.nvidia.com/content/PDF/nvidia-ampere-ga-102-gpu-architecture-whitepaper-v2.1.pdf"  # fmt: skip
_A10G = "https://d1.awsstatic.com/product-marketing/ec2/NVIDIA_AWS_A10G_DataSheet_FINAL_02_17_2022.pdf"  # fmt: skip
GPUS = (
    Gpu("H200", 989.5e12, f"{_NVIDIA}/h200/ (1,979 with sparsity)"),
    Gpu("H100", 989.5e12, f"{_NVIDIA}/h100/ (SXM; 1,979 with sparsity)"),
    Gpu("H100 PCIe", 756e12, f"{_NVIDIA}/h100/ (1,513 with sparsity)"),
    Gpu("A100", 312e12, f"{_NVIDIA}/a100/"),
    Gpu("L40S", 362.05e12, f"{_NVIDIA}/l40s/"),
    Gpu("L4", 121e12, f"{_NVIDIA}/l4/ (242 with sparsity)"),
    Gpu("A10", 125e12, f"{_NVIDIA}/products/a10-gpu/"),
    Gpu("A10G", 70e12, _A10G),
    Gpu("T4", 65e12, f"{_NVIDIA}/tesla-t4/ (FP16; it has no BF16)"),
    Gpu("RTX 4090", 165.2e12, f"{_ADA} appendix A"),
    Gpu("RTX 3090", 71e12, f"{_GA102} appendix A"),
)
_WORD = re.compile(r"[a-z0-9]+")
_NOISE = re.compile(r"nvidia|geforce|tesla|\d+gb|sxm\d?|hbm\d?e?")


def gpu(name: str) -> Gpu:
    """Find a GPU by its name, as a person or the driver spells it.

    Raises:
        SettingError: it is not in the table.
    """
    wanted = "".join(word for word in _WORD.findall(name.lower()) if not _NOISE.fullmatch(word))
    by_name = {known.name.lower().replace(" ", ""): known for known in GPUS}
    for spelled in (wanted, wanted.removesuffix("pcie")):
        if spelled in by_name:
            return by_name[spelled]
    names = [known.name for known in GPUS]
    raise SettingError(
        f"GPU {name!r} is in no table of peaks{nearest(name, names)}; known are {', '.join(names)}"
    )


def tokens(width: int, height: int, caption_tokens: int = CAPTION_TOKENS) -> int:
    """Count the tokens of a forward pass over a picture of so many pixels."""
    side = PIXELS_OF_TOKEN
    return math.ceil(height / side) * math.ceil(width / side) + caption_tokens


def picture_flop(
    width: int,
    height: int,
    forwards: int,
    *,
    parameters: int = PARAMETERS,
    caption_tokens: int = CAPTION_TOKENS,
) -> float:
    """Floating-point operations that one picture takes, of Z-Image unless told otherwise."""
    return 2.0 * parameters * tokens(width, height, caption_tokens) * forwards


@dataclass(frozen=True)
class Roofline:
    """A rate beside the limit, both in pictures a second; ``ratio`` above 1 cannot be."""

    gpu: Gpu
    gpus: int
    measured: float
    limit: float

    @property
    def ratio(self) -> float:
        """Share of the limit that was reached."""
        return self.measured / self.limit

    @property
    def possible(self) -> bool:
        """Whether this GPU and model can have made the pictures."""
        return self.measured <= self.limit


def against(pictures_per_second: float, flop: float, gpu: Gpu, gpus: int = 1) -> Roofline:
    """Set a rate of pictures, each of ``flop`` operations (a mix: the mean), against the limit."""
    return Roofline(gpu, gpus, pictures_per_second, gpus * gpu.peak / flop)
