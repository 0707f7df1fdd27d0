"""A worker that shares a GPU with others: told on stdin for how long to make pictures.

``python -m bench.gpu.sharer DEVICE FORWARDS SIDE``; it says ``ready``, then after each line with a
number of seconds what it made, as JSON: pictures, and the seconds of the slowest and the mean one.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path

from bench.gpu.place import Place


def main() -> None:
    """Make pictures when asked to."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    place = Place(sys.argv[1], Path(sys.argv[4]))
    job = place.job(int(sys.argv[3]), forwards=int(sys.argv[2]))
    place.make(job)
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        until, times = time.perf_counter() + float(line), [0.0]
        while (began := time.perf_counter()) < until:
            place.make(job)
            times.append(time.perf_counter() - began)
        del times[0]
        print(json.dumps({"pictures": len(times), "mean": statistics.fmean(times), "most": max(times)}), file=out, flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
