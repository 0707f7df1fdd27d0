"""Whether this machine has an NVIDIA GPU at all, driver or not, as its PCI bus tells."""

from __future__ import annotations

import os


DEVICES = "sys/bus/pci/devices"
_NVIDIA = "0x10de"
_DISPLAY = ("0x0300", "0x0302")
"""VGA and 3D controllers (https://admin.pci-ids.ucw.cz/read/PD/03)."""
_GIVEN_AWAY = "vfio-pci"
"""The driver that hands a device to a virtual machine, which has its own exporter."""


def has_gpu(root: str) -> bool:
    """Tell whether there is one under a machine's root; where that cannot be seen there may be.

    A GPU without PCI, as a Jetson's, is not found here: its driver tells of it.
    """
    folder = os.path.join(root, DEVICES)  # noqa: PTH118  (pathlib would cost memory)
    try:
        return any(_is_gpu(os.path.join(folder, name)) for name in os.listdir(folder))  # noqa: PTH118, PTH208  (as above)
    except OSError:
        return True


def _is_gpu(device: str) -> bool:
    if _read(device, "vendor") != _NVIDIA or not _read(device, "class").startswith(_DISPLAY):
        return False
    try:
        return os.path.basename(os.readlink(f"{device}/driver")) != _GIVEN_AWAY  # noqa: PTH115, PTH119  (as above)
    except OSError:
        return True  # no driver has it


def _read(device: str, name: str) -> str:
    try:
        with open(f"{device}/{name}", encoding="ascii") as file:  # noqa: PTH123  (as above)
            return file.read().strip()
    except OSError:
        return ""
