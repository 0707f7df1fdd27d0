"""Durations, bytes and money, in and out."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmeter import units
from lightmeter.errors import SettingError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "250ms"),
        (30.0, "30s"),
        (300.0, "5m"),
        (5400.0, "1.5h"),
        (172800.0, "2d"),
        (45.0, "45"),
        (0.0, "0s"),
        (30.0, " 30s "),
    ],
)
def test_parse_duration(seconds: float, text: str) -> None:
    """A duration is a number with its unit; a bare number is seconds."""
    assert seconds == units.parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", "s", "-5s", "5 minutes", "5M", "1e3", "nan", "inf", "1h30m", ".5s", "5s\n5s"]
)
def test_parse_duration_refused(text: str) -> None:
    """What is no duration is refused with the text and the forms that work."""
    with pytest.raises(SettingError) as caught:
        units.parse_duration(text)

    assert repr(text) in str(caught.value)
    assert "30s, 5m, 1.5h" in str(caught.value)


@given(st.integers(0, 10**6), st.sampled_from([("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]))
def test_parse_duration_any(count: int, unit: tuple[str, int]) -> None:
    """Every whole count of a unit is that many of its seconds."""
    assert count * unit[1] == units.parse_duration(f"{count}{unit[0]}")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0 ms", 0),
        ("0.25 ms", 0.00025),
        ("21.4 ms", 0.02141),
        ("999 ms", 0.9994),
        ("1 s", 0.9996),
        ("1.07 s", 1.0684),
        ("99.9 s", 99.94),
        ("1 min 40 s", 99.96),
    ],
)
def test_show_latency(text: str, seconds: float) -> None:
    """A latency has three digits in the unit that suits it."""
    assert text == units.show_latency(seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0 ms", 0),
        ("40 ms", 0.04),
        ("999 ms", 0.999),
        ("1.0 s", 1),
        ("12.3 s", 12.34),
        ("99.9 s", 99.9),
        ("1 min 40 s", 100),
        ("4 min 05 s", 245),
        ("59 min 59 s", 3599),
        ("1.0 h", 3600),
        ("47.9 h", 47.9 * 3600),
        ("2.0 days", 48 * 3600),
        ("16.3 days", 16.3 * 86400),
    ],
)
def test_show_duration(text: str, seconds: float) -> None:
    """Seconds are shown in the unit that a person would say them in."""
    assert text == units.show_duration(seconds)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0 B", 0),
        ("1023 B", 1023),
        ("1.0 KiB", 1024),
        ("1.5 MiB", 1.5 * 1024**2),
        ("16.0 GiB", 16 * 1024**3),
        ("2.0 TiB", 2 * 1024**4),
        ("2048.0 TiB", 2 * 1024**5),
        ("-1.0 KiB", -1024),
    ],
)
def test_show_bytes(text: str, count: float) -> None:
    """Bytes are shown in powers of 1024, named as such."""
    assert text == units.show_bytes(count)


@pytest.mark.parametrize(("text", "ratio"), [("0.0 %", 0), ("91.7 %", 0.9167), ("100.0 %", 1)])
def test_show_ratio(text: str, ratio: float) -> None:
    """A ratio is shown as a percentage."""
    assert text == units.show_ratio(ratio)


@pytest.mark.parametrize(
    ("rounded", "amount"),
    [("0.01", "0.005"), ("0.00", "0.0049"), ("2.68", "2.675"), ("-0.01", "-0.005")],
)
def test_cents(rounded: str, amount: str) -> None:
    """Money is rounded to cents half up, as invoices are."""
    assert Decimal(rounded) == units.cents(Decimal(amount))


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("USD 0.00", "0"),
        ("USD 12.35", "12.345"),
        ("USD 999.99", "999.99"),
        ("USD 1,000", "1000"),
        ("USD 114,117", "114116.52"),
        ("USD -1,234", "-1234.4"),
    ],
)
def test_show_money(text: str, amount: str) -> None:
    """Money has its currency, cents below a thousand and none above."""
    assert text == units.show_money(Decimal(amount), "USD")


@pytest.mark.parametrize(
    ("text", "count"), [("1 GPU", 1), ("7 GPUs", 7), ("0 GPUs", 0), ("1,200 GPUs", 1200)]
)
def test_counted(text: str, count: int) -> None:
    """A count has its noun in the right number."""
    assert text == units.counted(count, "GPU")


def test_megapixels() -> None:
    """A megapixel is a million pixels."""
    assert 1.048576 == units.megapixels(1024, 1024)


@pytest.mark.parametrize(
    ("address", "host"),
    [("http://127.0.0.1:7860", "127.0.0.1"), ("http://[::1]:7860", "::1")],
)
def test_url(address: str, host: str) -> None:
    """An IPv6 address gets the brackets that a browser needs."""
    assert address == units.url(host, 7860)


def test_month() -> None:
    """The month of a price list is the mean month of a year."""
    assert units.HOURS_PER_MONTH == 365 * 24 / 12


@pytest.mark.parametrize(
    ("text", "count"), [("3GiB", 3 * 2**30), ("1.5 MiB", 1_572_864), (" 2KiB ", 2048)]
)
def test_parse_bytes(text: str, count: int) -> None:
    """Sizes are read in powers of 1024, as they are shown."""
    assert count == units.parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "count"), [("0.5", 500), ("1", 1000), ("100 KiB", 1000), (".25", 250)]
)
def test_parse_part(text: str, count: int) -> None:
    """A part is a share or a size, and never more than the whole."""
    assert count == units.parse_part(text, 1000)


@pytest.mark.parametrize("text", ["", "0", "-1", "2", "nan", "inf", "3 gigs", "3GB", "1e999"])
def test_no_part(text: str) -> None:
    """What is no part of anything is refused, with a way to write it."""
    with pytest.raises(SettingError, match="write it like 3GiB"):
        units.parse_part(text, 1000)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        ("ftp://***@host/x", "ftp://user:hunter2@host/x"),
        ("https://***@[::1]:9400/metrics", "https://token@[::1]:9400/metrics"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("http://host/p?to=a@b", "http://host/p?to=a@b"),
        ("a@b.org", "a@b.org"),
    ],
)
def test_without_password(shown: str, text: str) -> None:
    """The login in a URL is hidden, and nothing else of a text."""
    assert shown == units.without_password(text)
