"""The knobs of a worker: how it holds its model and runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from lightmeter.errors import SettingError
from lightmeter.section import Section
from lightmeter.units import parse_part


class Held(Section):
    """A model on its devices; the first part of the inference server's settings."""

    model: str = Field(
        "tiny",
        description="A folder saved with save_pretrained, a model id in the local hub cache, 'tiny' (a random-weight pipeline made on the spot) or 'still' (grey pictures, no model).",
        min_length=1,
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto",
        description="Where the model runs; auto takes CUDA where there is one. BF16 on CUDA, FP32 on CPU.",
    )
    workers: int = Field(
        1,
        description="Worker processes, each with a pipeline of its own; worker i takes GPU i modulo the GPUs there are.",
        ge=1,
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
