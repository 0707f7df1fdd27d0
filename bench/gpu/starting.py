"""A worker's cold start from files, beside from_pretrained and to, with the files in the host's cache."""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench import common
from bench.gpu.place import GIB, Line, Place, Waiting, figure, in_memory


_PHASES = ("import", "weights", "to_device", "warmup")
_FILES_GIB = 20.0
_OURS = """
import json, os, sys
os.environ["HF_ENABLE_PARALLEL_LOADING"] = "yes"  # as for every worker
from inference import coldstart
from inference.setup import Setup
phases = coldstart.start(sys.argv[1], "", Setup(device=sys.argv[2])).phases
print(json.dumps([phases[name] for name in ("import", "weights", "to_device", "warmup")]))
"""
_USUAL = """
import json, sys, time
marks = [time.perf_counter()]
import torch
from diffusers import ZImagePipeline
marks.append(time.perf_counter())
kind = torch.bfloat16 if sys.argv[2] == "cuda" else torch.float32
pipe = ZImagePipeline.from_pretrained(sys.argv[1], dtype=kind, local_files_only=True)
marks.append(time.perf_counter())
pipe.to(sys.argv[2])
marks.append(time.perf_counter())
side, forwards = int(sys.argv[3]), int(sys.argv[4])
pipe("warm-up", width=side, height=side, num_inference_steps=forwards, guidance_scale=0.0)
marks.append(time.perf_counter())
print(json.dumps([after - before for before, after in zip(marks, marks[1:])]))
"""


def cold_start(place: Place) -> Iterator[Line]:
    """Save the model, then start from it both ways, each in a process of its own."""
    place.need_memory(24)
    with _room(place) as folder:
        yield figure("the model saved", place.seconds(lambda: _save(place, folder)), "s")
        size = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
        yield figure("its files", size / GIB, "GiB")
        shape = str(place.side(1024)), str(place.forwards)
        for way, code in (("lightmeter", _OURS), ("from_pretrained and to", _USUAL)):
            wall, out = common.run(sys.executable, "-c", code, folder, place.device, *shape)
            phases = json.loads(out.splitlines()[-1])
            for phase, seconds in zip(_PHASES, phases, strict=True):
                yield figure(f"{way}: {phase}", seconds, "s")
            yield figure(f"{way}: the whole process", wall, "s")


@contextlib.contextmanager
def _room(place: Place) -> Iterator[Path]:
    """Find a folder for the files, in memory where there is plenty, else on the disk; it goes at the end.

    Raises:
        Waiting: there is none.
    """
    need = _FILES_GIB * GIB if place.cuda else 0.0
    plenty = psutil.virtual_memory().available > 3 * need
    for folder in (in_memory(place.work), place.work) if plenty else (place.work,):
        if folder.parent.is_dir() and shutil.disk_usage(folder.parent).free > 1.1 * need:
            try:
                yield folder / "model"
            finally:
                shutil.rmtree(folder / "model", ignore_errors=True)
            return
    raise Waiting(f"it needs {_FILES_GIB:.0f} GiB for files")


def _save(place: Place, folder: Path) -> None:
    place.fresh().save_pretrained(folder)
    gc.collect()
    if place.cuda:
        import torch

        torch.cuda.empty_cache()
