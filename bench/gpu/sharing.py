"""Several workers on one GPU: how much longer each takes than its fair share."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import IO

from bench.gpu.place import GIB, Line, Place, Waiting


WORKERS = (1, 2, 3, 5)
SECONDS = 5.0
WORKER_GIB = 23.0
"""A worker with the full-size model, its CUDA context and a picture of 512x512."""


def sliced(place: Place) -> Iterator[Line]:
    """Let workers share the GPU as it is: one context after the other."""
    yield from _curve(place, {})


def mps(place: Place) -> Iterator[Line]:
    """Let them share it through a multi-process service of their own, ended afterwards.

    https://docs.nvidia.com/deploy/mps/ describes it. The card's compute mode is left as it is.
    """
    place.need_device()
    control = shutil.which("nvidia-cuda-mps-control")
    if control is None:
        raise Waiting("nvidia-cuda-mps-control is not installed")
    with tempfile.TemporaryDirectory(prefix="lightmeter-mps-") as folder:
        variables = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        run = subprocess.run(
            [control, "-d"], env=os.environ | variables, check=False, capture_output=True, text=True
        )
        if run.returncode:
            raise Waiting(f"nvidia-cuda-mps-control does not start: {run.stderr.strip()[:100]}")
        try:
            yield from _curve(place, variables)
        finally:
            subprocess.run(
                [control], input="quit\n", env=os.environ | variables, check=False, capture_output=True, text=True
            )  # fmt: skip


def _curve(place: Place, variables: Mapping[str, str]) -> Iterator[Line]:
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(place, variables)) for _ in range(_most(place))]
        for worker in workers:
            if _read(worker).strip() != "ready":
                raise RuntimeError("a worker does not start")
        alone = 0.0
        for number in (number for number in WORKERS if number <= len(workers)):
            seconds, pictures = _together(workers[:number], SECONDS if place.cuda else 0.5)
            alone = alone or seconds
            yield {
                "workers": number,
                "seconds of a picture, mean": seconds,
                "times as long as alone": seconds / alone,
                "phi: times its fair share": seconds / alone / number,
                "pictures/s, all": pictures,
            }


def _together(workers: list[subprocess.Popen[str]], seconds: float) -> tuple[float, float]:
    """Have workers make pictures at the same time; mean seconds of one, pictures a second of all."""
    for worker in workers:
        _pipe(worker.stdin).write(f"{seconds}\n")
        _pipe(worker.stdin).flush()
    said = [json.loads(_read(worker)) for worker in workers]
    means = [one["mean"] for one in said]
    return sum(means) / len(means), sum(1 / mean for mean in means)


def _most(place: Place) -> int:
    """Tell how many workers fit; two at the least.

    Raises:
        Waiting: they do not.
    """
    import torch

    place.need_memory(2 * WORKER_GIB)
    if not place.cuda:
        return 2
    free, _ = torch.cuda.mem_get_info()
    return min(WORKERS[-1], int(free / GIB / WORKER_GIB))


@contextmanager
def _worker(place: Place, variables: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    side, forwards = str(place.side(512)), str(place.forwards)
    command = [sys.executable, "-P", "-m", "bench.gpu.sharer", place.device, forwards, side, str(place.work)]  # fmt: skip
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | dict(variables),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _read(worker: subprocess.Popen[str]) -> str:
    return _pipe(worker.stdout).readline()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("a worker has no pipes")
    return pipe
