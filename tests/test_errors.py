"""The tree of errors, and the words that every refusal is made of."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from lightmeter import errors
from lightmeter.errors import InputError, LightmeterError, OutsideError, explain, nearest


def drawn() -> dict[str, tuple[str, int]]:
    """Read the tree in the module's docstring: each class with its parent and exit code."""
    found: dict[str, tuple[str, int]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w*Error)\b(?:.*exit code (\d))?", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parent = path[depth - 1] if depth else "Exception"
            inherited = found[parent][1] if depth else 1
            found[match[2]] = (parent, int(match[3] or inherited))
    return found


def real() -> dict[str, tuple[str, int]]:
    """Ask Python for the same."""
    return {
        name: (kind.__base__.__name__, kind.exit_code)
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, LightmeterError) and kind.__base__
    }


def test_tree() -> None:
    """The tree that the module draws is the tree there is, exit codes included."""
    assert drawn() == real()


def test_exit_codes() -> None:
    """Bad input ends with 2, trouble outside with 3."""
    assert 2 == InputError.exit_code
    assert 3 == OutsideError.exit_code


def test_documented() -> None:
    """Every error says in one sentence what it means."""
    for name in real():
        assert (vars(errors)[name].__doc__ or "").endswith(".")


def refuse_missing(folder: Path) -> None:
    """Read what is not there."""
    (folder / "absent").read_text()


def refuse_folder(folder: Path) -> None:
    """Read a folder as a file."""
    folder.read_text()


def refuse_file(folder: Path) -> None:
    """Use a file as a folder."""
    (folder / "file").write_text("x")
    (folder / "file" / "inner").mkdir()


def refuse_port(_: Path) -> None:
    """Listen where another socket listens."""
    with socket.create_server(("127.0.0.1", 0)) as other, socket.socket() as late:
        late.bind(other.getsockname())


def refuse_address(_: Path) -> None:
    """Listen on an address of TEST-NET-1, https://www.rfc-editor.org/rfc/rfc5737."""
    with socket.socket() as late:
        late.bind(("192.0.2.1", 0))


@pytest.mark.parametrize(
    ("words", "refuse"),
    [
        ("does not exist", refuse_missing),
        ("is a folder, not a file", refuse_folder),
        ("is a file, not a folder", refuse_file),
        ("is already in use", refuse_port),
        ("is not an address of this machine", refuse_address),
    ],
)
def test_explain(words: str, refuse: Callable[[Path], None], tmp_path: Path) -> None:
    """What the operating system refuses is told in words that follow the thing's name."""
    with pytest.raises(OSError, match="Errno") as caught:
        refuse(tmp_path)

    assert words == explain(caught.value)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EROFS])
def test_explain_the_rest(number: int) -> None:
    """Rights, a full disk and a read-only disk have words of their own too."""
    words = explain(OSError(number, os.strerror(number)))

    assert re.match(r"may not be|is on a", words)
    assert os.strerror(number) not in words


def test_explain_unknown() -> None:
    """An unusual refusal is passed on in the system's own words, never as an empty message."""
    assert "failed: Input/output error" == explain(OSError(errno.EIO, os.strerror(errno.EIO)))
    assert "failed: gone" == explain(OSError("gone"))


@pytest.mark.parametrize("known", [["serve", "plan"], {"plan": 1, "serve": 2}, iter(["serve"])])
def test_nearest(known: Iterable[str]) -> None:
    """A typing slip is answered with the word that was meant."""
    assert "; did you mean 'serve'?" == nearest("srve", known)


def test_nearest_nothing() -> None:
    """A word that is like none of ours gets no suggestion."""
    assert "" == nearest("zzz", ["serve", "plan"])
    assert "" == nearest("serve", [])
