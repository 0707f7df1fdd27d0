"""What it costs that a picture does not depend on its batch: ours beside the plain pipeline.

Batches of 8 of the tiny pipeline in one thread, float32; the contenders take turns. Then how many
pictures differ from what they are alone, over batches of 1 to 8.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import common
from inference import diffusion, tinymodel, zimage
from inference.engine import Job, Pixels
from inference.setup import Setup


ROUNDS, STEPS = 8, 8
Make = Callable[[Sequence[Job]], Pixels]
PROMPTS = (
    "a red fox in fresh snow, morning light",
    "an old lighthouse in a storm, oil painting",
    "雨夜里的一家面馆, 霓虹灯",
    "a glass teapot on a wooden table, macro photograph",
    "a city of paper boats seen from above",
    "两只熊猫在竹林里下棋",
    "cat",
    "a long description of a house by the sea " * 4,
)


def main() -> None:
    """Measure each contender at each size, with prompts of one length and of several."""
    args = common.arguments(__doc__)
    zimage.import_libraries()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "tiny"
        tinymodel.build_tiny(folder)
        contenders = {
            "plain pipeline": _plain(folder),
            "lightmeter": _ours(folder, deterministic=False),
            "lightmeter, deterministic": _ours(folder, deterministic=True),
        }
        rows = [
            row
            for side in (64, 256)
            for prompts in (PROMPTS, PROMPTS[:1] * 8)
            for row in _compare(contenders, side, prompts)
        ]
    failures = [
        f"{row['pixels']} px, {row['captions']}: {row['differ']} pictures of {row['contender']} depend on their batch"
        for row in rows
        if row["contender"] != "plain pipeline" and row["differ"]
    ]
    common.finish(args, common.machine("torch", "diffusers"), rows, failures)


def _plain(folder: Path) -> Make:
    """Make pictures as diffusers documents it."""
    pipe = zimage.read(str(folder), torch.device("cpu"))

    def make(jobs: Sequence[Job]) -> Pixels:
        pictures = pipe(
            prompt=[job.prompt for job in jobs],
            width=jobs[0].width,
            height=jobs[0].height,
            num_inference_steps=STEPS,
            guidance_scale=0.0,
            generator=[torch.Generator("cpu").manual_seed(job.seed) for job in jobs],
            output_type="pt",
        ).images
        return diffusion.to_pixels(pictures)

    return make


def _ours(folder: Path, *, deterministic: bool) -> Make:
    engine = zimage.load(str(folder), Setup(device="cpu", deterministic=deterministic)).engine
    return lambda jobs: engine.generate(jobs, lambda: False).pixels


def _jobs(side: int, prompts: tuple[str, ...]) -> list[Job]:
    return [
        Job(
            prompt=prompt,
            negative_prompt=None,
            width=side,
            height=side,
            images=1,
            steps=STEPS,
            guidance=0.0,
            seed=seed,
        )
        for seed, prompt in enumerate(prompts)
    ]


def _compare(
    contenders: dict[str, Make], side: int, prompts: tuple[str, ...]
) -> list[dict[str, Any]]:
    jobs = _jobs(side, prompts)
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for name, make in contenders.items():
            began = time.perf_counter()
            make(jobs)
            best[name] = min(best[name], time.perf_counter() - began)
    return [
        {
            "pixels": f"{side}x{side}",
            "captions": "equal" if len(set(prompts)) == 1 else "mixed",
            "contender": name,
            "pictures/s": len(jobs) / best[name],
            "differ": _differ(make, jobs),
            "of": sum(range(1, len(jobs) + 1)),
        }
        for name, make in contenders.items()
    ]


def _differ(make: Make, jobs: list[Job]) -> int:
    """Count the pictures in batches of each size that are not what they are alone."""
    alone = [make([job])[0] for job in jobs]
    return sum(
        not np.array_equal(alone[index], picture)
        for size in range(1, len(jobs) + 1)
        for index, picture in enumerate(make(jobs[:size]))
    )


if __name__ == "__main__":
    main()
