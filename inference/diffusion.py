"""A diffusers pipeline as an engine: arguments in, marks along the way, pixels out.

One pipeline belongs to one process and makes one call at a time: its scheduler keeps the step index
on itself, so two threads in one pipeline break each other (huggingface/diffusers#3672, #7851).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from inference import sameness, vram
from inference.adapters import Adapters
from inference.engine import Job, OutOfMemory, Pixels, Result, Stopped
from inference.setup import Setup
from inference.stopwatch import Stopwatch, cuda_watch, host_watch
from lightmeter.catalog import Stage


class DiffusionEngine:
    """A Z-Image pipeline on its device, or spread over several.

    ``pipe`` and its ``watch`` are for who measures it; the watch may be exchanged between two calls.
    A mark is noted at the beginning, at the first forward, after each step, when the pictures are
    decoded and when they are on the host.
    """

    def __init__(
        self, pipe: Any, places: Sequence[Any], setup: Setup, watch: Stopwatch | None = None
    ) -> None:
        """Take over a pipeline, before anything that moves its weights about is put on it."""
        on_cpu = places[0].type == "cpu"
        self.pipe = pipe
        self._adapters = Adapters(pipe, setup.loras, setup.lora_slots)
        self._one_by_one = setup.deterministic
        self._places = places
        self.watch = watch or (host_watch() if on_cpu else cuda_watch())
        self._forwards = 0
        self._finite: Any = None
        self._stop: Callable[[], bool] = lambda: False
        own_length = on_cpu and setup.compile == "off"
        sameness.make_independent(pipe, one_by_one=setup.deterministic, by_own_length=own_length)
        pipe.transformer.register_forward_pre_hook(self._before_forward)
        pipe.vae.decode = self._decoding(pipe.vae.decode)

    def generate(self, jobs: Sequence[Job], stop: Callable[[], bool]) -> Result:
        """Run the pipeline once; picture i of a job is seeded ``seed + i``, whatever its mates.

        Raises:
            OutOfMemory: the batch does not fit; what it held is given back.
            InputError: the LoRA does not fit the model. WorkerError: there is no memory for it.
            Stopped: ``stop`` said so after a step. (The pipeline's own interrupt flag would skip
            the steps but still decode.)
        """
        import torch

        self._stop = stop
        try:
            self._adapters.use(jobs[0].lora, jobs[0].lora_scale)
            return self._run(jobs)
        except Stopped:
            self.pipe.maybe_free_model_hooks()
            raise
        except torch.OutOfMemoryError as error:
            reason = str(error)
        # Only now are the frames gone that held the batch's tensors.
        self.pipe.maybe_free_model_hooks()
        torch.cuda.empty_cache()
        raise OutOfMemory(reason)

    def _run(self, jobs: Sequence[Job]) -> Result:
        import torch

        self._forwards = 0
        vram.reset_peak(self._places)
        self.watch.start()
        with torch.inference_mode():
            pictures = self.pipe(**self._arguments(jobs)).images
            pixels = to_pixels(pictures)
        self.watch.mark()
        began, first, *ends, decoded, ended = self.watch.read()
        return Result(
            pixels=pixels,
            nan=tuple((~self._finite).tolist()),
            stages={
                Stage.TEXT_ENCODE: first - began,
                Stage.DENOISE: ends[-1] - first,
                Stage.VAE_DECODE: decoded - ends[-1],
                Stage.TRANSFER: ended - decoded,
            },
            steps=tuple(np.diff([first, *ends]).tolist()),
            clock=self.watch.clock,
            forwards=self._forwards,
            gpu_seconds=ended - began,
            peak_vram_bytes=vram.peak_bytes(self._places),
        )

    def _arguments(self, jobs: Sequence[Job]) -> dict[str, Any]:
        import torch

        head = jobs[0]
        pictures = [(job, index) for job in jobs for index in range(job.images)]
        unwanted = [job.negative_prompt or "" for job, _ in pictures]
        return {
            "prompt_embeds": self._embed([job.prompt for job, _ in pictures]),
            "negative_prompt_embeds": self._embed(unwanted) if head.guidance > 0 else None,
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

    def _embed(self, texts: list[str]) -> list[Any]:
        """Encode each distinct text once; returns (tokens, width) for each text."""
        distinct = list(dict.fromkeys(texts))
        calls = [[text] for text in distinct] if self._one_by_one else [distinct]
        # The pipeline rewrites the list in place: it gets a copy.
        found = [
            self.pipe.encode_prompt(list(call), do_classifier_free_guidance=False)[0]
            for call in calls
        ]
        embeddings = dict(zip(distinct, itertools.chain.from_iterable(found), strict=True))
        return [embeddings[text] for text in texts]

    def _before_forward(self, *_: Any) -> None:
        self._forwards += 1
        if self._forwards == 1:
            self.watch.mark()

    def _after_step(
        self, _pipe: Any, _step: int, _at: Any, kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        self.watch.mark()
        self.watch.keep_pace()
        if self._stop():
            raise Stopped(self.watch.read()[-1])
        return kwargs

    def _decoding(self, decode: Callable[..., Any]) -> Callable[..., Any]:
        """Look at what the VAE decodes before it is clamped, which would hide an infinity."""

        def decode_and_look(*args: Any, **kwargs: Any) -> Any:
            decoded = decode(*args, **kwargs)
            self._finite = decoded[0].float().sum(dim=(1, 2, 3)).isfinite()
            self.watch.mark()
            return decoded

        return decode_and_look


def to_pixels(pictures: Any) -> Pixels:
    """Turn (n, 3, h, w) floats in 0..1 into (n, h, w, 3) uint8 on the host."""
    import torch

    scaled = (pictures.float() * 255).round_().clamp_(0, 255).nan_to_num_(0).to(torch.uint8)
    pixels: Pixels = scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels
