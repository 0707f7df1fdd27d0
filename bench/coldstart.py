"""A worker's cold start by phase, beside the start that most servers have.

The usual start: import, ``from_pretrained``, ``to``, and one picture of the full size and steps. Ours:
`inference.coldstart`. Both with a random-weight Z-Image pipeline of 1 GB, on the CPU in one thread,
in turns, each in a process of its own; with the files in the system's cache, and dropped from it.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import common


ROUNDS = 3
PHASES = ("import", "weights", "to_device", "warmup")
MOST = 0.9
"""Ours may take at most this share of the usual start."""
_BUILD = """
import sys
from pathlib import Path
from inference import tinymodel
tinymodel.build(Path(sys.argv[1]), {
    "transformer": {"dim": 768, "n_layers": 12, "n_heads": 6, "n_kv_heads": 6, "cap_feat_dim": 768,
                    "axes_dims": [32, 48, 48]},
    "text_encoder": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12,
                     "num_attention_heads": 6, "num_key_value_heads": 6, "head_dim": 128},
    "vae": {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "norm_num_groups": 32,
            "sample_size": 256},
})
"""
_USUAL = """
import json, sys, time
marks = [time.perf_counter()]
import torch
from diffusers import ZImagePipeline
torch.set_num_threads(1)
marks.append(time.perf_counter())
pipe = ZImagePipeline.from_pretrained(sys.argv[1], dtype=torch.float32, local_files_only=True)
marks.append(time.perf_counter())
pipe.to("cpu")
marks.append(time.perf_counter())
pipe("warm-up", width=256, height=256, num_inference_steps=8, guidance_scale=0.0)
marks.append(time.perf_counter())
print(json.dumps([after - before for before, after in zip(marks, marks[1:])]))
"""
_OURS = """
import json, sys
from inference import coldstart
from inference.setup import Setup
phases = coldstart.start(sys.argv[1], "", Setup(device="cpu")).phases
print(json.dumps([phases[name] for name in ("import", "weights", "to_device", "warmup")]))
"""


def main() -> None:
    """Measure both starts with warm and with cold files."""
    args = common.arguments(__doc__)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name) / "model"
        common.run(sys.executable, "-c", _BUILD, folder)
        rows = [row for cold in (False, True) for row in _compare(folder, cold=cold)]
    ratios = {row["files"]: row["ours / usual"] for row in rows if "ours / usual" in row}
    failures = [
        f"files {files}: {ratio:.2f} of the usual start, {MOST} is asked for"
        for files, ratio in ratios.items()
        if ratio > MOST
    ]
    common.finish(args, common.machine("torch", "diffusers", "transformers"), rows, failures)


def _compare(folder: Path, *, cold: bool) -> list[dict[str, Any]]:
    starts: dict[str, list[list[float]]] = {"usual": [], "lightmeter": []}
    for _ in range(ROUNDS):
        for name, code in (("usual", _USUAL), ("lightmeter", _OURS)):
            if cold:
                _drop(folder)
            wall, out = common.run(sys.executable, "-c", code, folder)
            starts[name].append([wall, *json.loads(out.splitlines()[-1])])
    best = {name: min(runs) for name, runs in starts.items()}
    return [
        {
            "files": "cold" if cold else "cached",
            "start": name,
            **dict(zip(PHASES, best[name][1:], strict=True)),
            "whole process, s": best[name][0],
            "median, s": statistics.median(run[0] for run in starts[name]),
            "ours / usual": best["lightmeter"][0] / best["usual"][0],
        }
        for name in starts
    ]


def _drop(folder: Path) -> None:
    """Drop the files from the system's cache."""
    for path in folder.rglob("*.safetensors"):
        with path.open("rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
