"""What the guards say about good pictures and about the same ones broken, in shares.

The photographs of scikit-image, in four sizes; and every picture under $LIGHTMETER_PICTURES, if
that names a folder: run it on your own model's pictures before you act on an alarm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from bench import common
from inference.engine import Pixels
from inference.guards import examine
from lightmeter.catalog import Anomaly


SIDES = (None, 1024, 512, 64, 16)
Make = Callable[[Pixels], Pixels]


def main() -> None:
    """Examine every picture, whole and broken; fail on a false alarm in a photograph."""
    args = common.arguments(__doc__)
    common.support()
    sets = [("photographs", *each) for each in _photographs()]
    folder = os.environ.get("LIGHTMETER_PICTURES")
    if folder:
        sets.append((Path(folder).name, "own", list(_pictures(Path(folder)))))
    rows = [_row(*each) for each in sets]
    alarms = [f"{row['pictures']} at {row['side']} px: {row['false alarms']}" for row in rows]
    failures = [
        f"false alarms in {text}"
        for text, row in zip(alarms, rows, strict=True)
        if row["pictures"] == "photographs" and row["false alarms"] != "none"
    ]
    common.finish(args, common.machine("numpy", "pillow", "scikit-image"), rows, failures)


def _photographs() -> Iterator[tuple[str, list[Pixels]]]:
    from support import photos

    for side in SIDES:
        yield str(side or "own"), [photos.photograph(name, side) for name in photos.NAMES]


def _pictures(folder: Path) -> Iterator[Pixels]:
    for path in sorted(folder.rglob("*")):
        try:
            yield np.asarray(Image.open(path).convert("RGB"))
        except (UnidentifiedImageError, IsADirectoryError):
            continue


def _row(name: str, side: str, pictures: list[Pixels]) -> dict[str, Any]:
    from support import photos

    noises = {f"noise {levels}": _noise(levels) for levels in (25, 50, 75)}
    blurs = {f"blur {share:.1%}": _blur(share) for share in (0.004, 0.008, 0.012, 0.016)}
    shares = {label: _share(pictures, make, Anomaly.NOISE) for label, make in noises.items()}
    shares |= {label: _share(pictures, make, Anomaly.BLUR) for label, make in blurs.items()}
    shares["static"] = _share(pictures, photos.static, Anomaly.NOISE)
    said = [kind for each in pictures for kind in examine(each, nan=False).anomalies]
    alarms = ", ".join(f"{said.count(kind)} {kind}" for kind in Anomaly if kind in said)
    return {
        "pictures": name,
        "side": side,
        "number": len(pictures),
        "false alarms": alarms or "none",
        **shares,
    }


def _noise(levels: int) -> Make:
    from support import photos

    return lambda picture: photos.noised(picture, levels)


def _blur(share: float) -> Make:
    from support import photos

    return lambda picture: photos.blurred(picture, share)


def _share(pictures: list[Pixels], make: Make, kind: Anomaly) -> str:
    found = sum(kind in examine(make(each), nan=False).anomalies for each in pictures)
    return f"{found / len(pictures):.0%}"


if __name__ == "__main__":
    main()
