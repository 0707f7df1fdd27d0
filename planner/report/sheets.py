"""Options and services as tables of numbers: CSV, and a workbook."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from planner.report.language import Language


Document = Mapping[str, Any]
Rows = list[list[object]]
"""The head first; numbers are numbers, what is unknown is None."""
OPTION_FIELDS = (
    "name", "kind", "sharing", "sku", "gpus", "monthly_cost", "cost_per_1000_images", "wait_p50_seconds",
    "wait_p95_seconds", "wait_p99_seconds", "slo_attainment", "utilization", "cold_starts", "meets_slo",
)  # fmt: skip
SERVICE_FIELDS = ("name", "requests", "gpu_seconds", "busy_gpus_mean", "busy_gpus_p95", "vram_peak_bytes")  # fmt: skip
_MADE = datetime(1980, 1, 1, tzinfo=UTC).replace(tzinfo=None)
"""Date within the workbook, so that the same plan gives the same bytes; Excel knows no time zones."""
_WIDEST = 60


def options(document: Document) -> Rows:
    """Return a row for each option, in the currency that the head of its cost names."""
    bounds = ("monthly_cost", "slo_attainment")
    head = [*OPTION_FIELDS, *(f"{name}_{end}" for name in bounds for end in ("low", "high")), "recommended", "currency"]  # fmt: skip
    found: Rows = [list(head)]
    for index, option in enumerate(document["options"]):
        ends = [end for name in bounds for end in option[f"{name}_ci"]]
        found.append([*(option[name] for name in OPTION_FIELDS), *ends, index == document["recommendation"]["option"], document["currency"]])  # fmt: skip
    return found


def services(document: Document) -> Rows:
    """Return a row for each service: what it used, what it cost, and what it would wait."""
    index = document["recommendation"]["option"]
    advised = {} if index is None else {one["name"]: one for one in document["options"][index]["services"]}  # fmt: skip
    spent = {one["name"]: one["cost"] for one in (document.get("actual") or {}).get("services", ())}
    found: Rows = [[*SERVICE_FIELDS, "cost", "advised_wait_p95_seconds", "advised_slo_attainment", "currency"]]  # fmt: skip
    for one in document["services"]:
        waits = advised.get(one["name"], {})
        found.append([*(one[name] for name in SERVICE_FIELDS), spent.get(one["name"]), waits.get("wait_p95_seconds"), waits.get("slo_attainment"), document["currency"]])  # fmt: skip
    return found


def assumptions(document: Document) -> Rows:
    """Return a row for each assumption of each option."""
    found: Rows = [["option", "what", "value", "source"]]
    for option in document["options"]:
        found += [[option["name"], item["what"], item["value"], item["source"]] for item in option["assumptions"]]  # fmt: skip
    return found


def table(rows: Rows) -> str:
    """Write rows as CSV (RFC 4180, UTF-8); what is unknown is empty."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows([_plain(cell) for cell in row] for row in rows)  # fmt: skip
    return buffer.getvalue()


def _plain(cell: object) -> object:
    """Keep a name from being a formula where a spreadsheet opens the file: it gets an apostrophe."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{cell}"
    return cell


def workbook(document: Document, language: str) -> bytes:
    """Write a workbook: summary, options, services, assumptions; numbers as numbers, heads frozen."""
    import xlsxwriter

    say = Language(language)
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}) as book:  # fmt: skip
        book.set_properties({"created": _MADE, "title": say("title")})
        formats = {"head": book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})}  # fmt: skip
        for name, pattern in _FORMATS.items():
            formats[name] = book.add_format({"num_format": pattern})
        for name, rows in (
            (say("sheet.summary"), _summary(document, say)),
            (say("sheet.options"), options(document)),
            (say("sheet.services"), services(document)),
            (say("sheet.assumptions"), assumptions(document)),
        ):
            _fill(book.add_worksheet(name), rows, formats)
    return buffer.getvalue()


_FORMATS = {"money": "#,##0.00", "ratio": "0.0%", "seconds": "#,##0.000", "count": "#,##0", "plain": "General"}  # fmt: skip


def _format(name: str, cell: object) -> str:
    if "cost" in name:
        return "money"
    if name.startswith("slo_") or name.endswith(("utilization", "ratio", "attainment")):
        return "ratio"
    if "seconds" in name:
        return "seconds"
    return "count" if isinstance(cell, int) else "plain"


def _summary(document: Document, say: Language) -> Rows:
    advice, found, actual = document["recommendation"], document["generated_from"], document.get("actual") or {}  # fmt: skip
    rows: Sequence[tuple[str, object]] = (
        ("recommendation.reason", say.said(advice["reason"])),
        ("recommendation.saving_ratio", advice["saving_ratio"]),
        ("actual.cost", actual.get("cost")),
        ("actual.idle_cost", actual.get("idle_cost")),
        ("actual.idle_ratio", actual.get("idle_ratio")),
        ("currency", document["currency"]),
        ("month", document["month"]),
        ("generated_from.first", found["first"]),
        ("generated_from.last", found["last"]),
        ("generated_from.requests", found["requests"]),
        ("slo.p95_wait_seconds", document["slo"]["p95_wait_seconds"]),
        ("slo.attainment", document["slo"]["attainment"]),
    )
    return [["plan.json", ""], *([name, cell] for name, cell in rows)]


def _fill(sheet: Any, rows: Rows, formats: Mapping[str, Any]) -> None:
    head = [str(name) for name in rows[0]]
    by_row = head[1:] == [""]
    for column, name in enumerate(head):
        sheet.write_string(0, column, name, formats["head"])
        longest = max([len(str(row[column])) for row in rows[1:]] + [10])
        sheet.set_column(column, column, min(_WIDEST, longest + 2))
    for number, row in enumerate(rows[1:], start=1):
        for column, cell in enumerate(row):
            how = formats[_format(str(row[0]) if by_row else head[column], cell)]
            _put(sheet, (number, column), cell, how)
    sheet.freeze_panes(1, 1)
    sheet.set_landscape()
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)


def _put(sheet: Any, at: tuple[int, int], cell: object, how: Any) -> None:
    if isinstance(cell, bool):
        sheet.write_boolean(*at, cell)
    elif isinstance(cell, int | float):
        sheet.write_number(*at, cell, how)
    elif cell is not None:
        sheet.write_string(*at, str(cell))
