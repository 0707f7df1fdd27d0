"""The web configuration in force: read again when its files change, kept where they are wrong."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lightmeter.errors import WebConfigError


if TYPE_CHECKING:
    import ssl  # 1.5 MiB that plain HTTP does without

LOOK_SECONDS = 1.0
"""How often the files are looked at."""
_KEPT = 100
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rules:
    """What is in force. ``users`` maps names to bcrypt hashes; empty lets everybody in.

    ``interval`` is seconds between requests beyond a ``burst``; 0 is no limit.
    """

    tls: ssl.SSLContext | None = None
    expires: float | None = None
    """When the certificate does, Unix seconds."""
    allowed_sans: frozenset[str] | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    interval: float = 0.0
    burst: int = 0
    files: tuple[Path, ...] = ()
    """Those to watch, and below their states from before they were read."""
    stamps: tuple[object, ...] = ()


def load(path: Path) -> Rules:
    """Read a configuration and everything that it names.

    Raises:
        WebConfigError: naming what cannot be used.
    """
    from exporter import tls, webconfig

    first = _stamp(path)
    content = webconfig.read(path)
    secure = content.tls
    files = [path.parent / name for name in (secure.files if secure else ())]
    stamps = (first, *map(_stamp, files))
    sans = secure.client_allowed_sans if secure else None
    return Rules(
        tls=tls.context(path, secure) if secure else None,
        expires=tls.expiry(path, secure) if secure else None,
        allowed_sans=None if sans is None else frozenset(sans),
        users=content.users,
        headers=content.headers,
        interval=content.interval,
        burst=content.burst,
        files=(path, *files),
        stamps=stamps,
    )  # fmt: skip


class Web:
    """The configuration in force; ``fresh`` tells whether it is what the files say now.

    Raises:
        WebConfigError: the file cannot be used; later on that is only logged.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.fresh = True
        self._path = path
        self._clock = clock
        self._looked = clock()
        self._lock = threading.Lock()
        self._rules = load(path) if path else Rules()
        self._stamps = self._rules.stamps

    def rules(self) -> Rules:
        """Return what is in force, after a look at the files if the last was a while ago."""
        due = self._path and self._clock() - self._looked >= LOOK_SECONDS
        if due and self._lock.acquire(blocking=False):
            try:
                self._looked = self._clock()
                self._look()
            finally:
                self._lock.release()
        return self._rules

    def _look(self) -> None:
        stamps = tuple(map(_stamp, self._rules.files))
        if stamps == self._stamps or self._path is None:
            return
        try:
            self._rules = load(self._path)
            self._stamps = self._rules.stamps
        except WebConfigError as error:
            self._stamps, self.fresh = stamps, False
            _log.error("%s; what was in force stays in force", error)
        else:
            self.fresh = True
            _log.info("web configuration %s read again", self._path)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Tell a file's state; a secret that Kubernetes swaps is another file under the same name."""
    try:
        seen = file.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


class Passwords:
    """Checks basic authentication. One bcrypt runs at a time, and what was checked is remembered.

    A bcrypt of cost 10 takes about 50 ms of a core: without a bound, wrong passwords would be a way
    to stop scrapes. Right ones and wrong ones are remembered apart, so that neither displaces the
    other.
    """

    def __init__(self) -> None:
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._one = threading.Lock()

    def check(self, users: Mapping[str, str], header: str) -> bool:
        """Tell whether an Authorization header names a user with their password."""
        import hashlib  # OpenSSL's, which pages without passwords do without

        user, password = _credentials(header)
        known = users.get(user)
        hashed = known or next(iter(users.values()))  # an unknown name takes as long as a known one
        key = hashlib.sha256(b"\0".join((user.encode(), hashed.encode(), password))).digest()
        if known and key in self._right:
            return True
        if key in self._wrong:
            return False
        with self._one:
            right = _bcrypt(password, hashed) and known is not None
        self._remember(self._right if right else self._wrong, key)
        return right

    @staticmethod
    def _remember(place: OrderedDict[bytes, None], key: bytes) -> None:
        place[key] = None
        while len(place) > _KEPT:
            place.popitem(last=False)


def _credentials(header: str) -> tuple[str, bytes]:
    import base64
    import binascii

    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return "", b""
    try:
        user, _, password = base64.b64decode(text.strip(), validate=True).partition(b":")
    except binascii.Error:
        return "", b""
    return user.decode(errors="replace"), password


def _bcrypt(password: bytes, hashed: str) -> bool:
    import bcrypt

    try:
        return bcrypt.checkpw(password, hashed.encode())
    except ValueError:  # longer than the 72 bytes that bcrypt sees
        return False
