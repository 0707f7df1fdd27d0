"""What a CLIP score of one 1024 x 1024 picture costs: the scorer's process, and the server's loop.

ViT-B/32 with random weights and a byte-level tokenizer, made on the spot: the times do not depend
on the weights. The peer is the model itself, called with tensors that are ready.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import common
from inference.clip import ClipScorer
from inference.engine import Pixels
from inference.sampled import Sampled


SIDE, ROUNDS, PROMPT = 1024, 9, "a red fox in the snow, film photograph, evening light"
MOST_RATIO, MOST_STALL = 1.5, 0.2
"""Of the bare model's time: the scorer's, and the longest stall of the server's loop."""


def main() -> None:
    """Make the model, then time it bare, as our scorer, and through its process."""
    args = common.arguments(__doc__)
    common.support()
    from transformers import CLIPConfig

    from support.clips import save_clip
    from support.photos import photograph

    picture = photograph("astronaut.png", SIDE)
    with tempfile.TemporaryDirectory() as name:
        save_clip(Path(name), CLIPConfig())
        scorer = ClipScorer(Path(name))
        bare, ours = _bare(scorer), _scored(scorer, picture)
        del scorer
        through, stall = asyncio.run(_through(Path(name), picture))
    rows = [
        {"what": "the model, tensors ready", "ms": bare, "ratio": 1.0},
        {"what": "ClipScorer", "ms": ours, "ratio": ours / bare},
        {
            "what": "offered to answered, through the process",
            "ms": through,
            "ratio": through / bare,
        },
        {
            "what": "longest stall of the server's loop meanwhile",
            "ms": stall,
            "ratio": stall / bare,
        },
    ]
    failures = []
    if ours > MOST_RATIO * bare:
        failures.append(f"the scorer takes {ours / bare:.2f} times the model, {MOST_RATIO} is asked for")  # fmt: skip
    if stall > MOST_STALL * bare:
        failures.append(f"the loop stood still for {stall:.0f} ms, {MOST_STALL * bare:.0f} is the limit")  # fmt: skip
    common.finish(args, common.machine("torch", "transformers"), rows, failures)


def _bare(scorer: ClipScorer) -> float:
    import torch

    size = scorer._model.config.vision_config.image_size  # noqa: SLF001  (the very same model)
    pixels = torch.zeros(1, 3, size, size)
    words = torch.zeros(1, len(PROMPT) + 2, dtype=torch.long)
    with torch.inference_mode():
        return _time(lambda: scorer._model(input_ids=words, pixel_values=pixels))  # noqa: SLF001  (as above)


def _scored(scorer: ClipScorer, picture: Pixels) -> float:
    return _time(lambda: scorer.score(picture, PROMPT))


def _time(work: Any) -> float:
    """Return the median wall time in milliseconds, after one round that warms up."""
    work()
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


async def _through(folder: Path, picture: Pixels) -> tuple[float, float]:
    """Score through the process; return the median time and the loop's longest stall, ms."""
    answered = asyncio.Event()
    sampled = Sampled(folder, share=1, chance=random.Random(1), scored=lambda _: answered.set())  # noqa: S311  (chance, no secret)
    sampled.start()
    stalls: list[float] = []
    taken = []
    try:
        for number in range(ROUNDS + 1):
            answered.clear()
            began = time.perf_counter()
            sampled.offer(picture, PROMPT)
            watch = asyncio.create_task(_watch(stalls)) if number else None
            await answered.wait()
            taken.append(time.perf_counter() - began)
            if watch:
                watch.cancel()
    finally:
        await sampled.stop()
    return statistics.median(taken[1:]) * 1000, max(stalls) * 1000


async def _watch(stalls: list[float]) -> None:
    """Note by how much each turn of the loop comes later than asked."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        stalls.append(time.perf_counter() - began - 0.001)


if __name__ == "__main__":
    main()
