"""The guards: silent on photographs, loud on broken ones, and about pictures made before."""

from __future__ import annotations

import io
import json
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference import guards
from inference.engine import Pixels
from inference.guards import (
    DUPLICATE_BITS,
    Action,
    Duplicates,
    Finding,
    decide,
    examine,
    perceptual_hash,
)
from inference.signals import look
from lightmeter.catalog import SIGNALS, Anomaly
from lightmeter.settings import Guard
from support.photos import BROKEN, NAMES, blurred, noised, photograph, static


EACH_PHOTOGRAPH = pytest.mark.parametrize("name", NAMES)


def anomalies(picture: Pixels, *, nan: bool = False) -> tuple[Anomaly, ...]:
    return examine(picture, nan=nan).anomalies


def hashed(picture: Pixels) -> int:
    return perceptual_hash(look(picture))


def bits(first: Pixels, second: Pixels) -> int:
    """Count the bits in which the hashes of two pictures differ."""
    return (hashed(first) ^ hashed(second)).bit_count()


@EACH_PHOTOGRAPH
@pytest.mark.parametrize("side", [None, 1024, 512, 256, 128, 64, 32, 16])
def test_photographs(name: str, side: int | None) -> None:
    """No photograph raises an alarm, in its own size or any other, down to 16 pixels."""
    assert () == anomalies(photograph(name, side))


@EACH_PHOTOGRAPH
@pytest.mark.parametrize("side", [None, 1024, 512])
@pytest.mark.parametrize("way", BROKEN)
def test_broken(name: str, side: int | None, way: str) -> None:
    """Each photograph, broken in each way, is found and called by the one right name."""
    kind, make = BROKEN[way]

    assert (kind,) == anomalies(make(photograph(name, side)))


@pytest.mark.parametrize("side", [16, 64, 128, 1024])
def test_nan(side: int) -> None:
    """A picture whose tensor was not finite counts as that, and not as black too."""
    assert (Anomaly.NAN,) == anomalies(photograph("coffee.png", side), nan=True)
    assert (Anomaly.NAN,) == anomalies(np.zeros((side, side, 3), np.uint8), nan=True)


@pytest.mark.parametrize(
    ("level", "kind"), [(0, Anomaly.BLACK), (40, Anomaly.FLAT), (255, Anomaly.FLAT)]
)
@pytest.mark.parametrize("shape", [(16, 16), (16, 512), (2048, 16)])
def test_small(level: int, kind: Anomaly, shape: tuple[int, int]) -> None:
    """A picture of one colour is found in the smallest and the longest sizes too."""
    assert (kind,) == anomalies(np.full((*shape, 3), level, np.uint8))


@pytest.mark.parametrize("side", [16, 32])
def test_abstains(side: int) -> None:
    """In a picture of a few pixels, noise and blur cannot be told from content, and are not."""
    assert () == anomalies(static(np.empty((side, side, 3), np.uint8)))
    assert () == anomalies(blurred(photograph("coffee.png", side), 0.04))


def night(exposure: float) -> Pixels:
    return np.asarray(photograph("astronaut.png") * exposure, np.uint8)


@pytest.mark.parametrize("exposure", [0.5, 0.25, 0.125])
def test_dark(exposure: float) -> None:
    """A photograph that is merely dark is not black."""
    assert () == anomalies(night(exposure))


def test_almost_empty() -> None:
    """A dot on white paper, a star in the night and two close colours are pictures."""
    paper = np.full((1024, 1024, 3), 255, np.uint8)
    paper[500:530, 500:530] = 0
    sky = np.zeros((1024, 1024, 3), np.uint8)
    sky[100:140, 100:140] = 255
    colours = np.full((512, 512, 3), 100, np.uint8)
    colours[:256, :, 0] = 110

    for picture in (paper, sky, colours):
        assert () == anomalies(picture)


@pytest.mark.parametrize("levels", [5, 10])
@EACH_PHOTOGRAPH
def test_grain(name: str, levels: float) -> None:
    """Film grain is no fault."""
    assert () == anomalies(noised(photograph(name, 1024), levels))


def test_soft_background() -> None:
    """A sharp subject before a soft background is no blurred picture."""
    picture = photograph("coffee.png", 1024)
    soft = blurred(picture, 0.03).copy()
    assert (Anomaly.BLUR,) == anomalies(soft)

    soft[400:600, 400:600] = picture[400:600, 400:600]
    assert () == anomalies(soft)


def test_facts() -> None:
    """What is told of a picture is JSON: its faults and each signal, no hash."""
    facts = json.loads(
        json.dumps(examine(static(np.empty((99, 99, 3), np.uint8)), nan=False).facts())
    )

    assert {"anomalies", "signals"} == facts.keys()
    assert ["noise"] == facts["anomalies"]
    assert list(SIGNALS) == list(facts["signals"])


def finding(*kinds: Anomaly) -> Finding:
    return Finding(anomalies=kinds)


@pytest.mark.parametrize(
    ("guard", "kind", "tries", "action"),
    [
        ("off", Anomaly.NAN, 1, Action.DELIVER),
        ("flag", Anomaly.NAN, 1, Action.DELIVER),
        ("retry", Anomaly.NAN, 1, Action.RETRY),
        ("retry", Anomaly.BLACK, 1, Action.RETRY),
        ("retry", Anomaly.BLACK, 2, Action.DELIVER),
        ("retry", Anomaly.BLUR, 1, Action.DELIVER),
        ("reject", Anomaly.BLACK, 1, Action.REJECT),
        ("reject", Anomaly.NAN, 2, Action.REJECT),
        ("reject", Anomaly.FLAT, 1, Action.DELIVER),
        ("reject", Anomaly.DUPLICATE, 1, Action.DELIVER),
    ],
)
def test_decide(guard: Guard, kind: Anomaly, tries: int, action: Action) -> None:
    """Only what no client can want is made again or refused; the rest is delivered, marked."""
    assert action is decide(guard, [finding(), finding(kind)], tries=tries)
    assert Action.DELIVER is decide(guard, [finding(), finding()], tries=tries)


@EACH_PHOTOGRAPH
def test_near(name: str) -> None:
    """Another size, a poor JPEG and a little noise leave the hash nearly as it was."""
    picture = photograph(name)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=20)

    assert bits(picture, np.asarray(Image.open(file))) <= DUPLICATE_BITS
    assert bits(picture, noised(picture, 8)) <= DUPLICATE_BITS
    half = Image.fromarray(picture).reduce(2)
    assert bits(picture, np.asarray(half)) <= DUPLICATE_BITS


def test_far() -> None:
    """Different photographs have hashes far apart; the two eyes of a stereo picture have not."""
    hashes = {name: hashed(photograph(name)) for name in NAMES}
    eye, other = "motorcycle_left.png", "motorcycle_right.png"
    distances = [
        (hashes[a] ^ hashes[b]).bit_count()
        for a in NAMES
        for b in NAMES
        if a < b and (a, b) != (eye, other)
    ]

    assert min(distances) > 4 * DUPLICATE_BITS
    assert (hashes[eye] ^ hashes[other]).bit_count() <= DUPLICATE_BITS


COFFEE, CAT = 0x0F0F_0F0F_0F0F_0F0F, 0x3333_3333_3333_3333
"""Two hashes that are far apart."""


def test_duplicate() -> None:
    """Another seed that gives nearly the same picture is a duplicate; another picture is none."""
    duplicates = Duplicates()

    assert not duplicates.seen("a cup", 1, COFFEE)
    assert not duplicates.seen("a cup", 2, CAT)
    assert duplicates.seen("a cup", 3, COFFEE ^ 0b1111)
    assert not duplicates.seen("a cup", 4, COFFEE ^ 0b11111 << 20)


def test_repetition() -> None:
    """The same seed again is a repetition, as asked, however often."""
    duplicates = Duplicates()

    assert [False] * 40 == [duplicates.seen("a cup", 1, COFFEE) for _ in range(40)]


def test_other_prompt() -> None:
    """Pictures of different prompts are not compared."""
    duplicates = Duplicates()
    duplicates.seen("a cup", 1, COFFEE)

    assert not duplicates.seen("a mug", 2, COFFEE)


def test_bounded() -> None:
    """The oldest pictures of a prompt are forgotten, and the prompts not used for longest."""
    duplicates = Duplicates(prompts=2, pictures=2)
    for seed, phash in enumerate((COFFEE, CAT, ~CAT & 2**64 - 1)):
        duplicates.seen("a cup", seed, phash)
    assert not duplicates.seen("a cup", 9, COFFEE)  # two others came since

    duplicates.seen("a mug", 1, COFFEE)
    duplicates.seen("a cup", 10, CAT)
    duplicates.seen("a jug", 1, COFFEE)
    assert not duplicates.seen("a mug", 2, COFFEE)  # two prompts were used since
    assert 2 == len(duplicates._seen)
    assert all(len(pictures) <= 2 for pictures in duplicates._seen.values())


def test_private() -> None:
    """Neither a prompt nor a hash of it that others could make is kept."""
    first, second = Duplicates(), Duplicates()
    for duplicates in (first, second):
        duplicates.seen("my secret wish", 1, COFFEE)

    assert b"secret" not in pickle.dumps(dict(first._seen))
    assert first._seen.keys().isdisjoint(second._seen.keys())


def test_threads() -> None:
    """Many threads at once neither fail nor exceed the bounds."""
    duplicates = Duplicates(prompts=8, pictures=4)
    failed: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for seed in range(start, start + 500):
                duplicates.seen(f"prompt {seed % 16}", seed, seed)
        except BaseException as error:  # noqa: BLE001  (handed to the test)
            failed.append(error)

    threads = [threading.Thread(target=work, args=(1000 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == failed
    assert 8 == len(duplicates._seen)
    assert all(len(pictures) <= 4 for pictures in duplicates._seen.values())


def test_documented() -> None:
    """The page on guards names every fault and signal, and the thresholds that the code has."""
    page = (Path(__file__).parents[2] / "docs" / "guards.md").read_text()
    shown = (
        f"darker than {guards.BLACK_LEVEL} of 255",
        f"{guards.BLACK_SHARE:.1%}".replace("%", " %"),
        f"standard deviation of {guards.FLAT_LEVELS:g} levels",
        f"noise of {guards.NOISE_LEVELS:g} levels",
        f"sharpness of {guards.BLUR_SHARPNESS:g}",
        f"under {guards.NOISE_SIDE} pixels, the one for blur under {guards.BLUR_SIDE}",
    )

    assert [] == [name for name in (*Anomaly, *SIGNALS) if f"| `{name}` |" not in page]
    assert [] == [text for text in shown if text not in page]
