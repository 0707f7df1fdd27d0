"""What fits a device: learnt from a few batches, checked against many."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference import still, warmup
from inference.engine import Job, OutOfMemory, warmup_job
from inference.memory import MemoryModel, Shape
from inference.setup import Setup


GIB = 2**30
SIDES = (256, 512, 768, 1024, 1536, 2048)


def need(width: int, height: int, images: int) -> int:
    """Peak of a device whose weights take 20 GiB and whose decoder takes one picture at a time."""
    area = width * height / 1e6
    return round((20.3 + 0.9 * area * images + 1.4 * area + 0.1 * images) * GIB)


def taught(total: int = 40 * GIB) -> MemoryModel:
    """A model that has seen the warm-ups of a pipeline made for 1024 px."""
    model = MemoryModel(total, 20 * GIB)
    for (job,) in [*warmup.lessons(1024), [warmup_job(1024, 1)]]:
        shape = Shape.of(job.width, job.height, job.images)
        model.saw(shape, need(job.width, job.height, job.images))
    return model


def test_learns_quickly() -> None:
    """Four warm-ups are enough to foretell every other batch."""
    model = taught()

    for side, images in itertools.product(SIDES, (1, 2, 4, 8)):
        truth = need(side, side, images)
        assert truth == pytest.approx(model.predict(Shape.of(side, side, images)), rel=1e-6)


def test_never_below_what_was_seen() -> None:
    """Whatever noise the peaks have, no batch that was seen is foretold smaller than it was."""
    chance = random.Random(1)
    model = taught()
    seen: dict[Shape, int] = {}
    for _ in range(200):
        side, images = chance.choice(SIDES), chance.randint(1, 8)
        shape = Shape.of(side, side, images)
        seen[shape] = max(
            seen.get(shape, 0), round(need(side, side, images) * chance.uniform(0.98, 1.02))
        )
        model.saw(shape, seen[shape])

    for shape, peak in seen.items():
        assert peak <= model.predict(shape) + 1
        assert model.predict(shape) <= 1.25 * peak


@given(
    st.lists(
        st.tuples(
            st.integers(1, 128), st.integers(1, 8), st.integers(8 * GIB, 80 * GIB)
        ),
        max_size=12,
    ),
    st.lists(st.tuples(st.integers(1, 128), st.integers(1, 8)), max_size=4),
    st.tuples(st.integers(1, 128), st.integers(1, 8)),
)  # fmt: skip
def test_monotone(
    seen: list[tuple[int, int, int]], too_large: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    """Whatever was seen, a smaller or shorter batch never needs more, and fits if the larger does."""
    model = MemoryModel(40 * GIB, 8 * GIB)
    for sixteenths, images, peak in seen:
        model.saw(Shape.of(16 * sixteenths, 16, images), peak)
    for sixteenths, images in too_large:
        model.ran_out(Shape.of(16 * sixteenths, 16, images))
    sixteenths, images = asked
    shape = Shape.of(16 * sixteenths, 16, images)

    for less in (Shape.of(16 * sixteenths, 16, max(images - 1, 1)), Shape.of(16, 16, images)):
        assert model.predict(less) <= model.predict(shape)
        assert model.fits(less) or not model.fits(shape)


def test_limits_agree() -> None:
    """The largest side and the most pictures are the last that fit."""
    model = taught()
    for images in (1, 2, 4):
        side = model.largest_side(images)
        assert model.fits(Shape.of(side, side, images))
        assert not model.fits(Shape.of(side + 16, side + 16, images))
    for side in SIDES:
        most = model.most_images(side, side)
        assert not model.fits(Shape.of(side, side, most + 1))
        assert most == 0 or model.fits(Shape.of(side, side, most))
    assert need(1024, 1024, model.most_images(1024, 1024)) <= 40 * GIB


def test_guidance_counts_twice() -> None:
    """Under guidance the model runs twice for each picture, and half as many fit."""
    model = taught()

    assert model.most_images(1024, 1024) // 2 == model.most_images(1024, 1024, guided=True)


def test_ran_out() -> None:
    """What did not fit is not tried again, nor what is larger; once it fits, it is forgiven."""
    model = taught(total=200 * GIB)
    failed = Shape.of(1024, 1024, 4)
    model.ran_out(failed)

    assert 3 == model.most_images(1024, 1024)
    assert not model.fits(Shape.of(2048, 1024, 8))
    assert model.fits(Shape.of(2048, 2048, 3))
    model.saw(Shape.of(1024, 1024, 5), need(1024, 1024, 5))
    assert model.fits(failed)


def test_not_its_fault() -> None:
    """A batch that has fitted before is not held against itself: a neighbour had the memory."""
    model = taught(total=200 * GIB)
    model.saw(Shape.of(1024, 1024, 4), need(1024, 1024, 4))
    model.ran_out(Shape.of(1024, 1024, 2))

    assert model.fits(Shape.of(1024, 1024, 4))


def test_nothing_seen() -> None:
    """Before anything was seen everything is tried; a worker without a GPU has no model at all."""
    model = MemoryModel(10 * GIB, GIB)

    assert model.fits(Shape.of(2048, 2048, 8))
    assert MemoryModel.of({"memory_total_bytes": None, "memory_base_bytes": None}) is None


def test_explains() -> None:
    """The refusal says what is needed, what is there and what would fit."""
    text = taught(total=24 * GIB).explain(1536, 1536, 4)

    assert "1536x1536 at n=4 needs about 3" in text
    assert "24.0 GiB are there" in text
    assert "what fits is n=" not in text
    assert "x" in text.partition("what fits is ")[2]
    assert "what fits" not in MemoryModel.of({"memory_total_bytes": 1, "memory_base_bytes": 2, "memory_seen": []}).explain(16, 16, 1)  # type: ignore[union-attr]  # fmt: skip


def test_facts_travel() -> None:
    """A model can be rebuilt on the other side of the wire from what a worker says when ready."""
    model = taught()
    facts = {
        "memory_total_bytes": model.total_bytes,
        "memory_base_bytes": model.base_bytes,
        "memory_seen": [list(row) for row in model.seen],
    }
    twin = MemoryModel.of(facts)

    assert twin is not None
    for side, images in itertools.product(SIDES, (1, 4)):
        shape = Shape.of(side, side, images)
        assert model.predict(shape) == twin.predict(shape)


@pytest.mark.parametrize("cap", ["", "12GiB", "0.75"])
def test_stand_in(cap: str) -> None:
    """The stand-in's memory can be learnt like a GPU's, and the limits found are its real ones."""
    loaded = still.load(Setup(vram_cap=cap))
    seen = warmup.warm_up(loaded.engine, warmup.lessons(1024))
    model = MemoryModel.of(
        {
            "memory_total_bytes": loaded.memory_total_bytes,
            "memory_base_bytes": loaded.memory_base_bytes,
            "memory_seen": seen,
        }
    )
    assert model is not None
    side, most = model.largest_side(1), model.most_images(512, 512)

    for job, fits in ((square(side, 1), True), (square(side + 16, 1), False), (square(512, most), True), (square(512, most + 1), False)):  # fmt: skip
        if fits:
            loaded.engine.generate([job], lambda: False)
        else:
            with pytest.raises(OutOfMemory):
                loaded.engine.generate([job], lambda: False)


def square(side: int, images: int) -> Job:
    return warmup_job(side, 1, images)


def test_warm_up_survives() -> None:
    """A size that does not fit costs its warm-up, not the server; if none fits, loading fails."""
    loaded = still.load(Setup(vram_cap="9GiB"))
    large, small = square(2048, 1), square(512, 1)

    assert [(512 * 512, 1)] == [
        row[:2] for row in warmup.warm_up(loaded.engine, [[large], [small]])
    ]
    with pytest.raises(OutOfMemory, match="2048x2048"):
        warmup.warm_up(loaded.engine, [[large]])
