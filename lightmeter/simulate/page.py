"""A study as files: simulate.json, simulate.md and a page that needs nothing but a browser."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from lightmeter.errors import ScaleError, explain
from lightmeter.scaling.policies import ORACLE
from lightmeter.simulate import charts
from lightmeter.simulate.curves import FEWEST_DAYS
from lightmeter.simulate.study import CLOSE, LEAST_SECONDS, SHORT
from lightmeter.units import show_duration


JSON, MARKDOWN, HTML = "simulate.json", "simulate.md", "simulate.html"
HEADS = ("policy", "cost", "GPU-hours", "violations", "minutes with them", "wait p50", "p95", "p99", "changes", "reversals", "cold starts", "regret", "against the cheapest other")  # fmt: skip


def write(document: dict[str, Any], out: Path) -> list[Path]:
    """Write the three files into a folder, made where it is not there.

    Raises:
        ScaleError: it cannot be written.
    """
    texts = {
        JSON: json.dumps(document, indent=2) + "\n",
        MARKDOWN: render(MARKDOWN, document),
        HTML: render(HTML, document),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ScaleError(f"folder {str(out)!r} {explain(error)}; name another with --out") from error  # fmt: skip
    return [out / name for name in texts]


def render(name: str, document: dict[str, Any]) -> str:
    """Fill the template of a file's name."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lightmeter.simulate", "templates"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=show_duration, moment=_moment)
    colour = charts.kinds(document)
    drawn = {
        "trade": charts.trade(document),
        "courses": charts.replicas(document),
        "waits": charts.waits(document),
        "sweeps": charts.sweep(document),
    }
    return environment.get_template(f"{name}.j2").render(
        study=document,
        said=said(document),
        heads=HEADS,
        rows=[(colour[row["policy"]], cells(row)) for row in document["policies"]],
        chosen=[(row["policy"], row["chosen"]) for row in document["policies"] if "chosen" in row],
        **(drawn if name == HTML else {}),
    )


def said(document: dict[str, Any]) -> list[str]:
    """Say what came out of it, in a sentence or two."""
    if (short := too_short(document)) is not None:
        return [short]
    first = document["policies"][0]
    found = first.get("difference")
    if first["policy"] == ORACLE or found is None:
        return []
    other = first["cost_gpu_hours"] - found["gpu_hours"]
    if found["verdict"] == CLOSE:
        return [f"{first['policy']} costs {first['cost_gpu_hours']:,.1f} GPU-hours, and {found['to']} {other:,.1f}: too close to call."]  # fmt: skip
    doubt = " Too few days to say how sure that is." if found["verdict"] == SHORT else ""
    return [f"{first['policy']} costs {first['cost_gpu_hours']:,.1f} GPU-hours, {_than(found['gpu_hours'], other)} {found['to']}.{doubt}"]  # fmt: skip


def too_short(document: dict[str, Any]) -> str | None:
    """Say that the history is too short to compare policies on, and what it takes, or nothing."""
    covered = max(document["last"] - document["first"], 0.0)
    if covered >= LEAST_SECONDS:
        return None
    return f"The history covers {show_duration(covered)}, too short to compare policies: that takes {show_duration(LEAST_SECONDS)} at least, and {FEWEST_DAYS} days to say how sure a difference is."  # fmt: skip


def _than(amount: float, other: float) -> str:
    """Say how much more than ``other`` the cost is, in whichever of share and times is readable."""
    if amount <= 0:
        return f"{-amount / other:.0%} less than" if other else "as much as"
    if amount < 9 * other:
        return f"{amount / other:.0%} more than"
    return f"{amount / other + 1:,.0f} times as much as" if other else f"{amount:,.1f} more than"


def against(row: dict[str, Any]) -> str:
    """Say how a row's cost differs from the cheapest other one's."""
    found = row.get("difference")
    if found is None:
        return ""
    amount = f"{found['gpu_hours']:+,.1f}"
    if found["low"] is None:
        return f"{amount} {found['to']}: {found['verdict']}"
    interval = f"({found['low']:+,.1f} to {found['high']:+,.1f})"
    verdict = f" {found['to']}" if found["verdict"] != CLOSE else f" {found['to']}: {CLOSE}"
    return f"{amount} {interval}{verdict}"


def cells(row: dict[str, Any]) -> list[str]:
    """Return a row of the table, a text for each of `HEADS`."""
    regret = row["regret_ratio"]
    return [
        row["policy"],
        f"{row['cost_gpu_hours']:,.1f}",
        f"{row['gpu_hours']:,.1f}",
        f"{row['violation_ratio']:.2%}",
        f"{row['violation_minutes']:,}",
        *[_wait(row[f"wait_{name}_seconds"]) for name in ("p50", "p95", "p99")],
        f"{row['operations']:,}",
        f"{row['reversals']:,}",
        f"{row['cold_starts']:,}",
        "" if regret is None else f"{regret:+.0%}",
        against(row),
    ]


def _wait(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return show_duration(seconds) if seconds else "0"


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
