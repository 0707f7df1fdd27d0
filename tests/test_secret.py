"""Secrets in files: what is taken, and what is refused without being shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lightmeter import secret
from lightmeter.errors import SettingError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "held"


def test_taken(path: Path) -> None:
    """An editor's blanks and empty lines around a token do no harm; no file is no token."""
    path.write_text("\n  t0ken-of-ours \r\n\n")

    assert "t0ken-of-ours" == secret.word(path) == secret.first(path) == secret.line(path)
    assert ["", "", ""] == [read(None) for read in (secret.word, secret.first, secret.line)]


def test_phrase(path: Path) -> None:
    """What signs may be a phrase; what stands in a header may not."""
    path.write_text("correct horse\n")

    assert "correct horse" == secret.line(path)
    with pytest.raises(SettingError, match="must hold one token and nothing else"):
        secret.word(path)


def test_changing(path: Path) -> None:
    """Who shows a token out of a scaler's file that lists an old one too takes the first."""
    path.write_text("new-token-of-ours\nold-token-of-ours\n")

    assert "new-token-of-ours" == secret.first(path)
    assert ["new-token-of-ours", "old-token-of-ours"] == secret.lines(path)


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (secret.word, None, "token file '{}' does not exist"),
        (secret.word, "", "token file '{}' must hold one token and nothing else"),
        (secret.word, "one\ntwo", "token file '{}' must hold one token and nothing else"),
        (secret.word, "schlüssel", "token file '{}' is no ASCII text"),
        (secret.word, "a\x07b", "token file '{}' must hold one token and nothing else"),
        (secret.line, "", "secret file '{}' must hold one line"),
        (secret.line, "one\ntwo", "secret file '{}' must hold one line"),
        (secret.line, "a\x07b", "secret file '{}' must hold one line"),
        (secret.first, "", "token file '{}' is empty; it must hold the token"),
        (secret.first, "a b", "token file '{}' must hold one token and nothing else"),
    ],
)
def test_refused(path: Path, read: Callable[[Path], str], text: str | None, said: str) -> None:
    """A file that is of no use is named with what is wrong; what is in it never."""
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingError) as error:
        read(path)

    assert said.format(path) == str(error.value)


def test_too_short(path: Path) -> None:
    """A key that could be guessed is refused with the command that makes a better one."""
    path.write_text("brief")
    with pytest.raises(SettingError) as error:
        secret.word(path, "admin key", least=16)

    assert f"admin key file {str(path)!r} must hold one admin key of 16 visible characters or more; make one with `openssl rand -hex 32`" == str(error.value)  # fmt: skip
