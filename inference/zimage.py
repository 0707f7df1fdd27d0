"""Z-Image through diffusers: what a folder must hold, and how it gets onto a device."""

from __future__ import annotations

import gc
import json
import time
from pathlib import Path
from typing import Any

from inference import tinymodel, vram, weights
from inference.diffusion import DiffusionEngine
from inference.engine import Loaded
from inference.placement import TILE, Needs, Placement, choose
from inference.setup import Setup
from lightmeter.catalog import LoadPhase
from lightmeter.errors import ModelError, explain


PIPELINE_CLASS = "ZImagePipeline"


def load(model: str, setup: Setup) -> Loaded:
    """Load a pipeline from a folder or the local hub cache, onto the GPUs of worker ``index``.

    One of `tinymodel.MADE` is made instead: on the GPU, where it fits there.

    Raises:
        OSError, ValueError: the folder is not whole; diffusers says what is missing.
    """
    import torch

    torch.set_num_threads(setup.threads)
    gpus = vram.mine(setup)
    place = gpus[0] if gpus else torch.device("cpu")
    for gpu in gpus:
        vram.cap(gpu, setup.vram_cap)
    if gpus:
        torch.cuda.set_device(place)  # its stream is where marks are noted
    folder = None if model in tinymodel.MADE else _folder(model)
    usable = sum(vram.usable_bytes(gpu, setup.vram_cap) for gpu in gpus) if gpus else None
    number_bytes = 2 if gpus else 4
    needs = _needs(folder, number_bytes) if folder else _made_needs(model, number_bytes)
    placement = choose(setup, needs, usable)
    began = time.perf_counter()
    if folder:
        pipe = read(str(folder), place, **_map(gpus, setup, placement))
    else:
        pipe = _make(model, place, direct=placement.direct, spread=len(gpus) > 1)
    in_memory = time.perf_counter()
    engine = DiffusionEngine(pipe, gpus or [place], setup)
    put(pipe, place, placement, spread=len(gpus) > 1)
    there = time.perf_counter()
    one = len(gpus) == 1
    properties = torch.cuda.get_device_properties(place) if gpus else None
    return Loaded(
        engine=engine,
        default_side=int(pipe.vae.config.sample_size),
        device=",".join(str(each) for each in gpus) or "cpu",
        gpu_name=properties.name if properties else None,
        gpu_uuid=f"GPU-{properties.uuid}" if properties else None,
        phases={LoadPhase.WEIGHTS: in_memory - began, LoadPhase.TO_DEVICE: there - in_memory},
        placement=placement.reason,
        compiled=placement.compile,
        # Spread over several GPUs, which of them is full first is not known from a sum.
        memory_total_bytes=vram.usable_bytes(place, setup.vram_cap) if one else None,
        memory_base_bytes=vram.held_bytes(place) if one else None,
    )


def _folder(model: str) -> Path:
    """Find the files: a folder as it is, or an id's snapshot in the local hub cache."""
    from diffusers import ZImagePipeline

    path = Path(model)
    return path if path.exists() else Path(ZImagePipeline.download(model, local_files_only=True))


def _needs(folder: Path, number_bytes: int) -> Needs:
    config = json.loads((folder / "vae" / "config.json").read_text())
    return Needs(
        components=weights.component_bytes(folder, number_bytes),
        largest_file=weights.largest_file(folder),
        side=int(config.get("sample_size", 1024)),
    )


def _made_needs(model: str, number_bytes: int) -> Needs:
    components = tinymodel.component_bytes(model, number_bytes)
    return Needs(components=components, largest_file=0, side=tinymodel.side(model))


def _make(model: str, place: Any, *, direct: bool, spread: bool) -> Any:
    """Make a built-in pipeline on its device, or in the host's memory where it goes there in parts."""
    import torch

    if spread:
        raise ValueError(f"model {model!r} is made on one GPU; use --gpus-per-worker 1")
    pipe = tinymodel.make(model, place if direct else torch.device("cpu"), number_format(place))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _map(gpus: list[Any], setup: Setup, placement: Placement) -> dict[str, Any]:
    """Tell diffusers where the weights go while they are read; nothing where they are moved later."""
    if len(gpus) > 1:
        room = {gpu.index: vram.usable_bytes(gpu, setup.vram_cap) for gpu in gpus}
        return {"device_map": "balanced", "max_memory": room}
    return {"device_map": "cuda"} if placement.direct else {}


def put(pipe: Any, place: Any, placement: Placement, *, spread: bool) -> None:
    """Move a pipeline to where it is to work."""
    if placement.offload == "model":
        pipe.enable_model_cpu_offload(device=place)
    elif placement.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=place)
    elif not spread:
        pipe.to(place)
    if placement.vae != "whole":
        pipe.vae.enable_slicing()
    if placement.vae == "tiled":
        pipe.vae.enable_tiling()
        scale = pipe.vae.tile_sample_min_size // pipe.vae.tile_latent_min_size
        pipe.vae.tile_sample_min_size = min(TILE, pipe.vae.tile_sample_min_size)
        pipe.vae.tile_latent_min_size = pipe.vae.tile_sample_min_size // scale
    if placement.compile:
        pipe.transformer.compile_repeated_blocks(dynamic=True)


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
    """Import the model's libraries, the first part of a cold start, and silence their bars.

    The collector of garbage finds none while modules are made, and takes a sixth of the time to
    look (4.4 s of processor time with it, 3.7 s without; 2026-11-20).
    """
    gc.disable()
    import transformers
    from diffusers import ZImagePipeline  # noqa: F401  (the import is the work)
    from diffusers.utils import logging

    gc.enable()
    gc.freeze()

    logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def read(model: str, place: Any, **where: Any) -> Any:
    """Read a pipeline in the number format that suits a device: into the host's memory, or ``where``."""
    from diffusers import ZImagePipeline

    dtype = number_format(place)
    pipe = ZImagePipeline.from_pretrained(model, dtype=dtype, local_files_only=True, use_safetensors=True, **where)  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


def number_format(place: Any) -> Any:
    """Choose BF16 on CUDA, always: FP16 overflows in this model and gives black pictures."""
    import torch

    return torch.bfloat16 if place.type == "cuda" else torch.float32
