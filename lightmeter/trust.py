"""Whom a TLS client believes: the public authorities, and those of a file beside them."""

from __future__ import annotations

import ssl
from pathlib import Path

from lightmeter.errors import SettingError, explain


def believe(context: ssl.SSLContext, path: Path | None, setting: str) -> ssl.SSLContext:
    """Add the authorities of a PEM file, if there is one; return the same context.

    Raises:
        SettingError: the file cannot be read, or holds no certificate; naming it and its setting.
    """
    if path is None:
        return context
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise SettingError(f"{setting} {str(path)!r} holds no certificate (PEM): {error.reason or error}") from error  # fmt: skip
    except OSError as error:
        raise SettingError(f"{setting} {str(path)!r} {explain(error)}") from error
    return context
