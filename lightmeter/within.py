"""Files of a folder that somebody else may have made: none leads out of it, and none is waited for."""

from __future__ import annotations

import stat
from pathlib import Path

from lightmeter.errors import HistoryError, explain


def check(path: Path, what: str) -> None:
    """Refuse a file of a history, ``FOLDER/PART/NAME``, that is no regular file in that folder.

    The folder itself may be a link; a file that is not there is left to whoever opens it.

    Raises:
        HistoryError: it, or the part of the folder that it is in, leads out of the folder, or to
            what is no file: opening a pipe waits for ever, and a device has no end.
    """
    name = f"{what} {str(path)!r}"
    try:
        real = path.resolve(strict=True)
        kind = real.stat().st_mode
    except FileNotFoundError:
        return
    except (OSError, RuntimeError) as error:  # Python 3.12 says RuntimeError of links in a circle
        why = explain(error) if isinstance(error, OSError) else "is a link that leads to itself"
        raise HistoryError(f"{name} {why}; move it aside") from error
    if not real.is_relative_to(path.parent.parent.resolve()):
        raise HistoryError(f"{name} leads out of its folder, to {str(real)!r}; put the file itself there, or move the link aside")  # fmt: skip
    if not stat.S_ISREG(kind):
        raise HistoryError(f"{name} is no regular file; move it aside")
