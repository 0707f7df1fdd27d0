"""What the inference room needs of this machine."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib import metadata

from lightmeter.doctor import Check, Finding, Verdict


_PROBE = "import json, torch; print(json.dumps([torch.__version__, torch.version.cuda, [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]]))"


def checks() -> list[Check]:
    """List this room's checks."""
    return [check_torch, check_diffusers]


def check_torch() -> Finding:
    """Ask torch, in a process of its own, what devices it sees."""
    run = subprocess.run(  # noqa: S603  (our own interpreter and code)
        [sys.executable, "-P", "-c", _PROBE], capture_output=True, text=True, check=False
    )
    if run.returncode:
        reason = run.stderr.strip().rpartition("\n")[2]
        return Finding("torch", Verdict.FAIL, f"does not import ({reason})", "make env")
    version, cuda, names = json.loads(run.stdout)
    if names:
        return Finding("torch", Verdict.OK, f"{version}, CUDA {cuda}: {', '.join(names)}")
    fix = "this is enough for the tiny model; for a real one use a machine with a GPU" + (
        "" if cuda else " and a CUDA build of torch (make env TORCH_INDEX=...)"
    )
    return Finding("torch", Verdict.WARN, f"{version}, no CUDA device", fix)


def check_diffusers() -> Finding:
    """Look whether diffusers is there."""
    if importlib.util.find_spec("diffusers") is None:
        return Finding("diffusers", Verdict.FAIL, "not installed", "make env")
    return Finding("diffusers", Verdict.OK, metadata.version("diffusers"))
