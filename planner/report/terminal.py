"""The table of options and the advice, for a terminal."""

from __future__ import annotations

from typing import Any

from lightmeter.units import counted, show_duration, show_ratio


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
        f"{counted(evidence['requests'], 'request')} of {counted(len(document['services']), 'service')} in {show_duration(evidence['span_seconds'])}, "
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
        "\u2013"
        if option["cost_per_1000_images"] is None
        else f"{option['cost_per_1000_images']:,.2f}",
        show_duration(option["wait_p50_seconds"]),
        show_duration(option["wait_p95_seconds"]),
        show_ratio(option["slo_attainment"]),
        "yes" if option["meets_slo"] else "no",
    )
