"""What a LoRA costs: to read, to apply, to change, and while it is there."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.gpu.place import Line, Place, figure


RANK = 16
_LAYERS = ("to_q", "to_k", "to_v", "to_out.0")


def loras(place: Place) -> Iterator[Line]:
    """Make pictures with none, one, the other, and none again."""
    place.need_memory(2)
    folder = place.work / "loras"
    sizes = [
        _write(place.pipe.transformer, folder / f"{name}.safetensors", seed)
        for seed, name in enumerate(("first", "second"))
    ]
    yield figure(f"a LoRA of rank {RANK} on all attention layers", sizes[0] / 1e6, "MB")
    side, rounds = place.side(512), place.rounds(3)

    def one(name: str | None) -> float:
        job = place.job(side, lora=name)
        return place.seconds(lambda: place.make(job))

    def seconds(*names: str | None) -> float:
        return statistics.median(map(one, names))

    seconds(None)
    plain = seconds(*[None] * rounds)
    yield figure("a picture without", plain, "s")
    yield figure("first use of one: reading and applying, on top", seconds("first") - plain, "s")
    kept = seconds(*["first"] * rounds)
    yield figure("while it is in use, on top", 100 * (kept / plain - 1), "%")
    seconds("second")
    switched = seconds(*["first", "second"] * rounds)
    yield figure("changing between two that are held, on top", switched - kept, "s")
    without = seconds(*[None] * rounds)
    yield figure("without again, on top of never", 100 * (without / plain - 1), "%")


def _write(transformer: Any, path: Path, seed: int) -> int:
    """Save a LoRA of random numbers, as the trainers of diffusers do; return its bytes."""
    import torch
    from safetensors.torch import save_file

    random = torch.Generator("cpu").manual_seed(seed)
    tensors = {}
    for name, module in transformer.named_modules():
        if name.endswith(_LAYERS) and isinstance(module, torch.nn.Linear):
            down = torch.randn(RANK, module.in_features, generator=random)
            up = torch.randn(module.out_features, RANK, generator=random)
            tensors[f"transformer.{name}.lora_A.weight"] = down.mul_(0.01).to(torch.bfloat16)
            tensors[f"transformer.{name}.lora_B.weight"] = up.mul_(0.01).to(torch.bfloat16)
    save_file(tensors, path)
    return path.stat().st_size
