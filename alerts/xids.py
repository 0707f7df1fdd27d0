"""Which XID errors mean what. https://docs.nvidia.com/deploy/xid-errors/ (read 2026-11)."""

from __future__ import annotations


HARDWARE = (48, 61, 62, 63, 64, 74, 79, 92, 94, 95, 119, 120, 140)
"""Double-bit ECC, microcontroller halts, row remapping, NVLink, fallen off the bus, contained and
uncontained memory errors, GSP timeouts: the node is drained and the GPU reset or replaced."""
APPLICATION = (13, 31, 43, 45, 68, 69)
"""Bad accesses, illegal instructions, a stopped channel: a program's own fault."""
