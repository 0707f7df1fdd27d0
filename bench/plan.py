"""``lightmeter plan`` as a whole process, on the requests of GenTD26.

The trace is read from $LIGHTMETER_TRACES/gentd26/requests.csv.gz; without it, made-up requests of
the same number and shape stand in.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import tempfile
from pathlib import Path

from bench import common


MOST_SECONDS, MOST_GIB = 20.0, 1.0
ROUNDS = 3


def main() -> None:
    """Import once, then plan a few times."""
    args = common.arguments(__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, said = _source(folder)
        history = folder / "history"
        imported, _ = common.run(
            common.LIGHTMETER, "history", "import", "gentd26", source, "--out", history
        )
        planned = [_plan(history, folder / "report") for _ in range(ROUNDS)]
        requests = json.loads((folder / "report" / "plan.json").read_text(encoding="utf-8"))[
            "generated_from"
        ]["requests"]
    seconds = statistics.median(planned)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024**2  # of KiB
    row = {
        "requests": requests,
        "import s": imported,
        "plan, median s": seconds,
        "plan, worst s": max(planned),
        "peak memory of either, GiB": peak,
    }
    failures = []
    if max(planned) > MOST_SECONDS:
        failures.append(f"a plan took {max(planned):.1f} s, the limit is {MOST_SECONDS:g} s")
    if peak > MOST_GIB:
        failures.append(f"the peak was {peak:.2f} GiB, the limit is {MOST_GIB:g} GiB")
    about = common.machine("numpy", "numba", "pandas", "pyarrow") | {"data": said}
    common.finish(args, about, [row], failures)


def _source(folder: Path) -> tuple[Path, str]:
    traces = os.environ.get("LIGHTMETER_TRACES")
    path = Path(traces or "") / "gentd26" / "requests.csv.gz"
    if traces and path.is_file():
        return path, "the requests of GenTD26"
    common.support()
    from support import gentd26

    made = gentd26.write(folder / "made-up.csv.gz", gentd26.log(15_630, days=16.0))
    return made, "made-up requests (LIGHTMETER_TRACES names no folder with GenTD26)"


def _plan(history: Path, out: Path) -> float:
    return common.run(
        common.LIGHTMETER, "plan", "--history", history, "--slo", "p95_wait=30s", "--out", out
    )[0]


if __name__ == "__main__":
    main()
