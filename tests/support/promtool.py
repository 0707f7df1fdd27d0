"""promtool, from Debian's package prometheus."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.debian import need


def promtool(*arguments: str | Path) -> tuple[int, str]:
    """Run it; return its exit code and all that it printed."""
    program = need("promtool", "prometheus")
    ran = subprocess.run([program, *map(str, arguments)], check=False, capture_output=True, text=True)  # fmt: skip
    return ran.returncode, ran.stdout + ran.stderr
