"""When a certificate expires: what ssl knows of its own certificate and does not tell.

Only that one field is read, by its place in the encoding (RFC 5280, 4.1,
https://www.rfc-editor.org/rfc/rfc5280#section-4.1); a library for all of it would take the exporter
more memory than TLS does.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import UTC, datetime


_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_VERSION, _UTC_TIME = 0xA0, 0x17
_VALIDITY = 3
"""Its place behind the version: serial number, signature, issuer, validity."""


def expiry(pem: str) -> float | None:
    """Return when the first certificate of a PEM text expires, Unix seconds.

    None where there is none that can be read; whether it is any good is for ssl to say.
    """
    found = _PEM.search(pem)
    try:
        return _not_after(base64.b64decode(found[1])) if found else None
    except (binascii.Error, ValueError, IndexError):
        return None


def _not_after(der: bytes) -> float:
    ((_, certificate),) = _parts(der)
    (_, body), *_ = _parts(certificate)
    fields = [content for kind, content in _parts(body) if kind != _VERSION]
    _, (kind, text) = _parts(fields[_VALIDITY])
    return _seconds(kind, text.decode())


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the content of each part of a DER sequence's content."""
    at = 0
    while at < len(der):
        kind, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:  # then it is the number of bytes that the length takes
            end = at + (length & 0x7F)
            length, at = int.from_bytes(der[at:end]), end
        if at + length > len(der):
            raise ValueError("it is cut off")
        yield kind, der[at : at + length]
        at += length


def _seconds(kind: int, text: str) -> float:
    if kind == _UTC_TIME:  # two digits of the year: 1950 to 2049
        text = ("19" if text >= "5" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
