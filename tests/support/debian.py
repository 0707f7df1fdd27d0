"""Programs that Debian ships: skipped with a reason on a laptop, a failure in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def need(program: str, package: str) -> str:
    """Return the program's path; skip where it is missing, fail in CI."""
    found = shutil.which(program)
    if found:
        return found
    reason = f"{program} is missing; apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
