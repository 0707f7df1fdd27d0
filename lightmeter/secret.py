"""Secrets, each in a file of its own: read the same way everywhere, and never shown."""

from __future__ import annotations

from pathlib import Path

from lightmeter.errors import SettingError, explain


def lines(path: Path, what: str = "token") -> list[str]:
    """Read the lines of a file that say something, without the blanks around them.

    Raises:
        SettingError: naming the file and what is wrong, never what is in it.
    """
    name = _name(path, what)
    try:
        text = path.read_text(encoding="ascii")
    except OSError as error:
        raise SettingError(f"{name} {explain(error)}") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"{name} is no ASCII text") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def line(path: Path | None, what: str = "secret") -> str:
    """Read a secret of one line, which may have blanks in it; without a file it is empty.

    Raises:
        SettingError: as `lines`, or there is not just one line.
    """
    if path is None:
        return ""
    found = lines(path, what)
    if len(found) != 1 or not found[0].isprintable():
        raise SettingError(f"{_name(path, what)} must hold one line")
    return found[0]


def word(path: Path | None, what: str = "token", *, least: int = 1) -> str:
    """Read a secret as it stands in a header, of ``least`` characters; without a file it is empty.

    Raises:
        SettingError: as `lines`, or it is none or too short.
    """
    return fit("\n".join(lines(path, what)), _name(path, what), what, least=least) if path else ""


def first(path: Path | None, what: str = "token") -> str:
    """Read the first of the tokens that somebody else's file lists; without a file it is empty.

    Raises:
        SettingError: as `lines`, or it is none.
    """
    if path is None:
        return ""
    found = lines(path, what)
    if not found:
        raise SettingError(f"{_name(path, what)} is empty; it must hold the {what}")
    return fit(found[0], _name(path, what), what)


def fit(text: str, name: str, what: str = "token", *, least: int = 1) -> str:
    """Return a secret if a header can hold it: visible ASCII without blanks; ``name`` is its place.

    Raises:
        SettingError: it cannot, or it has fewer than ``least`` characters.
    """
    found = text.strip()
    if len(found) < least or not all("!" <= letter <= "~" for letter in found):
        more = f" of {least} visible characters or more; make one with `openssl rand -hex 32`"
        raise SettingError(f"{name} must hold one {what}{more if least > 1 else ' and nothing else'}")  # fmt: skip
    return found


def bearer(token: str) -> dict[str, str]:
    """Make the header that shows a token; without one there is none."""
    return {"authorization": f"Bearer {token}"} if token else {}


def _name(path: Path, what: str) -> str:
    return f"{what} file {str(path)!r}"
