"""Alertmanager's configuration, from the labels of the rules. Pure.

https://prometheus.io/docs/alerting/latest/configuration/ (tested with 0.25)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alerts import inhibit
from alerts.objectives import Slo
from alerts.receivers import (
    DEAD_MANS_SWITCH,
    MESSAGES,
    NOWHERE,
    PAGES,
    SCALER,
    SECRETS,
    TEMPLATES,
    TICKETS,
    WATCHDOG,
    WAYS,
    Way,
    scaler,
)
from alerts.render import HEADER, document
from alerts.rule import Severity
from lightmeter import catalog
from lightmeter.catalog import ScaleAction, Scaling
from lightmeter.units import parse_duration


@dataclass(frozen=True)
class Pace:
    """When a group of alerts is told: at first, when it changes, and while it goes on."""

    wait: str
    """How long others of the group are waited for."""
    interval: str
    """Between two messages of a group that changes."""
    repeat: str
    """Between two messages of one that does not."""

    @property
    def lapse_seconds(self) -> float:
        """How long a receiver hears nothing at most, of what still holds.

        A message is repeated at the next interval after ``repeat``; one more may be lost, and the
        peers of a cluster wait for each other (15 s each).
        """
        return parse_duration(self.repeat) + 2 * parse_duration(self.interval) + 30


_SCALING: inhibit.Matchers = {catalog.SCALING_LABEL: tuple(Scaling)}
_ACTION: inhibit.Matchers = {catalog.ACTION_LABEL: tuple(ScaleAction)}


@dataclass(frozen=True)
class Routing:
    """What may differ from one installation to the other."""

    scaler_url: str = "http://127.0.0.1:9402/v1/alerts"
    token_file: str = f"{SECRETS}/scaler-token"
    """Empty where the scaler asks for none."""
    pages: Pace = Pace("30s", "5m", "4h")
    tickets: Pace = Pace("5m", "1h", "1d")
    scaler: Pace = Pace("5s", "15s", "5m")
    watchdog: Pace = Pace("0s", "1m", "1m")


def alertmanager(slo: Slo, routing: Routing | None = None) -> dict[str, str]:
    """Write a configuration for each way to reach people, and the messages that all of them use.

    Returns the texts by file name; the files belong into one folder.
    """
    routing = routing or Routing()
    files = {f"{name}.yaml": _configuration(way, slo, routing) for name, way in WAYS.items()}
    return files | {TEMPLATES: MESSAGES}


def _configuration(way: Way, slo: Slo, routing: Routing) -> str:
    receivers = [
        {"name": PAGES, **way.pages},
        {"name": TICKETS, **way.tickets},
        {"name": SCALER, **scaler(routing.scaler_url, routing.token_file)},
        {"name": NOWHERE},
        {"name": WATCHDOG},
    ]
    content = {
        **({"global": way.common} if way.common else {}),
        "templates": [TEMPLATES],
        "route": _route(slo, routing),
        "inhibit_rules": inhibit.rules(slo),
        "receivers": receivers,
    }
    return f"{HEADER}# {way.says}\n{document(content)}{DEAD_MANS_SWITCH}"


def to_scaler(slo: Slo, routing: Routing) -> str:
    """Write a configuration that tells the scaler what concerns it, and nobody else anything."""
    content = {
        "route": {
            "receiver": NOWHERE,
            "group_by": [*slo.group_by, catalog.SLO_LABEL, "alertname"],
            "routes": [_to(SCALER, wanted, routing.scaler) for wanted in (_SCALING, _ACTION)],
        },
        "inhibit_rules": inhibit.rules(slo),
        "receivers": [{"name": NOWHERE}, {"name": SCALER, **scaler(routing.scaler_url, routing.token_file)}],
    }  # fmt: skip
    return f"{HEADER}# Only the scaler is told. Who is to be woken comes from: lightmeter rules generate --format alertmanager\n{document(content)}"


def _route(slo: Slo, routing: Routing) -> dict[str, Any]:
    return {
        "receiver": TICKETS,
        "group_by": [*slo.group_by, catalog.SLO_LABEL, "alertname"],
        **_paced(routing.tickets),
        "routes": [
            *(
                _to(SCALER, wanted, routing.scaler) | {"continue": True}
                for wanted in (_SCALING, _ACTION)
            ),
            _to(WATCHDOG, {"component": "meta", "severity": Severity.NONE}, routing.watchdog),
            {"receiver": NOWHERE, "matchers": inhibit.matchers({"severity": Severity.NONE})},
            _to(PAGES, {"severity": Severity.PAGE}, routing.pages),
            _to(TICKETS, {"severity": Severity.TICKET}, routing.tickets),
        ],
    }


def _to(receiver: str, wanted: inhibit.Matchers, pace: Pace) -> dict[str, Any]:
    return {"receiver": receiver, "matchers": inhibit.matchers(wanted), **_paced(pace)}


def _paced(pace: Pace) -> dict[str, str]:
    return {
        "group_wait": pace.wait,
        "group_interval": pace.interval,
        "repeat_interval": pace.repeat,
    }
