"""Look up known vulnerabilities of what is installed, with pip-audit; skipped, with the reason, offline.

Exit code 1 where there is one, 2 where pip-audit fails. The advisories are PyPI's:
https://pypi.org/security/. A mirror may answer for projects and know no advisories; what nobody
knew anything of is named, never taken for sound.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import httpx


SERVICE = "https://pypi.org/pypi/pip/json"
"""Any project's page of the service that is asked."""
SECONDS = 10.0
SHOWN = 10


def obstacle(url: str) -> str:
    """Say why the advisory service cannot be asked; empty where it can."""
    try:
        answer = httpx.get(url, timeout=SECONDS, follow_redirects=True)
    except httpx.HTTPError as error:
        return f"{url} cannot be reached ({type(error).__name__})"
    try:
        known = "vulnerabilities" in answer.json()
    except ValueError:
        known = False
    return "" if answer.is_success and known else f"{url} has no advisories (status {answer.status_code})"  # fmt: skip


def told(found: Sequence[Mapping[str, Any]]) -> tuple[int, list[str]]:
    """Say in lines what pip-audit found, with the exit code."""
    unknown = [one["name"] for one in found if "skip_reason" in one]
    wrong = [f"{one['name']} {one['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version'}" for one in found for flaw in one.get("vulns", ())]  # fmt: skip
    if found and len(unknown) == len(found):
        return 0, [f"audit skipped: the service knows none of {len(found)} distributions"]
    more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
    lines = [f"{len(found) - len(unknown)} distributions audited, {len(wrong)} known vulnerabilities", *wrong]  # fmt: skip
    return bool(wrong), lines + ([f"not audited: {', '.join(unknown[:SHOWN])}{more}"] if unknown else [])  # fmt: skip


def main(url: str = SERVICE) -> int:
    """Audit this environment; return the exit code."""
    if reason := obstacle(url):
        print(f"audit skipped: {reason}")
        return 0
    options = ["--local", "--skip-editable", "--progress-spinner", "off", "--format", "json"]
    ran = subprocess.run([sys.executable, "-m", "pip_audit", *options], check=False, capture_output=True, text=True)  # fmt: skip
    try:
        code, lines = told(json.loads(ran.stdout)["dependencies"])
    except (ValueError, KeyError):
        code, lines = 2, [f"pip-audit failed: {ran.stderr[-2000:].strip()}"]
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
