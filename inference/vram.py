"""A CUDA device's memory, as torch sees it: what this process may take, and what it has taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inference.setup import Setup
from lightmeter.units import parse_part


FRAGMENTED = 0.05
"""Share of the memory that is left to gaps between blocks; an allowance, not a measurement."""


def mine(setup: Setup) -> list[Any]:
    """List the CUDA devices of a worker; none where it is to work on the CPU.

    Raises:
        ValueError: CUDA is asked for and torch sees none, or too few.
    """
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if setup.device == "cpu" or (setup.device == "auto" and not there):
        return []
    if not there:
        raise ValueError(
            "device 'cuda' is asked for, but torch sees no CUDA device; use --device cpu"
        )
    wanted = setup.gpus_per_worker
    if wanted > there:
        raise ValueError(
            f"gpus_per_worker is {wanted}, but torch sees {there}; use --gpus-per-worker {there}"
        )
    first = setup.index * wanted
    return [torch.device("cuda", (first + offset) % there) for offset in range(wanted)]


def cap(place: Any, part: str) -> None:
    """Let torch take no more of the device than a part, like ``3GiB`` or ``0.5``; "" is the whole.

    It then raises its out-of-memory error as if the device were so small. A shared GPU needs this
    where its sharer divides time or counts, but isolates nothing.
    """
    import torch

    if part:
        total = torch.cuda.get_device_properties(place).total_memory
        torch.cuda.set_per_process_memory_fraction(parse_part(part, total) / total, place)


def usable_bytes(place: Any, part: str) -> int:
    """Bytes that the weights and a batch may take together: what is free or ours, under the cap."""
    import torch

    free, total = torch.cuda.mem_get_info(place)
    ours = free + torch.cuda.memory_reserved(place)
    return int(min(ours, parse_part(part or "1", total)) * (1 - FRAGMENTED))


def held_bytes(place: Any) -> int:
    """Bytes of the tensors that live now: after loading, the weights."""
    import torch

    return int(torch.cuda.memory_allocated(place))


def reset_peak(places: Sequence[Any]) -> None:
    """Begin to watch for the next peak."""
    import torch

    for place in places:
        if place.type == "cuda":
            torch.cuda.reset_peak_memory_stats(place)


def peak_bytes(places: Sequence[Any]) -> int | None:
    """Most bytes of tensors that lived at once since the last reset; None where there is no GPU.

    What the allocator holds is no measure of a batch: it also remembers larger ones from before.
    """
    import torch

    peaks = [torch.cuda.max_memory_allocated(place) for place in places if place.type == "cuda"]
    return int(sum(peaks)) if peaks else None
