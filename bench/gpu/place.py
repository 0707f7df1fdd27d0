"""Where rows are measured: a GPU with the full-size model, or the CPU with the tiny one, to try it out."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from inference.engine import Job, Result


Line = dict[str, Any]
"""One line of a row's table; one whose only name is ``missed`` says which target was missed."""
Measure = Callable[["Place"], Iterator[Line]]
"""Measures a row and tells each line as soon as it has it.

Raises:
    Waiting: it cannot be measured here.
"""
PROMPT = "A red fox in fresh snow at the edge of a birch forest, early morning light"
FORWARDS = 8
GIB = 2**30


class Waiting(Exception):  # noqa: N818  (what the row does, not a fault)
    """A row cannot be measured here; the message says why."""


class Place:
    """A device, the model on it, and the time that is left. Sizes shrink to an eighth on the CPU."""

    def __init__(self, device: str, work: Path) -> None:
        self.cuda = device == "cuda"
        self.device = device
        self.model = "full" if self.cuda else "tiny"
        self.work = work
        self.until = float("inf")
        """When the row must be done, monotonic seconds."""

    @property
    def left(self) -> float:
        """Seconds until the row is cut off."""
        return self.until - time.monotonic()

    def side(self, pixels: int) -> int:
        """Say how large pictures of a nominal side are here."""
        return pixels if self.cuda else pixels // 8

    @property
    def forwards(self) -> int:
        """Forwards of a whole picture."""
        return FORWARDS if self.cuda else 2

    def few(self, *numbers: int) -> tuple[int, ...]:
        """Leave the first two of a list of sizes where only the way is tried out."""
        return numbers if self.cuda else numbers[:2]

    def rounds(self, number: int) -> int:
        """Say how often something is repeated here."""
        return number if self.cuda else 1

    @functools.cached_property
    def loaded(self) -> Any:
        """The model, made when it is first asked for; `engine` and `pipe` are its own."""
        from inference import zimage
        from inference.setup import Setup

        self.need_device()
        zimage.import_libraries()
        loras = self.work / "loras"
        loras.mkdir(parents=True, exist_ok=True)
        setup = Setup(device="cuda" if self.cuda else "cpu", loras=str(loras))
        return zimage.load(self.model, setup)

    def fresh(self) -> Any:
        """Make another pipeline, one that no engine has changed."""
        from inference import tinymodel, zimage

        zimage.import_libraries()
        kind = zimage.number_format(self.torch_device)
        pipe = tinymodel.make(self.model, self.torch_device, kind)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    @property
    def engine(self) -> Any:
        """The model as a worker runs it."""
        return self.loaded.engine

    @property
    def pipe(self) -> Any:
        """The model as diffusers knows it, with the engine's changes."""
        return self.loaded.engine.pipe

    @property
    def torch_device(self) -> Any:
        """The device as torch knows it."""
        import torch

        return torch.device(self.device, 0) if self.cuda else torch.device("cpu")

    def need_device(self) -> None:
        """Look whether the device is there.

        Raises:
            Waiting: it is not.
        """
        import torch

        if not self.cuda:
            torch.set_num_threads(1)
        elif not torch.cuda.is_available():
            raise Waiting("torch sees no CUDA device")

    def need_memory(self, gib: float) -> None:
        """Look whether so much of the device's memory is free.

        Raises:
            Waiting: it is not.
        """
        import torch

        self.need_device()
        if not self.cuda:
            return
        free, _ = torch.cuda.mem_get_info()
        if free < gib * GIB:
            raise Waiting(f"it needs {gib:.0f} GiB of device memory, {free / GIB:.0f} are free")

    def job(self, side: int, images: int = 1, forwards: int = 0, **more: Any) -> Job:
        """Describe pictures of a side in real pixels."""
        usual: dict[str, Any] = {
            "prompt": PROMPT,
            "negative_prompt": None,
            "guidance": 0.0,
            "seed": 1,
        }
        shape = {"width": side, "height": side, "images": images, "steps": forwards or self.forwards}  # fmt: skip
        return Job(**usual | shape | more)

    def make(self, job: Job) -> Result:
        """Make pictures."""
        result: Result = self.engine.generate([job], lambda: False)
        return result

    def seconds(self, work: Callable[[], object], rounds: int = 1) -> float:
        """Time some work by the host's clock, until the device has done it; the median of rounds."""
        times = []
        for _ in range(rounds):
            self.synchronize()
            began = time.perf_counter()
            work()
            self.synchronize()
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    def synchronize(self) -> None:
        """Wait until the device has nothing left to do."""
        if self.cuda:
            import torch

            torch.cuda.synchronize()


def in_memory(work: Path) -> Path:
    """Name a folder like that one whose files lie in the host's memory."""
    return Path("/dev/shm") / work.name  # noqa: S108  (the name is that of a temporary folder)


def figure(what: str, value: float, unit: str) -> Line:
    """Make a line of a table of single figures."""
    return {"what": what, "value": value, "unit": unit}


def missed(text: str) -> Line:
    """Make a line that says which target was missed, and by how much."""
    return {"missed": text}
