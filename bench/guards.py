"""Guards and signals of one picture of 1024 x 1024 pixels, beside what others offer for the same.

CPU time of the one thread that does it, median of many rounds, on a photograph of scikit-image.
Peers that are not installed are said to be so.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from bench import common
from inference import guards, signals
from inference.engine import Pixels


SIDE, ROUNDS, SLOW_ROUNDS = 1024, 60, 7
MOST_MILLISECONDS = 8.0
Peer = tuple[str, Callable[[], object] | None]


def main() -> None:
    """Time each signal, the hash and everything together."""
    args = common.arguments(__doc__)
    common.support()
    from support.photos import photograph

    picture = photograph("astronaut.png", SIDE)
    rows = list(_rows(picture))
    whole = rows[-1]["alone ms"]
    failures = []
    if whole > MOST_MILLISECONDS:
        failures.append(f"everything took {whole:.2f} ms, the limit is {MOST_MILLISECONDS:g} ms")
    common.finish(args, common.machine("numpy", "pillow", "scikit-image"), rows, failures)


def _rows(picture: Pixels) -> Iterator[dict[str, Any]]:
    luma = signals.look(picture).luma
    measure, restoration = "skimage.measure", "skimage.restoration"
    peers: list[tuple[Callable[[signals.View], object], Peer]] = [
        (signals.luma, ("", None)),
        (signals.clipping, ("", None)),
        (signals.entropy, _peer(measure, "shannon_entropy", luma)),
        (signals.colourfulness, ("the formula on every pixel", lambda: _formula(picture))),
        (signals.sharpness, _peer(measure, "blur_effect", luma)),
        (signals.noise, _peer(restoration, "estimate_sigma", luma, needs="pywt")),
        (guards.perceptual_hash, _peer("imagehash", "phash", Image.fromarray(picture))),
    ]
    for part, peer in peers:
        yield _row(part, peer, picture)
    whole = _time(lambda: guards.examine(picture, nan=False), ROUNDS)
    yield {"what": "everything", "added ms": "", "alone ms": whole, "peer": "", "peer ms": "", "ratio": ""}  # fmt: skip


def _row(part: Callable[[signals.View], object], peer: Peer, picture: Pixels) -> dict[str, Any]:
    """Time a part by itself, with the look that it needs, and added to the others."""
    view = signals.look(picture)
    alone = _time(lambda: part(signals.look(picture)), ROUNDS)
    name, work = peer
    theirs = _time(work, SLOW_ROUNDS) if work else None
    return {
        "what": part.__name__,
        "added ms": _time(lambda: part(view), ROUNDS),
        "alone ms": alone,
        "peer": name,
        "peer ms": theirs or "",
        "ratio": theirs / alone if theirs else "",
    }


def _time(work: Callable[[], object], rounds: int) -> float:
    """Return the median CPU time in milliseconds, after one round that warms up."""
    work()
    taken = []
    for _ in range(rounds):
        began = time.thread_time()
        work()
        taken.append(time.thread_time() - began)
    return statistics.median(taken) * 1000


def _peer(module: str, name: str, *arguments: Any, needs: str = "") -> Peer:
    """Take a peer's function, if it and what it ``needs`` are installed."""
    label = f"{module}.{name}"
    for needed in (module.partition(".")[0], needs or module.partition(".")[0]):
        if importlib.util.find_spec(needed) is None:
            return f"{label} ({needed} is not installed)", None
    function = getattr(importlib.import_module(module), name)
    return label, lambda: function(*arguments)


def _formula(picture: Pixels) -> float:
    """Work out colourfulness from every pixel."""
    red, green, blue = np.moveaxis(picture.astype(np.float32), -1, 0)
    rg, yb = red - green, (red + green) / 2 - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


if __name__ == "__main__":
    main()
