"""plan.json as something to read: a page, a Markdown file, tables for a spreadsheet, the terminal."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lightmeter.errors import PlanError, explain
from planner.report import render, sheets
from planner.report.terminal import text


__all__ = ["FILES", "HTML", "JSON", "MARKDOWN", "text", "write"]
JSON, HTML, MARKDOWN, XLSX = "plan.json", "report.html", "report.md", "report.xlsx"
OPTIONS, SERVICES = "options.csv", "services.csv"
FILES = (JSON, HTML, MARKDOWN, XLSX, OPTIONS, SERVICES)


def write(document: dict[str, Any], out: Path, language: str = "en") -> None:
    """Write `FILES` into a folder; the same document gives the same bytes.

    Raises:
        PlanError: the folder cannot be written.
    """
    made = render.compose(document, language)
    files = {
        JSON: (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode(),
        HTML: render.page(made).encode(),
        MARKDOWN: render.markdown(made).encode(),
        XLSX: sheets.workbook(document, language),
        OPTIONS: sheets.table(sheets.options(document)).encode(),
        SERVICES: sheets.table(sheets.services(document)).encode(),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            partial = out / f".{name}.{os.getpid()}"
            partial.write_bytes(content)
            partial.replace(out / name)
    except OSError as error:
        raise PlanError(
            f"report folder {str(out)!r} {explain(error)}; name another with --out"
        ) from error
