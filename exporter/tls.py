"""A TLS context from a web configuration."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exporter import certificate
from exporter.webconfig import Tls
from lightmeter.errors import WebConfigError, explain, nearest


_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_POLICIES = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_NONE,  # asks and does not look
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_CIPHERS = {  # Go's names, which the schema uses, and OpenSSL's; https://pkg.go.dev/crypto/tls#CipherSuites
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
_CIPHERS_13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""TLS 1.3 has its own, which are never limited, here as there."""
_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}  # fmt: skip
_log = logging.getLogger(__name__)


def context(path: Path, config: Tls) -> ssl.SSLContext:
    """Make the context that a configuration at ``path`` describes.

    Raises:
        WebConfigError: a certificate, key or policy cannot be used.
    """
    where = f"{path}: tls_server_config"
    _check(where, config)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = _VERSIONS[config.min_version]
    made.maximum_version = _VERSIONS[config.max_version]
    made.verify_mode = _POLICIES[config.client_auth_type]
    made.options |= ssl.OP_NO_RENEGOTIATION
    if not config.prefer_server_cipher_suites:
        made.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if config.cipher_suites:
        _choose_ciphers(made, where, config.cipher_suites)
    if len(config.curve_preferences) == 1:
        made.set_ecdh_curve(_CURVES[config.curve_preferences[0]])
    _load(made, where, config, folder=path.parent)
    return made


def expiry(path: Path, config: Tls) -> float | None:
    """Return when the certificate expires, Unix seconds; None where that cannot be read."""
    try:
        text = config.cert or (path.parent / config.cert_file).read_text(errors="replace")
    except OSError:
        return None
    return certificate.expiry(text)


def _check(where: str, config: Tls) -> None:
    policy = config.client_auth_type
    if not (config.cert or config.cert_file) or not (config.key or config.key_file):
        raise WebConfigError(f"{where} needs cert_file and key_file (or cert and key)")
    if policy not in _POLICIES:
        raise WebConfigError(
            f"{where}.client_auth_type: {policy} lets every certificate in and is not supported; "
            "take RequireAndVerifyClientCert"
        )
    if (config.client_ca or config.client_ca_file) and policy in ("", "NoClientCert"):
        raise WebConfigError(
            f"{where} has a client CA and no client_auth_type, so it would verify nobody; "
            "take RequireAndVerifyClientCert"
        )
    if config.client_allowed_sans is not None and policy != "RequireAndVerifyClientCert":
        raise WebConfigError(
            f"{where}.client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert"
        )


def _choose_ciphers(made: ssl.SSLContext, where: str, names: list[str]) -> None:
    for name in names:
        if name not in (*_CIPHERS, *_CIPHERS_13):
            known = nearest(name, _CIPHERS)
            raise WebConfigError(f"{where}.cipher_suites: {name} is no suite{known}")
    chosen = [_CIPHERS[name] for name in names if name in _CIPHERS]
    if chosen:
        made.set_ciphers(":".join(chosen))


def _load(made: ssl.SSLContext, where: str, config: Tls, *, folder: Path) -> None:
    files = (folder / config.cert_file, folder / config.key_file, folder / config.client_ca_file)
    try:
        for name, file in zip((config.cert_file, config.key_file, config.client_ca_file), files, strict=True):  # fmt: skip
            if name:
                file.open("rb").close()  # ssl does not say which of them it could not open
        with (
            _as_file(config.cert, files[0]) as cert,
            _as_file(config.key, files[1]) as key,
        ):
            made.load_cert_chain(cert, key, password=lambda: "")
        if config.client_ca_file:
            made.load_verify_locations(files[2])
        elif config.client_ca:
            made.load_verify_locations(cadata=config.client_ca)
        elif made.verify_mode is not ssl.CERT_NONE:
            made.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).lower().replace("_", " ")
        raise WebConfigError(f"{where}: the certificate, key or CA cannot be used: {reason}") from error  # fmt: skip
    except OSError as error:
        raise WebConfigError(f"{where}: {error.filename} {explain(error)}") from error


@contextmanager
def _as_file(text: str, file: Path) -> Iterator[str]:
    """Give text a name, since ssl reads only files; a key never touches the disk."""
    if not text:
        yield str(file)
        return
    number = os.memfd_create("pem")
    try:
        os.write(number, text.encode())
        yield f"/proc/self/fd/{number}"
    finally:
        os.close(number)


def is_allowed(shown: Mapping[str, Any] | None, allowed: frozenset[str]) -> bool:
    """Tell whether a verified client certificate has one of the allowed alternative names."""
    names = (shown or {}).get("subjectAltName", ())
    return any(value in allowed for _, value in names)
