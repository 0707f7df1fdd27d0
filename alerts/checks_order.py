"""Rules that are there twice, or before what they need. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alerts.finding import Code, Finding
from alerts.reading import names
from alerts.rulefile import Written


def twice(rules: Sequence[Written]) -> Iterator[Finding]:
    """See that no two rules of a file make the same series or the same alert."""
    first: dict[object, Written] = {}
    for rule in rules:
        before = first.setdefault((rule.is_alert, rule.name, frozenset(rule.labels.items())), rule)
        if before is not rule:
            what = "alert" if rule.is_alert else "record"
            yield rule.says(Code.DUPLICATE, f"{what} {rule.name} with the same labels is in line {before.entry.line} already; tell them apart by a label, or leave one out")  # fmt: skip


def late(rules: Sequence[Written]) -> Iterator[Finding]:
    """See that no recording rule needs a series that its own group records only after it.

    A group is evaluated in order, so such a rule sees the value of one interval before.
    """
    records = [rule for rule in rules if not rule.is_alert]
    for index, rule in enumerate(records):
        before = {one.name for one in records[: index + 1] if one.group == rule.group}
        after = {one.name for one in records[index + 1 :] if one.group == rule.group}
        for name in sorted(names(rule.tree) & (after - before)):
            yield rule.says(Code.ORDER, f"{name} is recorded after it in the same group, so it sees the value of one interval before; put it behind", "expr")  # fmt: skip
