"""A small HTTP/1.1 server for scrapes, which no client can hold up.

Each connection has a thread, in which the TLS handshake happens too, with a time limit. When all
places are taken, whoever has been silent for longest gives way, first among those who never had an
answer; where nobody is silent, the newcomer is told 503. Python's own ``http.server`` under TLS lets
one silent client stop every scrape, because the handshake is part of accepting (measured 2026-11
with prometheus_client 0.26).
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from exporter.http1 import MAX_HEAD_BYTES, PROBE, Answer, BadRequest, Request, parse_head
from exporter.web import Passwords, Rules, Web


if TYPE_CHECKING:
    import ssl

HEAD_SECONDS = 10.0
"""From accepting to the end of the handshake, and from there to the end of the first request."""
IDLE_SECONDS = 150.0
"""How long a kept connection may be silent; longer than two scrapes of a minute."""
WRITE_SECONDS = 10.0
GRACE_SECONDS = 1.0
"""Who has been silent for less keeps the place."""
_FULL = Answer(503, "all connections are in use; come back in a moment\n", close=True)
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Connection:
    """One client. ``silent_since`` is set while we wait for it, monotonic seconds."""

    sock: socket.socket
    answered: bool = False
    """Whether it has had what it asked for."""
    silent_since: float | None = field(default_factory=time.monotonic)

    def hang_up(self) -> None:
        """Wake its thread up with the end of the stream, from any thread."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # ssl's is not thread-safe


class Server:
    """Answers requests with ``app`` until it is closed, under the rules of ``web``."""

    def __init__(
        self,
        listener: socket.socket,
        app: Callable[[Request], Answer],
        web: Web,
        *,
        limit: int = 64,
    ) -> None:
        self._listener = listener
        self._app = app
        self._web = web
        self._limit = limit
        self._passwords = Passwords()
        self._bucket = Bucket()
        self._open: set[_Connection] = set()
        self._lock = threading.Lock()
        self._closed = False
        threading.Thread(target=self._accept_all, name="accept", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Take no more connections and hang up on those there are."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends a waiting accept
        self._listener.close()
        with self._lock:
            for connection in self._open:
                connection.hang_up()

    def _accept_all(self) -> None:
        while not self._closed:
            try:
                sock, _ = self._listener.accept()
            except OSError as error:
                if not self._closed:
                    _log.warning("no connection can be accepted: %s", error)
                    time.sleep(0.1)  # out of file descriptors: wait for some to come back
                continue
            self._take(sock)

    def _take(self, sock: socket.socket) -> None:
        """Give a client a place and a thread, or turn it away."""
        connection = _Connection(sock)
        with self._lock:
            if len(self._open) >= self._limit and not self._make_room():
                self._turn_away(sock)
                return
            self._open.add(connection)
        try:
            threading.Thread(target=self._serve, args=(connection,), name="client", daemon=True).start()  # fmt: skip
        except RuntimeError as error:  # no more threads
            _log.warning("a connection is dropped: %s", error)
            self._leave(connection)

    def _make_room(self) -> bool:
        """Hang up on whoever has been silent for longest; False where nobody has been."""
        limit = time.monotonic() - GRACE_SECONDS
        silent = [c for c in self._open if c.silent_since is not None and c.silent_since < limit]
        if not silent:
            return False
        longest = min(silent, key=lambda one: (one.answered, one.silent_since))
        self._open.discard(longest)
        longest.hang_up()
        return True

    def _turn_away(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            sock.setblocking(False)  # noqa: FBT003  (socket's signature)
            if self._web.rules().tls is None:
                sock.send(_FULL.head() + _FULL.body)

    def _leave(self, connection: _Connection) -> None:
        with self._lock:
            self._open.discard(connection)
        with contextlib.suppress(OSError):
            connection.sock.close()

    def _serve(self, connection: _Connection) -> None:
        try:
            self._converse(connection)
        except OSError as error:  # timeouts, resets and failed handshakes: the client's affair
            _log.debug("connection ended: %s", error)
        except Exception:  # noqa: BLE001  (the edge of a thread: one client's request ends, the others go on)
            _log.exception("a request failed")
        finally:
            self._leave(connection)

    def _converse(self, connection: _Connection) -> None:
        rules = self._web.rules()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if rules.tls:
            connection.sock = rules.tls.wrap_socket(
                connection.sock, server_side=True, do_handshake_on_connect=False
            )
            _shake_hands(connection.sock, HEAD_SECONDS, rules)
        rest, patience = b"", HEAD_SECONDS
        while not self._closed:
            connection.silent_since = time.monotonic()
            head, rest = _read_head(connection.sock, rest, time.monotonic() + patience)
            connection.silent_since = None
            if head is None:
                return
            answer = self._answer(connection.sock, head)
            if answer.close:
                return
            connection.answered |= answer.status == HTTPStatus.OK
            patience = IDLE_SECONDS

    def _answer(self, sock: socket.socket, head: bytes) -> Answer:
        rules, request = self._web.rules(), None
        try:
            request = parse_head(head)
            answer = self._decide(request, rules)
        except BadRequest as error:
            answer = Answer(error.status, f"{error}\n", close=True)
        sock.settimeout(WRITE_SECONDS)
        body = b"" if request and request.method == "HEAD" else answer.body
        sock.sendall(answer.head(rules.headers) + body)
        return answer

    def _decide(self, request: Request, rules: Rules) -> Answer:
        if request.path == PROBE:  # a password here would let a probe kill us over and over
            answer = self._app(request)
        elif not self._bucket.take(rules, time.monotonic()):
            answer = Answer(429, "more requests than rate_limit allows\n")
        elif rules.users and not self._passwords.check(rules.users, request.header("authorization")):  # fmt: skip
            answer = Answer(401, "Unauthorized\n", extra={"WWW-Authenticate": "Basic"})
        else:
            answer = self._app(request)
        answer.close = answer.close or request.close
        return answer


def _shake_hands(sock: ssl.SSLSocket, seconds: float, rules: Rules) -> None:
    """Do the TLS handshake within a time in all, however the client spreads its bytes over it."""
    import ssl

    from exporter import tls

    end = time.monotonic() + seconds
    sock.settimeout(0)
    while True:
        try:
            sock.do_handshake()
            break
        except ssl.SSLWantReadError:
            _wait(sock, end, writing=False)
        except ssl.SSLWantWriteError:
            _wait(sock, end, writing=True)
    if rules.allowed_sans is not None and not tls.is_allowed(
        sock.getpeercert(), rules.allowed_sans
    ):
        raise ssl.SSLCertVerificationError("the client's certificate has no allowed name")


def _wait(sock: socket.socket, end: float, *, writing: bool) -> None:
    left = end - time.monotonic()
    waiting = select.poll()
    waiting.register(sock, select.POLLOUT if writing else select.POLLIN)
    if left <= 0 or not waiting.poll(left * 1000):
        raise TimeoutError("the client is too slow")


def _read_head(sock: socket.socket, begun: bytes, end: float) -> tuple[bytes | None, bytes]:
    """Read to the blank line after a request's headers; return it and what came beyond.

    None means that the client has left. ``end`` is monotonic seconds, for all of it.
    """
    while b"\r\n\r\n" not in begun:
        if len(begun) > MAX_HEAD_BYTES:
            return begun, b""
        sock.settimeout(max(0.001, end - time.monotonic()))
        more = sock.recv(MAX_HEAD_BYTES)
        if not more or time.monotonic() > end:
            return None, b""
        begun += more
    head, _, rest = begun.partition(b"\r\n\r\n")
    return head, rest


class Bucket:
    """A token bucket over all clients."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._at = 0.0
        self._lock = threading.Lock()

    def take(self, rules: Rules, now: float) -> bool:
        """Tell whether a request may go on at a time in seconds."""
        if not rules.interval:
            return True
        with self._lock:
            left = max(0.0, self._spent - (now - self._at) / rules.interval)
            taken = left + 1 <= rules.burst
            self._spent, self._at = left + taken, now
            return taken
