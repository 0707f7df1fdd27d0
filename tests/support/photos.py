"""Real photographs, and what goes wrong with pictures."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from inference.engine import Pixels
from lightmeter.catalog import Anomaly


NAMES = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png",
    "coffee.png", "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png",
    "moon.png", "motorcycle_left.png", "motorcycle_right.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
"""The photographs of scikit-image's wheel whose shorter side has 300 pixels and more."""


@cache
def photograph(name: str, side: int | None = None) -> Pixels:
    """Read a photograph as (h, w, 3) uint8, in its own size or as a square of ``side`` pixels."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("scikit-image is not installed; make test")
    image = Image.open(Path(spec.origin).parent / "data" / name).convert("RGB")
    return np.asarray(image if side is None else squared(image, side))


def squared(image: Image.Image, side: int) -> Image.Image:
    """Resize to a square."""
    return image.resize((side, side), Image.Resampling.LANCZOS)


def noised(picture: Pixels, levels: float = 64.0) -> Pixels:
    """Add Gaussian noise to each pixel and channel."""
    noise = np.random.default_rng(1).normal(0, levels, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def static(picture: Pixels) -> Pixels:
    """Return nothing but noise of that shape."""
    return np.random.default_rng(2).integers(0, 256, picture.shape, dtype=np.uint8)


def blurred(picture: Pixels, share: float = 0.016) -> Pixels:
    """Blur with a Gaussian whose standard deviation is a share of the longer side."""
    radius = share * max(picture.shape)
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def filled(level: int) -> Callable[[Pixels], Pixels]:
    """Fill a picture's shape with one grey."""
    return lambda picture: np.full_like(picture, level)


BROKEN: dict[str, tuple[Anomaly, Callable[[Pixels], Pixels]]] = {
    "all zeros": (Anomaly.BLACK, filled(0)),
    "nearly black": (Anomaly.BLACK, filled(6)),
    "grey": (Anomaly.FLAT, filled(127)),
    "white": (Anomaly.FLAT, filled(255)),
    "noise of 64 levels": (Anomaly.NOISE, noised),
    "nothing but noise": (Anomaly.NOISE, static),
    "blur of 1.6 % of the side": (Anomaly.BLUR, blurred),
    "blur of 4 % of the side": (Anomaly.BLUR, lambda picture: blurred(picture, 0.04)),
}
"""Ways to break a picture, each with what the guards should call it."""
