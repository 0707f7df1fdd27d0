"""A CUDA device's memory, as torch sees it: what this process may take, and what it has taken."""

from __future__ import annotations

from typing import Any

from lightmeter.units import parse_part


FRAGMENTED = 0.05
"""Share of the memory that is left to gaps between blocks; an allowance, not a measurement."""


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
