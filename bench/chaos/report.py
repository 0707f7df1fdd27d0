"""A run's result in Markdown. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench.chaos import judge
from bench.chaos.judge import Trend
from bench.chaos.session import Result


def markdown(result: Result, about: Mapping[str, Any]) -> str:
    """Say what was done, how soon it was mended, what grew, what fired, and which promise broke."""
    fired = Counter(one.name for one in result.firings)
    return "\n\n".join([
        ", ".join(f"{name} {value}" for name, value in about.items()),
        f"{result.seconds / 60:.1f} minutes, {len(result.struck)} faults, {result.answered:,} requests answered with a picture, {result.recorded:,} rows in the histories.",
        _table(judge.table(result.struck)),
        *(f"Left out: {name}, since {why}." for name, why in result.skipped.items()),
        _memory(result.trends),
        f"Alerts that fired: {', '.join(f'{name} {count}' for name, count in sorted(fired.items())) or 'none'}.",
        f"Requests: {', '.join(f'{name} {count:,}' for name, count in result.statuses.items())}.",
        "\n".join(f"BROKEN: {line}" for line in result.broken) or "Every promise was kept.",
    ])  # fmt: skip


def _memory(trends: Sequence[Trend]) -> str:
    """Keep the longest life of each program; the others are in the JSON."""
    longest: dict[str, Trend] = {}
    for one in trends:
        if one.process not in longest or one.minutes > longest[one.process].minutes:
            longest[one.process] = one
    if not longest:
        return "No process lived long enough to tell whether it grows."
    return _table([
        {
            "process": one.process, "minutes": f"{one.minutes:.1f}", "MiB": f"{one.mib:.0f}",
            "MiB/h": f"{one.slope:+.1f} ({one.low:+.1f} to {one.high:+.1f})",
            "open files": f"{one.files[0]:.0f} → {one.files[1]:.0f}", "sockets": f"{one.sockets[0]:.0f} → {one.sockets[1]:.0f}",
        }
        for one in longest.values()
    ])  # fmt: skip


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "Nothing was struck."
    lines = [f"| {' | '.join(rows[0])} |", f"|{'|'.join(['---'] * len(rows[0]))}|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row.values()))} |" for row in rows)])
