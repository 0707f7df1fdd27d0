"""The months of ``lightmeter plan``, and where its report is delivered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from lightmeter.cli.written import put
from lightmeter.errors import PlanError, explain


F = TypeVar("F", bound=Callable[..., Any])
RECEIPTS = ".delivered.json"
"""In the report's folder: which webhook was told of which report."""


def delivery_options(function: F) -> F:
    """Add the options."""
    for option in (
        click.option("--webhook-secret-file", type=click.Path(path_type=Path), help="File with the secret that signs what a webhook is told."),
        click.option("--deliver", "targets", metavar="TARGET", multiple=True, help="Where the report goes besides --out: a folder, a URL of object storage (s3://, gs://, any of fsspec), or a webhook (https://). Again for more; wants a month that is over."),
    ):  # fmt: skip
        function = option(function)
    return function


def settled_month(text: str | None, now: datetime) -> str | None:
    """Read ``--month``: a month, or ``last`` for the last one that is over."""
    if text != "last":
        return text
    return f"{now.astimezone(UTC).replace(day=1) - timedelta(days=1):%Y-%m}"


def check_over(month: str | None, targets: tuple[str, ...], now: datetime) -> None:
    """Refuse to deliver a month that is not over: the report would be another tomorrow.

    Raises:
        PlanError: naming when it will be.
    """
    from planner.demand import month_window

    if month and targets and month_window(month)[1] > now:
        raise PlanError(f"month {month} is not over before {month_window(month)[1]:%Y-%m-%d} UTC, so its report is not delivered yet; take --month last, or leave --deliver out")  # fmt: skip


def secret_of(path: Path | None) -> bytes | None:
    """Read the secret that signs.

    Raises:
        PlanError: there is none in the file.
    """
    if path is None:
        return None
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise PlanError(f"webhook secret file {str(path)!r} {explain(error)}") from error
    if not secret:
        raise PlanError(f"webhook secret file {str(path)!r} is empty")
    return secret


def send(
    document: Mapping[str, Any],
    out: Path,
    targets: tuple[str, ...],
    *,
    focus: Path | None,
    secret: bytes | None,
) -> list[str]:
    """Deliver the report in ``out`` to each target, stores before webhooks; say what became of it.

    Raises:
        OutsideError: one refused; those before it have it.
    """
    from planner import deliver, report

    if not targets:
        return []
    files = {name: (out / name).read_bytes() for name in report.FILES}
    if focus is not None:
        files["focus.csv"] = focus.read_bytes()
    parcel = deliver.Parcel(deliver.name_of(document), files)
    said = [deliver.to_store(target, parcel) for target in targets if not _is_webhook(target)]
    receipts = _receipts(out)
    for target in filter(_is_webhook, targets):
        known = hashlib.sha256(target.encode()).hexdigest()
        if receipts.get(known) == parcel.id:
            said.append("a webhook was told of this report already")
            continue
        said.append(deliver.to_webhook(target, deliver.summary(document, parcel), secret))
        receipts[known] = parcel.id
        put(out, {RECEIPTS: json.dumps(receipts, indent=2) + "\n"})
    return said


def _is_webhook(target: str) -> bool:
    return target.startswith(("http://", "https://"))


def _receipts(out: Path) -> dict[str, str]:
    try:
        found = json.loads((out / RECEIPTS).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
