"""TLS of the scaler's listeners: files that may change, and who showed a certificate."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from typing import NamedTuple

from alerts.webhook import VERIFIED
from lightmeter.connections import Attentive
from lightmeter.errors import SettingError, explain
from lightmeter.settings_scale import Scale


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
        try:
            made.load_cert_chain(self.certificate, self.key)
        except ssl.SSLError as error:
            raise SettingError(f"TLS files {str(self.certificate)!r} and {str(self.key)!r} are no certificate and its key: {error.reason or error}") from error  # fmt: skip
        if self.authority:
            try:
                made.load_verify_locations(self.authority)
            except ssl.SSLError as error:
                raise SettingError(f"TLS file {str(self.authority)!r} holds no certificate: {error.reason or error}") from error  # fmt: skip
            made.verify_mode = ssl.CERT_OPTIONAL
        return made


class Protocol(Attentive):
    """Waits for no slow head, and a request knows whether its sender showed a certificate that was verified."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it as well
        """Begin a connection, after the handshake."""
        super().connection_made(transport)
        peer = transport.get_extra_info("ssl_object")
        self.app_state = {**self.app_state, VERIFIED: bool(peer and peer.getpeercert())}


def files(settings: Scale) -> Files | None:
    """Take the files that are set.

    Raises:
        SettingError: one is missing, or of no use.
    """
    certificate, key, authority = settings.tls_cert_file, settings.tls_key_file, settings.client_ca_file  # fmt: skip
    if certificate and key:
        return Files(certificate, key, authority)
    if certificate or key or authority:
        raise SettingError("scale.tls_cert_file, scale.tls_key_file and scale.client_ca_file go together: a certificate needs its key, and who asks for certificates shows one; give both files")  # fmt: skip
    return None
