"""Prometheus' two text formats, from one set of samples.

Text 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/. OpenMetrics 1.0:
https://github.com/prometheus/OpenMetrics. Ours rather than prometheus_client's because that adds
``_total`` to DCGM's counters, and because labels that are joined once and kept make a page of 500
series several times cheaper (bench/scrape.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lightmeter.catalog import Kind, Metric


LABEL_CHARS = 256
"""Longest label value, as a pod's name may have 253; a longer one is cut and ends in an ellipsis."""
_TOTAL = "_total"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\""})


@dataclass(frozen=True, eq=False)
class Form:
    """One of the formats: how a metric is announced, and how a page ends."""

    content_type: str
    announce: Callable[[Metric], str]
    end: str = ""
    _heads: dict[str, str] = field(default_factory=dict, repr=False)

    def head(self, metric: Metric) -> str:
        """Write the lines before a metric's samples."""
        if metric.name not in self._heads:
            self._heads[metric.name] = self.announce(metric)
        return self._heads[metric.name]


def _text_head(metric: Metric) -> str:
    return f"# HELP {metric.name} {_help(metric)}\n# TYPE {metric.name} {metric.kind}\n"


def _openmetrics_head(metric: Metric) -> str:
    """Announce a counter without its ending; one that has none can only be of unknown type."""
    name, kind = metric.name, str(metric.kind)
    if metric.kind is Kind.COUNTER and name.endswith(_TOTAL):
        name = name.removesuffix(_TOTAL)
    elif metric.kind in (Kind.COUNTER, Kind.UNTYPED):
        kind = "unknown"
    return f"# HELP {name} {_help(metric)}\n# TYPE {name} {kind}\n"


def _help(metric: Metric) -> str:
    return metric.help.replace("\\", r"\\").replace("\n", r"\n")


TEXT = Form("text/plain; version=0.0.4; charset=utf-8", _text_head)
OPENMETRICS = Form(
    "application/openmetrics-text; version=1.0.0; charset=utf-8", _openmetrics_head, "# EOF\n"
)


def label(value: str) -> str:
    """Make a label's value safe to print: cut to `LABEL_CHARS`, no control characters, escaped."""
    if len(value) > LABEL_CHARS:
        value = value[: LABEL_CHARS - 1] + "…"
    if not value.isprintable():  # also true of the lone surrogates that undecodable bytes become
        value = "".join(char if char.isprintable() else "�" for char in value)
    return value.translate(_ESCAPES)


def labels(*pairs: tuple[str, str]) -> str:
    """Join names and values, without the braces: ``gpu="0",reason="ok"``."""
    return ",".join(f'{name}="{label(value)}"' for name, value in pairs)


class Sheet:
    """Samples under their metrics, each series once, up to ``limit`` of them."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self.limit = limit
        self.series = 0
        self.dropped = 0
        self._blocks: dict[str, tuple[Metric, dict[str, float]]] = {}
        self._texts: dict[str, tuple[Metric, list[str]]] = {}

    def add(self, metric: Metric, joined: str, value: float | None) -> None:
        """Add a sample under joined `labels`; None or what is no finite number is left out."""
        if value is None or not math.isfinite(value):
            return
        block = self._blocks.get(metric.name)
        if block is None:
            block = self._blocks[metric.name] = (metric, {})
        if joined in block[1] or self.series >= self.limit:
            self.dropped += 1
            return
        block[1][joined] = value
        self.series += 1

    def add_text(self, metric: Metric, lines: str, count: int) -> None:
        """Add lines that were written before, of a metric that has no others."""
        self._texts.setdefault(metric.name, (metric, []))[1].append(lines)
        self.series += count

    def text(self, form: Form) -> str:
        """Write the samples, metric by metric."""
        parts: list[str] = []
        for metric, samples in self._blocks.values():
            name = metric.name
            if samples:
                parts.append(form.head(metric))
            parts += [
                f"{name}{{{joined}}} {value!r}\n" if joined else f"{name} {value!r}\n"
                for joined, value in samples.items()
            ]
        for metric, lines in self._texts.values():
            parts += [form.head(metric), *lines]
        return "".join(parts)


def document(form: Form, sheets: Iterable[Sheet]) -> bytes:
    """Write sheets, whose metrics must differ, as one page."""
    return ("".join(sheet.text(form) for sheet in sheets) + form.end).encode()


def choose(accept: str) -> Form:
    """Choose the format that a request's Accept header prefers; plain text where it has no wish."""
    best = {TEXT.content_type: 0.0, OPENMETRICS.content_type: 0.0}
    for wish in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in wish.split(";"))
        said = dict(part.partition("=")[::2] for part in parameters)
        weight = _weight(said.get("q", "1"))
        if kind == "application/openmetrics-text" and said.get("version", "1.0.0") == "1.0.0":
            best[OPENMETRICS.content_type] = max(best[OPENMETRICS.content_type], weight)
        elif kind in ("text/plain", "text/*", "*/*"):
            best[TEXT.content_type] = max(best[TEXT.content_type], weight)
    return OPENMETRICS if best[OPENMETRICS.content_type] > best[TEXT.content_type] else TEXT


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
