"""What the dashboards room needs of a Grafana."""

from __future__ import annotations

from collections.abc import Callable

from lightmeter.doctor import Finding, Verdict
from lightmeter.errors import LightmeterError
from lightmeter.settings_grafana import Grafana
from lightmeter.units import without_password


NEEDED = ("dashboards:create", "dashboards:write", "folders:create")
"""What publishing does.
https://grafana.com/docs/grafana/latest/administration/roles-and-access-control/custom-role-actions-scopes/"""


def check_grafana(settings: Grafana, token: Callable[[], str]) -> Finding:
    """Ask a Grafana whether it is there, knows the token, and would let it edit."""
    name = without_password(settings.url)
    try:
        from dashboards.grafana import Link, may
    except ModuleNotFoundError:
        return Finding("Grafana", Verdict.FAIL, f"{name}: grafana-api is not installed", "pip install 'lightmeter[grafana]'")  # fmt: skip
    try:
        authority = str(settings.ca_file) if settings.ca_file else None
        granted = may(Link(settings.url, token(), ca_file=authority, timeout=settings.timeout))
    except LightmeterError as error:
        return Finding("Grafana", Verdict.FAIL, str(error), "mend that, and look again")
    return judge_token(name, granted)


def judge_token(name: str, granted: frozenset[str] | None) -> Finding:
    """Judge a token by the actions that it is good for; None where Grafana does not tell."""
    if granted is None:
        fix = "lightmeter dashboards publish --dry-run tells the rest"
        return Finding("Grafana", Verdict.WARN, f"{name} knows the token; it does not tell whether it may edit", fix)  # fmt: skip
    lacking = [action for action in NEEDED if action not in granted]
    if lacking:
        fix = "give its service account the role Editor (Admin for data sources)"
        return Finding("Grafana", Verdict.FAIL, f"{name}: the token may not {', '.join(lacking)}", fix)  # fmt: skip
    return Finding("Grafana", Verdict.OK, f"{name}: the token may edit boards and make folders")
