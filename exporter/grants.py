"""How much GPU memory a container was granted, from the environment that a device plugin gave it.

gpushare (https://github.com/AliyunContainerService/gpushare-device-plugin) and HAMi
(https://github.com/Project-HAMi/HAMi). A container can rewrite its own environment, so a grant is
what it was told or says it was told; what it uses is measured.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from exporter.snapshot import Gpu


MAX_BYTES = 1_048_576
"""As much of an environment is read."""
_GPUSHARE = "ALIYUN_COM_GPU_MEM_"
_HAMI = "CUDA_DEVICE_MEMORY_LIMIT"
_DEVICES = "NVIDIA_VISIBLE_DEVICES"
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_SIZE = re.compile(r"(\d{1,18})([kmg]?)", re.IGNORECASE)


@dataclass(frozen=True)
class Grant:
    """A part of one GPU: so many bytes, or so many of the ``whole`` units that it was cut into."""

    index: int | None = None
    uuid: str | None = None
    amount: int = 0
    whole: int | None = None

    def on(self, gpu: Gpu, total_bytes: int | None) -> int | None:
        """Tell the bytes granted on a GPU; None where this is no grant on it, or cannot be told."""
        if self.uuid != (gpu.mig_uuid or gpu.uuid) and (gpu.mig_uuid or self.index != gpu.index):
            return None
        if self.whole is None:
            return self.amount
        return self.amount * unit(total_bytes, self.whole) if total_bytes else None


def unit(total_bytes: int, whole: int) -> int:
    """Tell what gpushare counts in, GiB or MiB, from how many of them it found on the GPU."""
    return min(2**30, 2**20, key=lambda size: abs(total_bytes - whole * size))


def read(environ: bytes) -> tuple[Grant, ...]:
    """Find the grants in the text of /proc/PID/environ."""
    pairs = environ[:MAX_BYTES].decode(errors="replace").split("\0")
    found = dict(pair.partition("=")[::2] for pair in pairs)
    return (*_gpushare(found), *_hami(found))


def _gpushare(environ: Mapping[str, str]) -> tuple[Grant, ...]:
    """Read ``_IDX``, the GPU's index, and ``_CONTAINER`` units out of ``_DEV``.

    The index is the scheduler's and right; the device ids that the kubelet hands out are not.
    """
    words = [environ.get(_GPUSHARE + word, "") for word in ("IDX", "CONTAINER", "DEV")]
    if not all(word.isascii() and word.isdecimal() and len(word) < 12 for word in words):  # noqa: PLR2004  (digits)
        return ()
    index, amount, whole = map(int, words)
    return (Grant(index=index, amount=amount, whole=whole),) if whole else ()


def _hami(environ: Mapping[str, str]) -> tuple[Grant, ...]:
    """Read ``_0``, ``_1``, ..., a limit for each of the visible devices, or one for all."""
    devices = [word.strip() for word in environ.get(_DEVICES, "").split(",")]
    limits = [environ.get(f"{_HAMI}_{i}", environ.get(_HAMI, "")) for i in range(len(devices))]
    return tuple(
        Grant(uuid=device, amount=size)
        for device, limit in zip(devices, limits, strict=True)
        if device.startswith(("GPU-", "MIG-")) and (size := _size(limit))
    )


def _size(text: str) -> int | None:
    match = _SIZE.fullmatch(text)
    return int(match[1]) * _UNITS[match[2].lower()] if match else None
