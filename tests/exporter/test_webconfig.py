"""Web configuration files: what is understood, what is refused, what happens when they change."""

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter import certificate, web
from exporter.web import Passwords, Web, load
from lightmeter.errors import WebConfigError
from support.certs import Authority
from support.clock import Clock


# a salt that stays, so that tests have the same names in every process
HASH = bcrypt.hashpw(b"open sesame", b"$2b$04$lightmeterlightmeterxu").decode()
WORKING = """
tls_server_config:
  cert_file: server.crt
  key_file: server.key
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("certs"))
    made.issue("server")
    return made


def config(authority: Authority, text: str) -> Path:
    path = authority.folder / "web.yml"
    path.write_text(text)
    return path


def test_full(authority: Authority) -> None:
    """Everything in the toolkit's schema is understood."""
    rules = load(config(authority, f"""
tls_server_config:
  cert_file: server.crt
  key_file: {authority.folder}/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  client_allowed_sans: [prometheus, "10.0.0.1"]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP256]
http_server_config:
  http2: true
  headers:
    X-Frame-Options: deny
    X-XSS-Protection: ""
basic_auth_users:
  alice: {HASH}
rate_limit:
  interval: 1s
  burst: 20
"""))  # fmt: skip

    assert rules.tls is not None
    assert ssl.CERT_REQUIRED == rules.tls.verify_mode
    assert "ECDHE-ECDSA-AES128-GCM-SHA256" in [one["name"] for one in rules.tls.get_ciphers()]
    assert frozenset({"prometheus", "10.0.0.1"}) == rules.allowed_sans
    assert {"X-Frame-Options": "deny"} == rules.headers
    assert {"alice": HASH} == rules.users
    assert (1.0, 20) == (rules.interval, rules.burst)
    assert ["web.yml", "server.crt", "server.key", "ca.crt"] == [file.name for file in rules.files]


def test_inline(authority: Authority) -> None:
    """Certificate, key and CA may stand in the file itself."""
    parts = {key: (authority.folder / file).read_text().replace("\n", "\n    ") for key, file in (("cert", "server.crt"), ("key", "server.key"), ("client_ca", "ca.crt"))}  # fmt: skip
    lines = [f"  {key}: |\n    {text}" for key, text in parts.items()]
    policy = "  client_auth_type: VerifyClientCertIfGiven\n"
    rules = load(config(authority, "tls_server_config:\n" + "\n".join(lines) + "\n" + policy))

    assert rules.tls is not None
    assert [((("commonName", "ca"),),)] == [ca["subject"] for ca in rules.tls.get_ca_certs()]


@pytest.mark.parametrize("text", ["", "# nothing\n", "basic_auth_users:\n", "tls_server_config:\n"])
def test_empty(authority: Authority, text: str) -> None:
    """An empty file, or an empty part, asks for nothing."""
    rules = load(config(authority, text))

    assert rules.tls is None
    assert {} == rules.users


REFUSED = {
    "tls_server_conifg: {}": "tls_server_conifg is no key; did you mean 'tls_server_config'?",
    WORKING.replace("cert_file", "cert_fil"): "tls_server_config.cert_fil is no key; did you mean 'cert_file'?",
    "http_server_config: {headers: {X-Frame-Option: deny}}": "http_server_config.headers.X-Frame-Option is no key; did you mean 'X-Frame-Options'?",
    'http_server_config: {headers: {X-Frame-Options: "a\\r\\nb: c"}}': "must be one line",
    "http_server_config: {http2: maybe}": "http_server_config.http2",
    "basic_auth_users: [alice]": "basic_auth_users",
    "basic_auth_users: {alice: open sesame}": "htpasswd -nBC 10 alice",
    f"basic_auth_users: {{'a:b': {HASH}}}": "'a:b' cannot be a user's name",
    f"basic_auth_users:\n  alice: {HASH}\n  alice: {HASH}": "'alice' is there twice",
    "tls_server_config: {cert_file: server.crt}": "needs cert_file and key_file",
    WORKING.replace("server.key", "missing.key"): "missing.key does not exist",
    WORKING.replace("server.key", "ca.key"): "cannot be used: key values mismatch",
    WORKING.replace("server.crt", "server.key"): "cannot be used",
    WORKING + "  client_ca_file: ca.crt": "it would verify nobody",
    WORKING + "  client_auth_type: RequireAnyClientCert": "take RequireAndVerifyClientCert",
    WORKING + "  client_auth_type: RequireEverything": "client_auth_type",
    WORKING + "  client_allowed_sans: [a]": "client_allowed_sans needs",
    WORKING + "  min_version: TLS14": "min_version must be one of TLS10, TLS11, TLS12, TLS13",
    WORKING + "  client_allowed_sans: a": "client_allowed_sans must be a list",
    WORKING + "  cipher_suites: [1]": "cipher_suites must be text",
    WORKING + "  curve_preferences: [P256]": "did you mean 'CurveP256'?",
    "rate_limit: {interval: 1s, burst: true}": "burst must be a whole number",
    "basic_auth_users: {1: x}": "1 cannot be a user's name",
    WORKING + "  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]": "TLS_RSA_WITH_RC4_128_SHA is no suite",
    "rate_limit: {interval: 1s}": "burst must be at least 1",
    "rate_limit: {interval: often, burst: 1}": "rate_limit.interval",
    "- a": "must be a mapping",
    "a: [": "is no YAML",
    "\x00": "is no YAML",
    "1: 2": "1 is no key",
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_refused(authority: Authority, text: str) -> None:
    """What is wrong is named with what would be right, in one line, without secrets."""
    with pytest.raises(WebConfigError) as refusal:
        load(config(authority, text))

    assert REFUSED[text] in " ".join(str(refusal.value).split())
    assert HASH not in str(refusal.value)
    assert "sesame" not in str(refusal.value)


def test_missing(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(WebConfigError, match=r"web\.yml' does not exist"):
        load(tmp_path / "web.yml")


def watch(path: Path) -> tuple[Web, Clock]:
    clock = Clock()
    return Web(path, clock), clock


def rewrite(path: Path, text: str) -> None:
    """Replace a file as an editor does; the new one may have the old one's time."""
    other = path.with_suffix(".new")
    other.write_text(text)
    os.replace(other, path)  # noqa: PTH105  (what the test is about)


def test_reload(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """A change comes into force within a second; a wrong one is said once and kept out."""
    path = config(authority, f"basic_auth_users: {{alice: {HASH}}}")
    watched, clock = watch(path)
    rewrite(path, f"basic_auth_users: {{bob: {HASH}}}")
    assert {"alice"} == watched.rules().users.keys()
    clock.now += web.LOOK_SECONDS
    assert {"bob"} == watched.rules().users.keys()
    assert watched.fresh

    rewrite(path, "basic_auth_user: {}")
    for _ in range(3):
        clock.now += web.LOOK_SECONDS
        assert {"bob"} == watched.rules().users.keys()
        assert not watched.fresh
    assert 1 == caplog.text.count("did you mean 'basic_auth_users'?")

    rewrite(path, "{}")
    clock.now += web.LOOK_SECONDS
    assert {} == watched.rules().users
    assert watched.fresh


def test_reload_certificate(authority: Authority) -> None:
    """A renewed certificate is taken even where the configuration itself stays as it was."""
    watched, clock = watch(config(authority, WORKING))
    before = watched.rules().tls
    rewrite(authority.folder / "server.crt", "")
    clock.now += web.LOOK_SECONDS
    assert watched.rules().tls is before
    assert not watched.fresh
    authority.issue("server")
    clock.now += web.LOOK_SECONDS
    assert watched.rules().tls is not before
    assert watched.fresh


def told(authority: Authority) -> float:
    """Return when the server's certificate expires, as openssl says."""
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", authority.folder / "server.crt"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return ssl.cert_time_to_seconds(shown.stdout.strip().removeprefix("notAfter="))


@pytest.mark.parametrize("days", [2, 40_000], ids=["two digits of the year", "four"])
def test_expiry(authority: Authority, days: int) -> None:
    """The end of the certificate in force is told, to the second, as openssl tells it."""
    authority.issue("server", days=days)

    assert told(authority) == load(config(authority, WORKING)).expires


def test_expiry_reloaded(authority: Authority) -> None:
    """A renewed certificate moves the end; one that cannot be used does not, nor one without TLS."""
    authority.issue("server")
    watched, clock = watch(config(authority, WORKING))
    first = told(authority)
    rewrite(authority.folder / "server.crt", "nonsense")
    clock.now += web.LOOK_SECONDS
    assert first == watched.rules().expires
    authority.issue("server", days=90)
    clock.now += web.LOOK_SECONDS
    assert first < told(authority) == watched.rules().expires
    rewrite(authority.folder / "web.yml", "{}")
    clock.now += web.LOOK_SECONDS
    assert watched.rules().expires is None


@settings(deadline=None)
@given(at=st.integers(0, 400), put=st.binary(max_size=3), cut=st.booleans())
def test_expiry_of_nonsense(authority: Authority, at: int, put: bytes, *, cut: bool) -> None:
    """Whatever a file holds, its end is looked for and found or not: the exporter starts."""
    der = ssl.PEM_cert_to_DER_cert(authority.certificate.read_text())
    broken = der[:at] + put + (b"" if cut else der[at + len(put) :])

    found = certificate.expiry(ssl.DER_cert_to_PEM_cert(broken))
    assert isinstance(found, float | None)


def test_vanished(authority: Authority) -> None:
    """A configuration that is deleted does not open the doors."""
    path = config(authority, f"basic_auth_users: {{alice: {HASH}}}")
    watched, clock = watch(path)
    path.unlink()
    clock.now += web.LOOK_SECONDS

    assert {"alice"} == watched.rules().users.keys()
    assert not watched.fresh


def basic(text: bytes) -> str:
    import base64

    return "Basic " + base64.b64encode(text).decode()


USERS = {"alice": HASH}


@pytest.mark.parametrize(
    ("header", "right"),
    [
        (basic(b"alice:open sesame"), True),
        (basic(b"alice:open sesame").replace("Basic", "basic"), True),
        (basic(b"alice:open"), False),
        (basic(b"bob:open sesame"), False),
        (basic(b"alice"), False),
        (basic(b"alice:" + b"x" * 200), False),
        (basic(b"alice:\0"), False),
        (basic(b"\xff:\xff"), False),
        ("Basic =====", False),
        ("Bearer open sesame", False),
        ("", False),
    ],
)
def test_password(header: str, *, right: bool) -> None:
    """The right name with its password is let in, and nothing else; the second time as well."""
    passwords = Passwords()

    assert [right, right] == [passwords.check(USERS, header) for _ in range(2)]


def test_password_changed() -> None:
    """A password that was right is wrong once its hash is another."""
    passwords = Passwords()
    header = basic(b"alice:open sesame")
    other = bcrypt.hashpw(b"other", bcrypt.gensalt(4)).decode()

    assert passwords.check(USERS, header)
    assert not passwords.check({"alice": other}, header)
    assert not passwords.check({"bob": HASH}, header)


def test_passwords_bounded() -> None:
    """However many wrong passwords come, few are remembered, and the right one stays."""
    passwords = Passwords()
    assert passwords.check(USERS, basic(b"alice:open sesame"))
    for number in range(150):
        passwords.check(USERS, basic(b"alice:%d" % number))

    assert 100 == len(passwords._wrong)
    assert 1 == len(passwords._right)
