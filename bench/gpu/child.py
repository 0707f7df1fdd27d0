"""The process in which rows are measured, one after the other, as they are asked for.

``python -m bench.gpu.child DEVICE WORK``: on stdin a JSON line for each row, its name and the seconds
there are; on stdout a JSON line for each line of its table, then how it ended. It ends with stdin.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from bench.gpu.place import Measure, Place, Waiting
from bench.gpu.table import BY_NAME


def main() -> None:
    """Measure what is asked for."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print belongs to the log
    place = Place(sys.argv[1], Path(sys.argv[2]))
    for line in sys.stdin:
        asked = json.loads(line)
        place.until = time.monotonic() + asked["seconds"]
        for told in _measure(asked["row"], place):
            out.write(json.dumps(told) + "\n")
            out.flush()


def _measure(name: str, place: Place) -> Any:
    module, _, function = BY_NAME[name].measure.partition(":")
    try:
        measure: Measure = getattr(importlib.import_module(module), function)
        for line in measure(place):
            yield {"line": line}
    except Waiting as reason:
        yield {"end": "waiting", "reason": str(reason)}
    except (Exception, SystemExit) as error:  # noqa: BLE001  (process edge: a row that fails must not end the others)
        traceback.print_exc()
        said = " ".join(str(error).split())[:300]
        yield {"end": "waiting", "reason": f"it failed: {type(error).__name__}: {said}"}
    else:
        yield {"end": "measured"}


if __name__ == "__main__":
    main()
