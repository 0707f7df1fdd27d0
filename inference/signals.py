"""Signals of one picture that need no weights: what it looks like to a light meter, not if it is good.

Each is scaled to 0..1 for one histogram; their names are `catalog.SIGNALS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from inference.engine import Pixels
from lightmeter.catalog import SIGNALS


LOOK_SIDE = 256
"""Pixels. What depends on scale is measured with the shorter side brought near this, so that a
picture of 512 px and the same one of 2048 px read alike. Smaller pictures are not enlarged."""
TILES = 8
"""Rows and columns of tiles in which sharpness is looked for."""
EXTREMELY_COLOURFUL = 109.0
"""The highest of the seven verdicts of people in Hasler and Süsstrunk, Measuring colourfulness in
natural images (2003), table 2; https://infoscience.epfl.ch/record/33994."""
_ROUNDING = 20 / 12
"""Energy that rounding to whole levels leaves in the Laplacian: 20, the sum of its squared
weights, times the variance of rounding, 1/12."""
Plane = npt.NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """A picture as the signals and guards look at it, prepared once.

    ``luma`` is (h, w) uint8 by ITU-R BT.601, ``shares`` (256,) is the share of the pixels at each
    level of it; ``small`` and ``small_luma`` are (3, h/k, w/k) and (h/k, w/k) float32 in 0..255,
    averaged over k x k pixels so that the shorter side comes near `LOOK_SIDE`.
    """

    luma: Pixels
    shares: npt.NDArray[np.float64]
    small: Plane
    small_luma: Plane


def look(picture: Pixels) -> View:
    """Prepare a picture (h, w, 3) uint8."""
    image = Image.fromarray(picture)
    luma = image.convert("L")
    small = image.reduce(max(1, round(min(image.size) / LOOK_SIDE)))
    return View(
        luma=np.asarray(luma),
        shares=np.array(luma.histogram()) / luma.width / luma.height,
        small=np.stack([np.asarray(band, dtype=np.float32) for band in small.split()]),
        small_luma=np.asarray(small.convert("L"), dtype=np.float32),
    )


def measure(view: View) -> dict[str, float]:
    """Return every signal by name, each 0..1."""
    found = (luma(view), sharpness(view), entropy(view), colourfulness(view), clipping(view))
    return dict(zip(SIGNALS, found, strict=True))


def luma(view: View) -> float:
    """Mean brightness: 0 is black, 1 white."""
    return float(view.shares @ np.arange(256)) / 255


def sharpness(view: View) -> float:
    """Relative sharpness s as s / (1 + s): under 0.03 nothing is sharp; photographs have about 0.7."""
    relative = relative_sharpness(view)
    return relative / (1 + relative)


def relative_sharpness(view: View) -> float:
    """Energy of the Laplacian where the picture is sharpest, over the picture's variance; 0 and up.

    The Laplacian's energy is the focus measure LAPV of Pertuz et al., Analysis of focus measure
    operators (2013), https://doi.org/10.1016/j.patcog.2012.11.011. Over the variance, contrast
    drops out; of the sharpest tile, a picture with a soft background is as sharp as its subject.
    """
    energy = _tile_means(laplacian(view.small_luma) ** 2).max() - _ROUNDING
    return max(0.0, float(energy)) / (1 + float(view.small_luma.var()))


def laplacian(plane: Plane) -> Plane:
    """Return four times each pixel less its neighbours, for all but the rim."""
    inner: Plane = 4 * plane[1:-1, 1:-1]
    inner -= plane[1:-1, :-2] + plane[1:-1, 2:] + plane[:-2, 1:-1] + plane[2:, 1:-1]
    return inner


def _tile_means(plane: Plane) -> Plane:
    side = max(1, min(plane.shape) // TILES)
    rows, columns = (length // side for length in plane.shape)
    whole = plane[: rows * side, : columns * side].reshape(rows, side, columns, side)
    means: Plane = whole.mean(axis=(1, 3))
    return means


def entropy(view: View) -> float:
    """Shannon entropy of the luma levels, of the 8 bits that 256 levels could have."""
    used = view.shares[view.shares > 0]
    return abs(float(used @ np.log2(used))) / 8


def colourfulness(view: View) -> float:
    """Hasler and Süsstrunk's colourfulness: 0 is grey, 1 what people call extremely colourful."""
    red, green, blue = view.small
    spread, mean = zip(*map(_moments, (red - green, (red + green) / 2 - blue)), strict=True)
    return min(1.0, float(np.hypot(*spread) + 0.3 * np.hypot(*mean)) / EXTREMELY_COLOURFUL)


def _moments(plane: npt.NDArray[Any]) -> tuple[float, float]:
    return float(plane.std()), float(plane.mean())


def clipping(view: View) -> float:
    """Share of pixels at either end of the range, where detail is lost."""
    return float(view.shares[0] + view.shares[-1])


def noise(view: View) -> float:
    """Estimate the standard deviation of pixel noise, levels of 255.

    Immerkær, Fast noise variance estimation (1996), https://doi.org/10.1006/cviu.1996.0060: the
    mean absolute response to a mask that straight edges leave at 0. Some 64 strips of three rows
    are looked at, as noise is everywhere (0.1 ms at 1024 px; the whole picture would take 1.8 ms).
    """
    strips = view.luma[: len(view.luma) // 3 * 3].reshape(-1, 3, view.luma.shape[1])
    taken = strips[:: max(1, len(strips) // 64)].astype(np.int16)
    down = taken[:, 0] - 2 * taken[:, 1] + taken[:, 2]
    across = down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]
    return float(np.abs(across).mean() * np.sqrt(np.pi / 2) / 6)
