"""plan.json as something to read: a page, a Markdown file, a table for the terminal."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path
from typing import Any

import jinja2

from lightmeter.errors import PlanError, explain
from lightmeter.units import counted, show_bytes, show_duration, show_ratio
from planner import chart


JSON, HTML, MARKDOWN = "plan.json", "report.html", "report.md"
MOST_SERVICES = 30
"""Services listed in the report; plan.json has them all."""


def write(document: dict[str, Any], out: Path) -> None:
    """Write plan.json, report.html and report.md into a folder.

    Raises:
        PlanError: the folder cannot be written.
    """
    files = {
        JSON: json.dumps(document, indent=2, ensure_ascii=False) + "\n",
        HTML: _render(HTML, document, chart=chart.costs(document)),
        MARKDOWN: _render(MARKDOWN, document, chart=""),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            partial = out / f".{name}.{os.getpid()}"
            partial.write_text(content, encoding="utf-8")
            partial.replace(out / name)
    except OSError as error:
        raise PlanError(
            f"report folder {str(out)!r} {explain(error)}; name another with --out"
        ) from error


def _render(name: str, document: dict[str, Any], *, chart: str) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("planner", "templates"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=show_duration,
        counted=counted,
        ratio=show_ratio,
        size=show_bytes,
        money=_money,
        cell=_cell,
    )
    return environment.get_template(f"{name}.j2").render(
        plan=document, chart=chart, most=MOST_SERVICES
    )


def _money(amount: float) -> str:
    return f"{amount:,.2f}"


_MARKDOWN = str.maketrans({"|": "&#124;", "\\": "&#92;", "`": "&#96;", "*": "&#42;", "_": "&#95;"})


def _cell(text: object) -> str:
    """Keep a name from breaking a Markdown table, or from being markup."""
    return " ".join(html.escape(str(text), quote=False).split()).translate(_MARKDOWN)


_HEAD = (
    "option",
    "GPUs",
    "a month",
    "95 % interval",
    "1,000 images",
    "p50 wait",
    "p95 wait",
    "within SLO",
    "keeps it",
)


def text(document: dict[str, Any]) -> str:
    """Return the table of options and the advice, for a terminal."""
    table = [_HEAD, *(_row(option) for option in document["options"])]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEAD))]
    lines = [
        "  ".join(
            f"{cell:<{width}}" if index == 0 else f"{cell:>{width}}"
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
    evidence, slo = document["generated_from"], document["slo"]
    facts = (
        f"{evidence['requests']:,} requests of {counted(len(document['services']), 'service')} in {show_duration(evidence['span_seconds'])}, "
        f"{evidence['busy_gpus_mean']:.3g} GPUs busy on average; objective: {show_ratio(max(0.95, slo['attainment']))} of requests start within {show_duration(slo['p95_wait_seconds'])}; "
        f"{document['currency']}, {document['options'][0]['sku']}"
    )
    advice = document["recommendation"]
    flips = [f"  {flip['what']}: {flip['at']:.4g}" for flip in advice["flips_when"]]
    if flips:
        flips = ["", "What would change the advice:", *flips]
    return "\n".join([facts, "", *lines, "", advice["reason"], *flips, "", *_trust(document)])


def _trust(document: dict[str, Any]) -> list[str]:
    """Say how far the figures can be trusted: the history's grade, the calibration, what comes."""
    quality, outlook = document["quality"], document.get("outlook")
    flaws = "; ".join(flaw["reason"] for flaw in quality["flaws"]) or "no flaws"
    found = [f"History: grade {quality['grade']} ({flaws})", f"Calibration: {document['calibration']['reason']}"]  # fmt: skip
    if outlook is None:
        return found
    low, high = outlook["load_factor_ci"]
    kept = {True: "keeps the objective", False: "may miss the objective"}.get(outlook.get("meets_slo"), "was not replayed")  # fmt: skip
    return [*found, f"Next {outlook['days']} days: {low:.2f} to {high:.2f} times this load, by the {outlook['source']}; at the upper end the advice {kept}"]  # fmt: skip


def _row(option: dict[str, Any]) -> tuple[str, ...]:
    low, high = option["monthly_cost_ci"]
    return (
        option["name"],
        str(option["gpus"]),
        f"{option['monthly_cost']:,.2f}",
        f"{low:,.0f} - {high:,.0f}" if high > low else "fixed",
        f"{option['cost_per_1000_images']:,.2f}",
        show_duration(option["wait_p50_seconds"]),
        show_duration(option["wait_p95_seconds"]),
        show_ratio(option["slo_attainment"]),
        "yes" if option["meets_slo"] else "no",
    )
