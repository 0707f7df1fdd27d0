"""What a worker asks of a model: one method, one frozen job in, one frozen result out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lightmeter.catalog import Clock, LoadPhase, Stage
from lightmeter.errors import WorkerError


Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One validated request, as the model sees it. Sizes in pixels; picture i uses ``seed + i``.

    ``lora`` is a name in the server's folder of LoRAs; ``lora_scale`` multiplies its effect.
    """

    prompt: str
    negative_prompt: str | None
    width: int
    height: int
    images: int
    steps: int
    guidance: float
    seed: int
    lora: str | None = None
    lora_scale: float = 1.0

    @property
    def batch_key(self) -> tuple[Hashable, ...]:
        """Jobs with equal keys can be made in one call of the pipeline."""
        adapted = (self.lora, self.lora_scale) if self.lora else ()
        return (self.width, self.height, self.steps, self.guidance, *adapted)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came out of a batch, and what it took.

    ``pixels`` is (images, height, width, 3) uint8, the pictures of all jobs in their order; ``nan``
    says of each whether the model gave it values that are no numbers. ``stages`` and ``steps`` are
    seconds by ``clock``; ``forwards`` counts what the transformer really executed.
    ``peak_vram_bytes`` is the most that tensors took of the device, None where there is no GPU.
    """

    pixels: Pixels
    nan: tuple[bool, ...]
    stages: dict[Stage, float]
    steps: tuple[float, ...]
    clock: Clock
    forwards: int
    gpu_seconds: float
    peak_vram_bytes: int | None


class OutOfMemory(WorkerError):  # noqa: N818  (what happened, in the trade's words)
    """The device has not the memory for this batch."""


class Stopped(WorkerError):  # noqa: N818  (what happened, not a fault)
    """The batch was given up between two steps; ``gpu_seconds`` is what it had taken."""

    def __init__(self, gpu_seconds: float) -> None:
        super().__init__(f"given up after {gpu_seconds:.3f} s")
        self.gpu_seconds = gpu_seconds


class Engine(Protocol):
    """A loaded model. Not thread-safe: one call at a time."""

    def generate(self, jobs: Sequence[Job], stop: Callable[[], bool]) -> Result:
        """Make the pictures of jobs that share a batch key; ``stop`` is asked after each step.

        Raises:
            OutOfMemory: they do not fit together. Stopped: nobody wants them any more.
            After either the engine is as good as before.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that is ready: its engine, what it ran on and how long the cold start took.

    ``default_side`` is the picture side, in pixels, that the model was made for.
    ``phases`` is seconds for each part of the cold start, ``placement`` how the memory is used and
    why, ``compiled`` whether the first calls compile. ``memory_total_bytes`` is what a batch
    and the weights may take of the device together, ``memory_base_bytes`` what the weights take,
    None where there is no GPU; ``memory_seen`` is what the warm-ups needed, see `warmup.warm_up`.
    """

    engine: Engine
    default_side: int
    device: str
    gpu_name: str | None
    gpu_uuid: str | None
    phases: dict[LoadPhase, float]
    placement: str = ""
    compiled: bool = False
    memory_total_bytes: int | None = None
    memory_base_bytes: int | None = None
    memory_seen: Sequence[tuple[int, int, int]] = ()


def warmup_job(side: int, steps: int, images: int = 1) -> Job:
    """Describe square pictures for nobody: to warm a worker up, or to measure it."""
    return Job(
        prompt="warm-up",
        negative_prompt=None,
        width=side,
        height=side,
        images=images,
        steps=steps,
        guidance=0.0,
        seed=0,
    )
