"""Making a running Prometheus take new rules, and seeing that it did."""

from __future__ import annotations

import time

import httpx

from alerts.rule import Pack
from lightmeter.errors import ServerError
from lightmeter.units import without_password


WAIT_SECONDS = 20.0
"""A Prometheus with many rules takes seconds to read them."""


def reload(url: str, made: list[Pack]) -> str:
    """Let Prometheus read its rules again; return what it says of ours.

    Raises:
        ServerError: it cannot be reached, refuses, or does not evaluate our groups.
    """
    wanted = {group.name for pack in made for group in pack.groups if group.rules}
    with httpx.Client(base_url=url, timeout=WAIT_SECONDS) as client:
        try:
            answer = client.post("/-/reload")
            _accepted(answer, url)
            return _evaluated(client, wanted, url)
        except httpx.HTTPError as error:
            raise ServerError(f"Prometheus at {without_password(url)} cannot be reached: {error}") from error  # fmt: skip


def _accepted(answer: httpx.Response, url: str) -> None:
    if answer.status_code == httpx.codes.FORBIDDEN:
        raise ServerError(f"Prometheus at {without_password(url)} does not reload on request; start it with --web.enable-lifecycle, or send it SIGHUP")  # fmt: skip
    if answer.is_error:
        raise ServerError(f"Prometheus at {without_password(url)} refused the rules: {' '.join(answer.text.split())}")  # fmt: skip


def _evaluated(client: httpx.Client, wanted: set[str], url: str) -> str:
    end = time.monotonic() + WAIT_SECONDS
    while True:
        groups = client.get("/api/v1/rules").raise_for_status().json()["data"]["groups"]
        ours = [rule for group in groups if group["name"] in wanted for rule in group["rules"]]
        missing = wanted - {group["name"] for group in groups}
        if not missing and all(rule["health"] == "ok" for rule in ours):
            return f"Prometheus evaluates {len(ours)} rules in {len(wanted)} groups"
        if time.monotonic() > end:
            break
        time.sleep(0.2)
    if missing:
        raise ServerError(f"Prometheus at {without_password(url)} does not have the group {min(missing)!r}; does rule_files in its configuration match the folder?")  # fmt: skip
    sick = next(rule for rule in ours if rule["health"] != "ok")
    raise ServerError(f"Prometheus at {without_password(url)} has not evaluated {sick['name']!r}: {sick.get('lastError') or sick['health']}")  # fmt: skip
