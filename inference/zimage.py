"""Z-Image through diffusers: what a folder must hold, and how it gets onto a device."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from inference import vram
from inference.diffusion import DiffusionEngine
from inference.engine import Loaded
from inference.setup import Device, Setup
from lightmeter.catalog import LoadPhase
from lightmeter.errors import ModelError, explain


PIPELINE_CLASS = "ZImagePipeline"


def load(model: str, setup: Setup) -> Loaded:
    """Load a pipeline from a folder or the local hub cache; worker ``index`` takes that GPU.

    Raises:
        OSError, ValueError: the folder is not whole; diffusers says what is missing.
    """
    import torch

    torch.set_num_threads(setup.threads)
    place = _device(setup.device, setup.index)
    if place.type == "cuda":
        torch.cuda.set_device(place)  # its stream is where marks are noted
        vram.cap(place, setup.vram_cap)
    began = time.perf_counter()
    pipe = read(model, place)
    in_memory = time.perf_counter()
    pipe.to(place)
    there = time.perf_counter()
    phases = {LoadPhase.WEIGHTS: in_memory - began, LoadPhase.TO_DEVICE: there - in_memory}
    on_gpu = place.type == "cuda"
    properties = torch.cuda.get_device_properties(place) if on_gpu else None
    return Loaded(
        engine=DiffusionEngine(pipe, place, setup),
        default_side=int(pipe.vae.config.sample_size),
        device=str(place),
        gpu_name=properties.name if properties else None,
        gpu_uuid=f"GPU-{properties.uuid}" if properties else None,
        phases=phases,
        memory_total_bytes=vram.usable_bytes(place, setup.vram_cap) if on_gpu else None,
        memory_base_bytes=vram.held_bytes(place) if on_gpu else None,
    )


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds no Z-Image pipeline, before any process is started for it.

    Raises:
        ModelError: naming the folder, what is missing and what to do.
    """
    index = folder / "model_index.json"
    try:
        kind = json.loads(index.read_text())["_class_name"]
    except OSError as error:
        raise ModelError(
            f"model {str(folder)!r} is no diffusers pipeline: model_index.json {explain(error)}; give a folder saved with save_pretrained, or 'tiny'"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"model {str(folder)!r} is no diffusers pipeline: its model_index.json is damaged; save or download it again"
        ) from error
    if kind != PIPELINE_CLASS:
        raise ModelError(f"model {str(folder)!r} is a {kind}; lightmeter serves {PIPELINE_CLASS}")


def import_libraries() -> None:
    """Import the model's libraries, the first part of a cold start, and silence their bars."""
    import transformers
    from diffusers import ZImagePipeline  # noqa: F401  (the import is the work)
    from diffusers.utils import logging

    logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def _device(wanted: Device, index: int) -> Any:
    import torch

    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ValueError(
            "device 'cuda' is asked for, but torch sees no CUDA device; use --device cpu"
        )
    return torch.device("cuda", index % torch.cuda.device_count())


def read(model: str, place: Any) -> Any:
    """Read a pipeline into the host's memory, in the number format that suits the device."""
    import torch
    from diffusers import ZImagePipeline

    # BF16 always on CUDA: FP16 overflows in this model and gives black pictures.
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    pipe = ZImagePipeline.from_pretrained(model, dtype=dtype, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe
