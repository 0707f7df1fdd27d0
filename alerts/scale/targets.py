"""Which targets there are, by how they are written (`FORMS`)."""

from __future__ import annotations

import hashlib
import hmac
import json
import shlex
import ssl
import subprocess
import time
from typing import Literal

import httpx

from alerts.scale.fleet import Fleet, Target, Word, of_status, unheard
from alerts.scale.pool import Pool
from lightmeter.catalog import TargetAnswer
from lightmeter.errors import SettingError, TargetError, nearest
from lightmeter.units import without_password


FORMS = (
    "deployment:NAMESPACE/NAME",
    "statefulset:NAMESPACE/NAME",
    "pool:URL",
    "webhook:URL",
    "command:PROGRAM ARGUMENTS",
    "null",
)
_KINDS = tuple(form.partition(":")[0] for form in FORMS)
COMMAND_SECONDS = 60.0
WEBHOOK_SECONDS = 10.0
SIGNATURE = "x-lightmeter-signature"
"""Carries ``t=SECONDS,sha256=HEX``: HMAC-SHA256 of ``SECONDS.BODY`` with the shared secret."""


class Remembered:
    """Replicas of a target that does not say how many there are: what was asked for last."""

    word = Word.IMAGINED

    def __init__(self, name: str, begin: int = 0) -> None:
        self.name = name
        self.asked = begin

    def fleet(self) -> Fleet:
        """Say what was asked for last."""
        return Fleet(self.asked, 0, word=self.word)

    def scale(self, to: int) -> str:
        """Remember it."""
        self.asked = to
        return "remembered"


class Command(Remembered):
    """Runs a program with the number of replicas as its last argument; no shell takes part."""

    word = Word.ASKED

    def __init__(self, line: str) -> None:
        super().__init__(f"command {line.split(maxsplit=1)[0]}")
        self._words = shlex.split(line)

    def scale(self, to: int) -> str:
        """Run it."""
        try:
            ran = subprocess.run(  # noqa: S603  (the operator's own program)
                [*self._words, str(to)],
                capture_output=True,
                check=False,
                stdin=subprocess.DEVNULL,
                text=True,
                timeout=COMMAND_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            late = isinstance(error, subprocess.TimeoutExpired)
            raise TargetError(f"{self.name} could not be run: {error}", TargetAnswer.TIMEOUT if late else TargetAnswer.FAILED) from error  # fmt: skip
        if ran.returncode:
            raise TargetError(f"{self.name} ended with {ran.returncode}: {' '.join(ran.stderr.split())[:200]}")  # fmt: skip
        super().scale(to)
        return f"{self.name} ended with 0"


class Webhook(Remembered):
    """Posts ``{"target", "replicas", "at"}`` with a signature over time and body."""

    word = Word.ASKED

    def __init__(self, url: str, secret: str, trust: ssl.SSLContext | None = None) -> None:
        super().__init__(without_password(url))
        self._url, self._secret, self._trust = url, secret.encode(), trust or True

    def scale(self, to: int) -> str:
        """Post it; any 2xx is taken for done."""
        at = int(time.time())
        body = json.dumps({"target": self.name, "replicas": to, "at": at}).encode()
        digest = hmac.new(self._secret, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", SIGNATURE: f"t={at},sha256={digest}"}
        try:
            answer = httpx.post(self._url, content=body, headers=headers, timeout=WEBHOOK_SECONDS, trust_env=False, verify=self._trust)  # fmt: skip
        except httpx.HTTPError as error:
            raise TargetError(f"webhook {self.name} cannot be reached: {error}", unheard(error)) from error  # fmt: skip
        if not answer.is_success:
            raise TargetError(f"webhook {self.name} answered {answer.status_code}", of_status(answer.status_code))  # fmt: skip
        super().scale(to)
        return f"webhook answered {answer.status_code}"


def parse(text: str, secret: str = "", trust: ssl.SSLContext | None = None) -> Target:
    """Make the target that a text names; ``secret`` is an admin's key, or what signs a webhook.

    ``trust`` has the authorities that a pool's or a webhook's certificate may be of.

    Raises:
        SettingError: it is of no known form, or lacks what its form needs.
    """
    kind, _, rest = text.partition(":")
    if kind == "null" and not rest:
        return Remembered("null")
    if kind == "deployment":
        return _cluster("deployment", rest)
    if kind == "statefulset":
        return _cluster("statefulset", rest)
    if kind == "command" and rest.strip():
        return Command(rest)
    if kind in ("pool", "webhook") and rest.startswith(("http://", "https://")):
        if kind == "pool":
            return Pool(rest, secret, trust)
        if not secret:
            raise SettingError("target 'webhook:...' needs a secret to sign with; give scale.secret_file")  # fmt: skip
        return Webhook(rest, secret, trust)
    raise SettingError(f"target {without_password(text)!r} is none of {', '.join(FORMS)}{'' if kind in _KINDS else nearest(kind, _KINDS)}")  # fmt: skip


def _cluster(kind: Literal["deployment", "statefulset"], place: str) -> Target:
    try:
        from alerts.scale import cluster
    except ModuleNotFoundError as error:
        raise SettingError(f"target '{kind}:...' needs the Kubernetes client; pip install 'lightmeter[kubernetes]'") from error  # fmt: skip
    return cluster.parse(kind, place)
