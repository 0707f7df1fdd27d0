"""The knobs of a worker: how it holds its model and runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from lightmeter.errors import SettingError
from lightmeter.section import Section
from lightmeter.units import STEP_OF_SIDE, parse_part


class Held(Section):
    """A model on its devices; the first part of the inference server's settings."""

    model: str = Field(
        "tiny",
        description="A folder saved with save_pretrained, a model id in the local hub cache, 'tiny' (a random-weight pipeline made on the spot), 'full' (one of Z-Image-Turbo's full size, to measure a GPU without its weights) or 'still' (grey pictures, no model).",
        min_length=1,
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where the model runs; auto takes CUDA where there is one. BF16 on CUDA, FP32 on CPU.",
    )
    workers: int = Field(
        1,
        description="Worker processes, each with a pipeline of its own; worker i takes GPU i modulo the GPUs there are. With 0 the first request starts one.",
        ge=0,
        le=64,
    )
    threads: int = Field(
        0,
        description="CPU threads for each worker; 0 divides the cores, leaving one for the API.",
        ge=0,
        le=256,
    )
    deterministic: bool = Field(
        default=False,
        description="Take the pictures of a batch through the transformer one by one, so that a picture's bits never depend on its batch, with any number of threads and on a GPU; batching then saves little.",
    )
    vram_cap: str = Field(
        "",
        description="Most device memory that torch may take in each worker, like 3GiB, or 0.5 for half of the GPU; empty means all that is free. The CUDA context, some hundred MiB, comes on top.",
    )
    offload: Literal["auto", "none", "model", "sequential"] = Field(
        "auto",
        description="What of the model waits in the host's memory: nothing, the parts that are not at work, or every layer that is not; auto decides by the GPU's memory.",
    )
    vae: Literal["auto", "whole", "sliced", "tiled"] = Field(
        "auto",
        description="How pictures are decoded: a batch at once, one by one, or in tiles; auto decides by the memory there is. Tiles change a picture slightly.",
    )
    gpus_per_worker: int = Field(
        1,
        description="GPUs over which each worker spreads a model that is too large for one; worker i starts at GPU i times this.",
        ge=1,
        le=16,
    )
    compile: Literal["off", "blocks"] = Field(
        "off",
        description="Compile the transformer's blocks with torch.compile at the start (needs a C++ compiler; Triton on CUDA). What was compiled is kept in DATA/compiled.",
    )
    warmup_shapes: str = Field(
        "",
        description="Sizes that a worker makes before it is ready, like 512x512,1024x1024; empty means the size that the model was made for.",
        pattern=r"^(\d{1,5}x\d{1,5}(,\d{1,5}x\d{1,5}){0,15})?$",
    )
    loras: Path | None = Field(
        None,
        description="Folder of the LoRAs that requests may name: NAME.safetensors each; without it there are none.",
    )
    lora_slots: int = Field(
        4, description="LoRAs that a worker keeps in memory; the least used gives way.", ge=1, le=64
    )

    @field_validator("vram_cap")
    @classmethod
    def _readable(cls, value: str) -> str:
        """Refuse what is no part of a GPU, at the start and not when the worker loads."""
        try:
            parse_part(value or "1", 2**40)
        except SettingError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("warmup_shapes")
    @classmethod
    def _possible(cls, value: str) -> str:
        """Refuse a size that no picture can have."""
        for side in value.replace(",", "x").split("x") if value else ():
            if int(side) % STEP_OF_SIDE or not int(side):
                raise ValueError(f"{side} is no multiple of {STEP_OF_SIDE} pixels")
        return value
