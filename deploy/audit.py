"""Look up known vulnerabilities of what is installed, with pip-audit; skipped, with the reason, offline.

Exit code 1 where there is one. The advisories are PyPI's: https://pypi.org/security/
"""

from __future__ import annotations

import subprocess
import sys

import httpx


SERVICE = "https://pypi.org/pypi/pip/json"
"""Any project's page of the service that is asked."""
SECONDS = 10.0


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


def main(url: str = SERVICE) -> int:
    """Audit this environment; return the exit code."""
    if reason := obstacle(url):
        print(f"audit skipped: {reason}")
        return 0
    options = ["--local", "--skip-editable", "--progress-spinner", "off"]
    return subprocess.run([sys.executable, "-m", "pip_audit", *options], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
