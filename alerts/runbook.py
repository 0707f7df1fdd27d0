"""The runbook, and the table of what fires when: pages from the rules' own table. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from alerts.objectives import Links, Money, Objective, Override, Slo
from alerts.rule import Alert, Pack, Severity
from lightmeter.section import Section


_NOTE = "<!-- Made from the rules' table; `make generate` renews it. -->"
_WHO = {
    Severity.PAGE: "wakes somebody",
    Severity.TICKET: "a ticket for office hours",
    Severity.NONE: "nobody is told",
}


def runbook(packs: tuple[Pack, ...]) -> str:
    """Write a heading for each alert: what it means, what to do first, what then, and its rule."""
    lines = [
        _NOTE,
        "# Runbook",
        "",
        "Each alert links to its heading here and to the panel that shows its cause. Its text says the object and the value.",
    ]
    for pack in packs:
        lines += ["", f"## The pack `{pack.name}`"]
        for alert in _each(pack):
            lines += ["", *_entry(alert)]
    return "\n".join(lines) + "\n"


def _each(pack: Pack) -> Iterator[Alert]:
    """Give one alert of each name: those for several objectives differ in their words only."""
    seen: set[str] = set()
    for alert in pack.alerts:
        if alert.name not in seen:
            seen.add(alert.name)
            yield alert


def _entry(alert: Alert) -> Iterator[str]:
    yield f"### {alert.name}"
    yield ""
    yield f"**{_WHO[alert.severity].capitalize()}.** {alert.meaning}"
    yield ""
    yield f"1. {alert.first}"
    yield from (f"{number}. {step}" for number, step in enumerate(alert.then, start=2))
    yield ""
    yield f"Panel: {alert.panel.title}, on the board `{alert.panel.board}`."
    yield ""
    yield f"```promql\n{alert.expr}\n```"


def reference(packs: tuple[Pack, ...]) -> str:
    """Write the page of what fires when, of recorded series and of the keys of ``slo.toml``."""
    lines = [
        _NOTE,
        "# Alert reference",
        "",
        "Made from the same table as the rules, their tests and the [runbook](../alerts/runbook.md). [Alerts](alerts.md) explains it.",
    ]
    for pack in packs:
        lines += [
            "",
            f"## What fires when: `{pack.name}`",
            "",
            "| alert | who is told | true for | example of its text |",
            "|---|---|---|---|",
        ]
        lines += [_row(alert) for alert in pack.alerts]
    records = [record for pack in packs for record in pack.records]
    lines += [
        "",
        "## Recorded series",
        "",
        "Labels: those of `group_by`, and `slo` where it is about an objective.",
        "",
    ]
    lines += [f"- `{name}`" for name in dict.fromkeys(record.name for record in records)]
    lines += ["", "## Keys of `slo.toml`", "", *_keys("", Slo), *_keys("[[objective]]", Objective), *_keys("[alerts.NAME]", Override), *_keys("[links]", Links), *_keys("[money]", Money)]  # fmt: skip
    return "\n".join(lines) + "\n"


def _row(alert: Alert) -> str:
    link = f"[{alert.name}](../alerts/runbook.md#{alert.name.lower()})"
    says = alert.trials[0].says.replace("|", "\\|")
    held = "at once" if alert.hold == "0m" else alert.hold
    return f"| {link} | {_WHO[alert.severity]} | {held} | {says} |"


def _keys(heading: str, section: type[Section]) -> Iterator[str]:
    yield f"### {heading or 'At the top'}"
    yield ""
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    for key, field in section.model_fields.items():
        if field.description and field.default_factory is None:
            default = "" if field.is_required() else f"`{_shown(field.default)}`"
            yield f"| `{key}` | {default} | {field.description} |"
    yield ""


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value)
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
