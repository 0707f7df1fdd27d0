"""Making a running Prometheus take new rules, and seeing that it did."""

from __future__ import annotations

import time

import httpx

from alerts.rule import Pack
from lightmeter.errors import ServerError
from lightmeter.units import without_password


WAIT_SECONDS = 10.0
"""A Prometheus with many rules takes seconds to read them, and answers when it has."""
SETTLE_SECONDS = 1.0


def reload(url: str, made: list[Pack]) -> str:
    """Let Prometheus read its rules again; return what it says of ours.

    Raises:
        ServerError: it cannot be reached, refuses, or does not have our groups afterwards.
    """
    wanted = {group.name for pack in made for group in pack.groups if group.rules}
    with httpx.Client(base_url=url, timeout=WAIT_SECONDS, trust_env=False) as client:
        try:
            answer = client.post("/-/reload")
            _accepted(answer, url)
            return _taken(client, wanted, url)
        except httpx.HTTPError as error:
            raise ServerError(f"Prometheus at {without_password(url)} cannot be reached: {error}") from error  # fmt: skip


def _accepted(answer: httpx.Response, url: str) -> None:
    if answer.status_code == httpx.codes.FORBIDDEN:
        raise ServerError(f"Prometheus at {without_password(url)} does not reload on request; start it with --web.enable-lifecycle, or send it SIGHUP")  # fmt: skip
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise ServerError(f"{without_password(url)} has no /-/reload; name a Prometheus (lightmeter localprom has the rules of its own)")  # fmt: skip
    if answer.is_error:
        raise ServerError(f"Prometheus at {without_password(url)} refused the rules: {' '.join(answer.text.split())}")  # fmt: skip


def _taken(client: httpx.Client, wanted: set[str], url: str) -> str:
    """See that it has our groups; one that it has not come to evaluate yet is well."""
    end = time.monotonic() + SETTLE_SECONDS
    while True:
        groups = client.get("/api/v1/rules").raise_for_status().json()["data"]["groups"]
        missing = wanted - {group["name"] for group in groups}
        if not missing or time.monotonic() > end:
            break
        time.sleep(0.2)
    if missing:
        raise ServerError(f"Prometheus at {without_password(url)} does not have the group {min(missing)!r}; does rule_files in its configuration match the folder?")  # fmt: skip
    ours = [rule for group in groups if group["name"] in wanted for rule in group["rules"]]
    sick = [rule for rule in ours if rule["health"] == "err"]
    if sick:
        raise ServerError(f"Prometheus at {without_password(url)} cannot evaluate {sick[0]['name']!r}: {sick[0].get('lastError', '')}")  # fmt: skip
    return f"Prometheus has taken {len(ours)} rules in {len(wanted)} groups"
