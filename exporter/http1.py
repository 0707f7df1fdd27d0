"""Requests and answers of HTTP/1.1, as far as scrapes need it (RFC 9112)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus


MAX_HEAD_BYTES = 16_384
"""Longest request line and headers; more is answered 431."""
PROBE = "/healthz"
"""The path that anybody may ask, without a password."""


class BadRequest(Exception):  # noqa: N818  (it is the answer's name)
    """A request that is answered with ``status`` before anybody looks at it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Request:
    """What a client asks; header names are lower case. ``close`` where it is the client's last."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False

    def header(self, name: str) -> str:
        """Return a header, empty where the client sent none."""
        return self.headers.get(name, "")


@dataclass
class Answer:
    """What a client gets."""

    status: int
    text: str | bytes
    content_type: str = "text/plain; charset=utf-8"
    extra: Mapping[str, str] = field(default_factory=dict)
    close: bool = False

    @property
    def body(self) -> bytes:
        """The body's bytes."""
        return self.text if isinstance(self.text, bytes) else self.text.encode()

    def head(self, more: Mapping[str, str] | None = None) -> bytes:
        """Write the status line and the headers, with the blank line after them."""
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in {**self.extra, **(more or {})}.items()),
            *(["Connection: close"] if self.close else []),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def parse_head(head: bytes) -> Request:
    """Read a request line and headers.

    Raises:
        BadRequest: 400 for what is no HTTP, 405 for another method than GET and HEAD, 431 where it
            is too long, 505 for another version.
    """
    if len(head) > MAX_HEAD_BYTES:
        raise BadRequest(431, "the headers are too long")
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):  # noqa: PLR2004  (method, target, version)
        raise BadRequest(400, "this is no HTTP request")
    method, target, version = words
    if not version.startswith("HTTP/1."):
        raise BadRequest(505, "another version of HTTP is spoken here")
    if method not in ("GET", "HEAD"):
        raise BadRequest(405, "only GET and HEAD are answered")
    headers = dict(map(_header, lines))
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    wish = headers.get("connection", "").lower()
    kept = "keep-alive" in wish if version == "HTTP/1.0" else "close" not in wish
    return Request(method, _path(target), headers, close=has_body or not kept)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        raise BadRequest(400, "a header is no header")
    return name.lower(), value.strip()


def _path(target: str) -> str:
    """Take the path out of a request's target, which may be a whole URL."""
    if "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    return target.partition("?")[0]
