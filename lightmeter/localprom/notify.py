"""Alerts as Alertmanager's webhook, version 4, tells them: for who acts on them without one. Pure.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from lightmeter import catalog


def message(alerts: Iterable[Mapping[str, Any]], now_ms: int) -> dict[str, Any]:
    """Tell the alerts that concern scaling, of those that `rules.posted` wrote.

    ``now_ms`` is Unix milliseconds; what has ended by then is resolved.
    """
    told = [_alert(alert, now_ms) for alert in alerts if _scales(alert["labels"])]
    return {"version": "4", "status": "firing", "truncatedAlerts": 0, "alerts": told}


def _scales(labels: Mapping[str, str]) -> bool:
    return catalog.SCALING_LABEL in labels or catalog.ACTION_LABEL in labels


def _alert(alert: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    over = datetime.fromisoformat(alert["endsAt"]).timestamp() * 1000 <= now_ms
    return {**alert, "status": "resolved" if over else "firing", "fingerprint": fingerprint(alert["labels"])}  # fmt: skip


def fingerprint(labels: Mapping[str, str]) -> str:
    """Name a set of labels: 16 hexadecimal digits, the same in every process."""
    text = json.dumps(sorted(labels.items()), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
