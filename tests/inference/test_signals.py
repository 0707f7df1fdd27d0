"""The signals: known pictures, published formulas, the peers' results."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from skimage.measure import shannon_entropy

from inference import signals
from inference.engine import Pixels
from inference.signals import View, look, measure
from lightmeter.catalog import SIGNALS
from support.photos import NAMES, blurred, photograph, squared, static


def grey(level: int, side: int = 64) -> Pixels:
    return np.full((side, side, 3), level, dtype=np.uint8)


def halves(first: tuple[int, int, int], second: tuple[int, int, int]) -> Pixels:
    """Paint the left half in one colour and the right half in another."""
    picture = np.empty((64, 64, 3), dtype=np.uint8)
    picture[:, :32], picture[:, 32:] = first, second
    return picture


@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(16, 48), st.integers(16, 400), st.just(3)), fill=st.just(0)
    )
)
def test_range(picture: Pixels) -> None:
    """Whatever the picture and its shape, each signal is there and lies in 0..1."""
    found = measure(look(picture))

    assert SIGNALS == tuple(found)
    assert all(0 <= value <= 1 for value in found.values())


@pytest.mark.parametrize("level", [0, 51, 255])
def test_one_grey(level: int) -> None:
    """A picture of one grey has its brightness and no entropy, colour or sharpness."""
    found = measure(look(grey(level)))

    clipped = 1.0 if level in (0, 255) else 0.0
    assert pytest.approx(level / 255) == found["luma"]
    assert clipped == found["clipping"]
    assert (0, 0, 0) == (found["entropy"], found["colourfulness"], found["sharpness"])


def test_entropy() -> None:
    """Two greys in equal parts have one bit of eight."""
    assert pytest.approx(1 / 8) == signals.entropy(look(halves((9, 9, 9), (200, 200, 200))))


@pytest.mark.parametrize("name", NAMES)
def test_entropy_peer(name: str) -> None:
    """Entropy is the one that scikit-image gives for the same luma."""
    view = look(photograph(name))

    theirs = shannon_entropy(view.luma)  # type: ignore[no-untyped-call]  # upstream's
    assert pytest.approx(theirs / 8) == signals.entropy(view)


def test_colourfulness() -> None:
    """Red beside green: Hasler and Süsstrunk's formula worked out by hand."""
    red_and_green = look(halves((40, 0, 0), (0, 40, 0)))

    # Red less green is +-40: spread 40, mean 0. Yellow less blue is 20 throughout.
    assert pytest.approx((40 + 0.3 * 20) / 109) == signals.colourfulness(red_and_green)
    assert 1.0 == signals.colourfulness(look(halves((255, 0, 0), (0, 0, 255))))
    assert 0.0 == signals.colourfulness(look(grey(80)))


def test_size() -> None:
    """The same photograph at 512, 1024 and 2048 px reads alike in every signal."""
    image = Image.fromarray(photograph("astronaut.png"))
    found = [measure(look(np.asarray(squared(image, side)))) for side in (512, 1024, 2048)]

    for name in SIGNALS:
        values = [each[name] for each in found]
        assert max(values) - min(values) < 0.05, name


@pytest.mark.parametrize("share", [0.002, 0.004, 0.008])
def test_sharpness_falls(share: float) -> None:
    """The more a photograph is blurred, the less sharp it reads; whole, it is over a half."""
    picture = photograph("astronaut.png")

    sharp, soft, softer = (
        signals.sharpness(look(each))
        for each in (picture, blurred(picture, share), blurred(picture, share * 2))
    )
    assert sharp > 0.5
    assert sharp > soft > softer


def test_soft_background() -> None:
    """A picture with a soft background is not as soft as that."""
    picture = photograph("coffee.png", 1024)
    soft = blurred(picture, 0.03)
    subject = soft.copy()
    subject[400:600, 400:600] = picture[400:600, 400:600]

    whole, part, none = (signals.sharpness(look(each)) for each in (picture, subject, soft))
    assert whole > part > 0.2
    assert none < 0.01


@pytest.mark.parametrize("levels", [5.0, 20.0, 60.0])
def test_noise(levels: float) -> None:
    """Noise on grey is measured within a tenth of what was put on."""
    noise = np.random.default_rng(3).normal(0, levels, (512, 512, 1))
    picture = np.clip(grey(128, 512) + noise, 0, 255).astype(np.uint8)

    assert pytest.approx(levels, rel=0.1) == signals.noise(look(picture))


ODD: list[Callable[[View], float]] = [signals.noise, signals.relative_sharpness]


@pytest.mark.parametrize("signal", ODD)
@pytest.mark.parametrize("shape", [(16, 16), (16, 2048), (2048, 16), (17, 31)])
def test_odd_shapes(signal: Callable[[View], float], shape: tuple[int, int]) -> None:
    """The smallest and the longest pictures can be measured too."""
    assert signal(look(static(np.empty((*shape, 3), dtype=np.uint8)))) > 0
