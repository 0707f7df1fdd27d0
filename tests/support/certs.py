"""A certificate authority for tests, by way of the openssl program."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

from support.debian import need


class Authority:
    """Issues certificates into a folder: ``NAME.crt`` and ``NAME.key``."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.name = name
        self.certificate = folder / f"{name}.crt"
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2", "-subj", f"/CN={name}",
        )  # fmt: skip

    def issue(self, name: str, names: str = "IP:127.0.0.1,DNS:localhost", *, days: int = 2, organisation: str = "") -> None:  # fmt: skip
        """Issue a certificate with alternative names, as openssl writes them."""
        subject = f"/O={organisation}/CN={name}" if organisation else f"/CN={name}"
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject,
        )  # fmt: skip
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={names}\n")
        self._openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.crt", "-CAkey", f"{self.name}.key",
            "-CAcreateserial", "-days", str(days), "-extfile", f"{name}.ext", "-out", f"{name}.crt",
        )  # fmt: skip

    def client(self, name: str = "") -> ssl.SSLContext:
        """Make a client's context that trusts this authority, with a certificate of its own."""
        made = ssl.create_default_context(cafile=self.certificate)
        if name:
            made.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        return made

    def _openssl(self, *arguments: str) -> None:
        program = need("openssl", "openssl")
        subprocess.run([program, *arguments], cwd=self.folder, check=True, capture_output=True)
