"""The NVIDIA driver: the only file that imports pynvml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """What the driver shows; ``reason`` says in words why it shows nothing."""

    driver: str = ""
    names: tuple[str, ...] = ()
    reason: str = ""


def look() -> Seen:
    """Ask the driver for its version and the names of its GPUs."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Seen(reason=f"not usable ({error})")
    try:
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return Seen(
            pynvml.nvmlSystemGetDriverVersion(), tuple(map(pynvml.nvmlDeviceGetName, handles))
        )
    except pynvml.NVMLError as error:
        return Seen(reason=f"answers, but not for every GPU ({error})")
    finally:
        pynvml.nvmlShutdown()
