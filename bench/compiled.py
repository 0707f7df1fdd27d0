"""The transformer's blocks compiled, beside not compiled: what a start pays and a picture gains.

The tiny pipeline on the CPU in one thread, eight steps; each contender in a process of its own.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import common


SIDES = (64, 128, 256)
_CODE = """
import json, sys, time
from inference import coldstart
from inference.engine import warmup_job
from inference.setup import Setup
from lightmeter.catalog import LoadPhase
loaded = coldstart.start(sys.argv[1], "", Setup(device="cpu", compile=sys.argv[2]))
def best(side):
    seconds = []
    for _ in range(12):
        began = time.perf_counter()
        loaded.engine.generate([warmup_job(side, 8)], lambda: False)
        seconds.append(time.perf_counter() - began)
    return min(seconds)
print(json.dumps([loaded.phases.get(LoadPhase.COMPILE, 0.0), *map(best, map(int, sys.argv[3:]))]))
"""


def main() -> None:
    """Measure without, with nothing kept, and with what the start before has kept."""
    args = common.arguments(__doc__)
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "tiny"
        build = f"from pathlib import Path; from inference.tinymodel import build_tiny; build_tiny(Path({str(model)!r}))"
        common.run(sys.executable, "-c", build)
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{name}/kept"
        contenders = (
            ("off", "off"),
            ("blocks, nothing kept", "blocks"),
            ("blocks, kept", "blocks"),
        )
        rows = [{"compile": said, **_measure(model, mode)} for said, mode in contenders]
    _, first, again = rows
    slower = again["compile, s"] >= first["compile, s"]
    failures = ["the second start compiles as long as the first"] if slower else []
    common.finish(args, common.machine("torch", "diffusers"), rows, failures)


def _measure(model: Path, mode: str) -> dict[str, Any]:
    _, out = common.run(sys.executable, "-c", _CODE, model, mode, *map(str, SIDES))
    compiling, *seconds = json.loads(out.splitlines()[-1])
    return {
        "compile, s": compiling,
        **{f"{side} px, s": spent for side, spent in zip(SIDES, seconds, strict=True)},
    }


if __name__ == "__main__":
    main()
