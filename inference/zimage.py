"""Z-Image through diffusers: the only file that knows either.

One pipeline belongs to one process and makes one call at a time: its scheduler keeps the step index
on itself, so two threads in one pipeline break each other (huggingface/diffusers#3672, #7851).
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np

from inference.engine import Job, Loaded, OutOfMemory, Pixels, Result, Stopped
from lightmeter.catalog import Clock, LoadPhase, Stage
from lightmeter.errors import ModelError, explain


PIPELINE_CLASS = "ZImagePipeline"
Device = Literal["auto", "cpu", "cuda"]


class ZImageEngine:
    """A Z-Image pipeline on one device, with the host clock at every stage boundary.

    On CUDA each boundary waits for the device, so that a time is the work's and not the launch's.
    """

    def __init__(self, pipe: Any, device: Any) -> None:
        self._pipe = pipe
        self._device = device
        self._forwards = 0
        self._marks: list[float] = []
        self._began = 0.0
        self._stop: Callable[[], bool] = lambda: False
        pipe.transformer.register_forward_pre_hook(self._before_forward)

    def generate(self, jobs: Sequence[Job], stop: Callable[[], bool]) -> Result:
        """Run the pipeline once; picture i of a job is seeded ``seed + i``, whatever its mates.

        Raises:
            OutOfMemory: the batch does not fit; what it held is given back.
            Stopped: ``stop`` said so after a step. (The pipeline's own interrupt flag would skip
            the steps but still decode.)
        """
        import torch

        self._stop = stop
        try:
            return self._run(jobs)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemory(str(error)) from error

    def _run(self, jobs: Sequence[Job]) -> Result:
        import torch

        self._forwards, self._marks = 0, []
        self._reset_peak()
        began = self._began = self._now()
        with torch.inference_mode():
            pictures = self._pipe(**self._arguments(jobs)).images
            decoded = self._now()
            pixels = _to_pixels(pictures)
        ended = self._now()
        first, last = self._marks[0], self._marks[-1]
        return Result(
            pixels=pixels,
            stages={
                Stage.TEXT_ENCODE: first - began,
                Stage.DENOISE: last - first,
                Stage.VAE_DECODE: decoded - last,
                Stage.TRANSFER: ended - decoded,
            },
            steps=tuple(np.diff(self._marks).tolist()),
            clock=Clock.HOST,
            forwards=self._forwards,
            gpu_seconds=ended - began,
            peak_vram_bytes=self._peak(),
        )

    def _arguments(self, jobs: Sequence[Job]) -> dict[str, Any]:
        import torch

        head = jobs[0]
        pictures = [(job, index) for job in jobs for index in range(job.images)]
        unwanted = [job.negative_prompt or "" for job, _ in pictures]
        return {
            # The pipeline rewrites the prompt list in place: every call gets a fresh one.
            "prompt": [job.prompt for job, _ in pictures],
            "negative_prompt": unwanted if head.guidance > 0 else None,
            "width": head.width,
            "height": head.height,
            "num_inference_steps": head.steps,
            "guidance_scale": head.guidance,
            # CPU generators give the same noise on every kind of GPU.
            "generator": [
                torch.Generator("cpu").manual_seed((job.seed + index) % 2**63)
                for job, index in pictures
            ],
            "callback_on_step_end": self._after_step,
            "output_type": "pt",
        }

    def _before_forward(self, *_: Any) -> None:
        self._forwards += 1
        if not self._marks:
            self._marks.append(self._now())

    def _after_step(
        self, _pipe: Any, _step: int, _at: Any, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        self._marks.append(self._now())
        if self._stop():
            raise Stopped(self._marks[-1] - self._began)
        return kwargs

    def _now(self) -> float:
        if self._device.type == "cuda":
            import torch

            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def _reset_peak(self) -> None:
        if self._device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)

    def _peak(self) -> int | None:
        if self._device.type != "cuda":
            return None
        import torch

        return int(torch.cuda.max_memory_reserved(self._device))


def _to_pixels(pictures: Any) -> Pixels:
    """Turn (n, 3, h, w) floats in 0..1 into (n, h, w, 3) uint8 on the host."""
    import torch

    scaled = (pictures.float() * 255).round_().clamp_(0, 255).nan_to_num_(0).to(torch.uint8)
    pixels: Pixels = scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels


def load(model: str, *, device: Device, index: int, threads: int) -> Loaded:
    """Load a pipeline from a folder or the local hub cache; worker ``index`` takes that GPU.

    Raises:
        OSError, ValueError: the folder is not whole; diffusers says what is missing.
    """
    import torch

    torch.set_num_threads(threads)
    place = _device(device, index)
    began = time.perf_counter()
    pipe = _read(model, place)
    read = time.perf_counter()
    pipe.to(place)
    phases = {LoadPhase.WEIGHTS: read - began, LoadPhase.TO_DEVICE: time.perf_counter() - read}
    on_gpu = place.type == "cuda"
    properties = torch.cuda.get_device_properties(place) if on_gpu else None
    return Loaded(
        engine=ZImageEngine(pipe, place),
        default_side=int(pipe.vae.config.sample_size),
        device=str(place),
        gpu_name=properties.name if properties else None,
        gpu_uuid=f"GPU-{properties.uuid}" if properties else None,
        phases=phases,
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


def _read(model: str, place: Any) -> Any:
    import torch
    from diffusers import ZImagePipeline

    # BF16 always on CUDA: FP16 overflows in this model and gives black pictures.
    dtype = torch.bfloat16 if place.type == "cuda" else torch.float32
    pipe = ZImagePipeline.from_pretrained(model, dtype=dtype, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def build_tiny(folder: Path, seed: int = 0) -> None:
    """Save a whole Z-Image pipeline with small random weights: 0.4 M parameters, 2 MB.

    The same classes and the same code path as the real model, from the configuration in tiny.json;
    its pictures are coloured noise.
    """
    import torch
    import transformers
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        ZImagePipeline,
        ZImageTransformer2DModel,
    )

    config = json.loads(resources.files("inference").joinpath("tiny.json").read_text())
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
