"""TLS of what listens: a certificate and its key in files that may change."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lightmeter.errors import SettingError, explain
from lightmeter.section import Secured


_log = logging.getLogger(__name__)


class Texts(NamedTuple):
    """What the files hold, PEM."""

    certificate: bytes
    key: bytes
    authority: bytes | None


class Files:
    """A certificate, its key, and the authority whose clients are believed (or None).

    Raises:
        SettingError: a file cannot be read, or is of no use.
    """

    def __init__(self, certificate: Path, key: Path, authority: Path | None = None) -> None:
        self.certificate, self.key, self.authority = certificate, key, authority
        self._known = self._stamps()
        self._context()

    def read(self) -> Texts:
        """Read them.

        Raises:
            SettingError: one cannot be read.
        """
        try:
            authority = self.authority.read_bytes() if self.authority else None
            return Texts(self.certificate.read_bytes(), self.key.read_bytes(), authority)
        except OSError as error:
            raise SettingError(f"TLS file {error.filename!r} {explain(error)}") from error

    def changed(self) -> bool:
        """Say whether others are there since this was asked last; half a change is none yet."""
        try:
            stamps = self._stamps()
            if stamps == self._known:
                return False
            self._context()
        except SettingError as error:
            _log.warning("the certificate stays as it was: %s", error)
            return False
        self._known = stamps
        return True

    def context(self) -> ssl.SSLContext:
        """Make what a server shakes hands with, from the files as they are at each handshake."""
        made = now = self._context()

        def renew(connection: ssl.SSLObject, name: str | None, first: ssl.SSLContext) -> None:
            del name, first
            nonlocal now
            if self.changed():
                now = self._context()
            connection.context = now

        # OpenSSL asks for every hello, with a name or without
        made.sni_callback = renew
        return made

    def _stamps(self) -> tuple[tuple[int, int, int], ...]:
        paths = [path for path in (self.certificate, self.key, self.authority) if path]
        try:
            found = [path.stat() for path in paths]
        except OSError as error:
            raise SettingError(f"TLS file {error.filename!r} {explain(error)}") from error
        return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)

    def _context(self) -> ssl.SSLContext:
        self.read()
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        made.minimum_version = ssl.TLSVersion.TLSv1_2  # a system's openssl.cnf may allow less
        made.options |= ssl.OP_NO_RENEGOTIATION
        try:  # a key with a passphrase would ask the terminal for it
            made.load_cert_chain(self.certificate, self.key, password=lambda: "")
        except ssl.SSLError as error:
            raise SettingError(f"TLS files {str(self.certificate)!r} and {str(self.key)!r} are no certificate and its key: {error.reason or error}") from error  # fmt: skip
        if self.authority:
            try:
                made.load_verify_locations(self.authority)
            except ssl.SSLError as error:
                raise SettingError(f"TLS file {str(self.authority)!r} holds no certificate: {error.reason or error}") from error  # fmt: skip
            made.verify_mode = ssl.CERT_OPTIONAL
        return made


def files(section: str, settings: Secured, authority: Path | None = None) -> Files | None:
    """Take the files that a section sets; None where it speaks HTTP.

    Raises:
        SettingError: one is missing, or of no use.
    """
    certificate, key = settings.tls_cert_file, settings.tls_key_file
    if certificate and key:
        return Files(certificate, key, authority)
    if certificate or key or authority:
        more = f" and {section}.client_ca_file" if authority else ""
        raise SettingError(f"{section}.tls_cert_file, {section}.tls_key_file{more} go together: a certificate needs its key; give both files")  # fmt: skip
    return None


def factory(found: Files | None) -> Callable[..., ssl.SSLContext] | None:
    """Make what uvicorn asks for a context; None where it is to speak HTTP."""
    return (lambda *_: found.context()) if found else None
