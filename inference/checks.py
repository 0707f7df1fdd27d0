"""What the inference room needs of this machine."""

from __future__ import annotations

import functools
import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata

from lightmeter.doctor import Check, Finding, Verdict
from lightmeter.units import show_bytes


_PROBE = """
import ctypes, json, torch
try:
    version = ctypes.c_int()
    driver = version.value if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version)) == 0 else 0
except (OSError, AttributeError):
    driver = 0
seen = range(torch.cuda.device_count())
print(json.dumps([torch.__version__, torch.version.cuda, driver,
    [[torch.cuda.get_device_name(i), *torch.cuda.mem_get_info(i)] for i in seen]]))
"""
"""https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__VERSION.html"""
WANTED_BYTES = 20 * 1024**3
"""Of free memory: Z-Image-Turbo in BF16 is 19.1 GiB, and goes onto the GPU whole from about here on."""


@dataclass(frozen=True)
class Devices:
    """What torch sees: its version, the CUDA that it was built for, and each GPU.

    ``driver`` is the newest CUDA that the driver knows, 1000 x major + 10 x minor; 0 for none.
    """

    version: str
    cuda: str | None
    driver: int
    gpus: tuple[tuple[str, int, int], ...]
    """Name, free bytes, all bytes."""


def checks() -> list[Check]:
    """List this room's checks; torch is asked once for all of them."""
    asked = functools.cache(ask)
    return [
        lambda: check_torch(asked()),
        lambda: check_cuda(asked()),
        lambda: check_vram(asked()),
        check_diffusers,
    ]


def ask() -> Devices | str:
    """Ask torch, in a process of its own, what it sees; a text says why it does not import."""
    run = subprocess.run(  # noqa: S603  (our own interpreter and code)
        [sys.executable, "-P", "-c", _PROBE], capture_output=True, text=True, check=False
    )
    if run.returncode:
        return run.stderr.strip().rpartition("\n")[2]
    version, cuda, driver, gpus = json.loads(run.stdout.strip().rpartition("\n")[2])
    return Devices(version, cuda, driver, tuple((name, free, whole) for name, free, whole in gpus))


def check_torch(found: Devices | str) -> Finding:
    """Look whether torch imports, and sees a GPU."""
    if isinstance(found, str):
        return Finding("torch", Verdict.FAIL, f"does not import ({found})", "make env")
    if found.gpus:
        names = ", ".join(name for name, _, _ in found.gpus)
        return Finding("torch", Verdict.OK, f"{found.version}, CUDA {found.cuda}: {names}")
    fix = "this is enough for the tiny model; for a real one use a machine with a GPU" + (
        "" if found.cuda else " and a CUDA build of torch (make env TORCH_INDEX=...)"
    )
    return Finding("torch", Verdict.WARN, f"{found.version}, no CUDA device", fix)


def check_cuda(found: Devices | str) -> Finding:
    """Hold the CUDA that torch was built for against the newest that the driver knows.

    A driver runs what was built for its own major version or an older one.
    https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
    """
    if isinstance(found, str):
        return Finding("CUDA", Verdict.OK, "not looked at: torch does not import", "make env")
    if not found.driver:
        return Finding("CUDA", Verdict.OK, f"no driver; torch is built for {found.cuda or 'the CPU'}")  # fmt: skip
    known = f"{found.driver // 1000}.{found.driver % 1000 // 10}"
    said = f"the driver knows {known}, torch is built for {found.cuda or 'the CPU'}"
    if found.cuda is None:
        fix = "make env TORCH_INDEX=https://download.pytorch.org/whl/cuNNN, with a CUDA that the driver knows"
        return Finding("CUDA", Verdict.FAIL, said, fix)
    if int(found.cuda.partition(".")[0]) > found.driver // 1000:
        fix = "install a newer NVIDIA driver, or torch for an older CUDA (make env TORCH_INDEX=...)"
        return Finding("CUDA", Verdict.FAIL, said, fix)
    if not found.gpus:
        fix = "is CUDA_VISIBLE_DEVICES empty, or the container started without --gpus?"
        return Finding("CUDA", Verdict.WARN, f"{said}, and torch sees no GPU", fix)
    return Finding("CUDA", Verdict.OK, said)


def check_vram(found: Devices | str) -> Finding:
    """Look at the memory that is free on each GPU."""
    if isinstance(found, str) or not found.gpus:
        return Finding("GPU memory", Verdict.OK, "no GPU to look at")
    said = "; ".join(f"{show_bytes(free)} of {show_bytes(whole)} free" for _, free, whole in found.gpus)  # fmt: skip
    if max(free for _, free, _ in found.gpus) >= WANTED_BYTES:
        return Finding("GPU memory", Verdict.OK, said)
    fix = f"below {show_bytes(WANTED_BYTES)} Z-Image-Turbo works with --offload model or sequential, slower; or end what else is on the GPU (nvidia-smi)"
    return Finding("GPU memory", Verdict.WARN, said, fix)


def check_diffusers() -> Finding:
    """Look whether diffusers is there."""
    if importlib.util.find_spec("diffusers") is None:
        return Finding("diffusers", Verdict.FAIL, "not installed", "make env")
    return Finding("diffusers", Verdict.OK, metadata.version("diffusers"))
