"""The limit that physics sets: pictures a second against the peak of the tensor cores."""

from __future__ import annotations

import pytest

from lightmeter import roofline
from lightmeter.errors import SettingError


def test_picture() -> None:
    """A picture of 512x512 in 8 forwards takes about 110 TFLOP, as the founding figures say."""
    assert 1088 == roofline.tokens(512, 512)
    assert 4160 == roofline.tokens(1024, 1024)
    assert pytest.approx(110e12, rel=0.03) == roofline.picture_flop(512, 512, 8)
    assert 2 * 10 * (4 + 1) * 3 == roofline.picture_flop(32, 32, 3, parameters=10, caption_tokens=1)


def test_part_of_a_token() -> None:
    """A side that is no multiple of 16 takes whole tokens."""
    assert roofline.tokens(32, 48) == roofline.tokens(17, 33)


def test_impossible_claim() -> None:
    """30 pictures a second of 512x512 on two RTX 3090 cannot be: the limit is below two."""
    flop = roofline.picture_flop(512, 512, 8)
    claim = roofline.against(30, flop, roofline.gpu("RTX 3090"), 2)

    assert not claim.possible
    assert 1.2 < claim.limit < 1.4
    assert claim.ratio > 20


def test_possible() -> None:
    """A sixth of a picture a second on one RTX 3090 can be, and more GPUs raise the limit."""
    flop = roofline.picture_flop(512, 512, 8)
    one, four = (roofline.against(0.16, flop, roofline.gpu("RTX 3090"), n) for n in (1, 4))

    assert one.possible
    assert 0.2 < one.ratio < 0.3
    assert 4 * one.limit == four.limit


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("H100", "NVIDIA H100 80GB HBM3"),
        ("H100 PCIe", "NVIDIA H100 PCIe"),
        ("H200", "h200"),
        ("A100", "NVIDIA A100-SXM4-80GB"),
        ("A100", "A100 40GB"),
        ("A100", "NVIDIA A100-PCIE-40GB"),
        ("L40S", "NVIDIA L40S"),
        ("A10G", "NVIDIA A10G"),
        ("T4", "Tesla T4"),
        ("RTX 4090", "rtx4090"),
        ("RTX 3090", "NVIDIA GeForce RTX 3090"),
    ],
)
def test_gpu(name: str, spelled: str) -> None:
    """A GPU is found by the name that a person types or the driver tells."""
    assert name == roofline.gpu(spelled).name


@pytest.mark.parametrize("name", ["RTX 3080", "", "H10", "RTX 3090 Ti"])
def test_unknown_gpu(name: str) -> None:
    """A GPU without a known peak is refused with those that have one; none is guessed."""
    with pytest.raises(SettingError) as caught:
        roofline.gpu(name)

    assert f"GPU {name!r} is in no table" in str(caught.value)
    assert "RTX 4090" in str(caught.value)


def test_sources() -> None:
    """Every peak names where it comes from, and each GPU is found by its own name."""
    for known in roofline.GPUS:
        assert "https://" in known.source
        assert known is roofline.gpu(known.name)
