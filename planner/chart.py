"""The chart of the report, as inline SVG with real text, so that any browser font will do."""

from __future__ import annotations

import io
from typing import Any

from lightmeter.units import counted


KEEPS, MISSES = "#2a7f62", "#b8b8b8"


def costs(document: dict[str, Any]) -> str:
    """Draw the monthly cost of each option, with its interval and its wait, as an SVG element."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    options = document["options"]
    with mpl.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "lightmeter",
            "font.family": "sans-serif",
            "font.size": 10,
        }
    ):
        figure = Figure(figsize=(8.6, 0.75 * len(options) + 1.1), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        for row, option in enumerate(options):
            _bar(axes, row, option)
        axes.set_yticks(range(len(options)), [option["name"] for option in options])
        axes.invert_yaxis()
        axes.set_xlim(0, max(option["monthly_cost_ci"][1] for option in options) * 1.45 or 1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel(f"{document['currency']} a month; green keeps the objective, grey does not")
        axes.spines[["top", "right"]].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _bar(axes: Any, row: int, option: dict[str, Any]) -> None:
    amount, (low, high) = option["monthly_cost"], option["monthly_cost_ci"]
    axes.barh(row, amount, height=0.55, color=KEEPS if option["meets_slo"] else MISSES)
    if high > low:
        axes.plot([low, high], [row, row], color="#333333", linewidth=1.2, marker="|")
    note = f" {amount:,.0f} · {counted(option['gpus'], 'GPU')} · p95 wait {option['wait_p95_seconds']:.1f} s"
    axes.text(max(amount, high), row, note, va="center")
