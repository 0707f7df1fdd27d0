"""Rules that are there twice, or before what they need. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from promql_parser import Expr, MatrixSelector, SubqueryExpr, VectorSelector

from alerts.finding import Code, Finding
from alerts.leaves import NONE, left
from alerts.reading import children, named
from alerts.rulefile import Written
from alerts.world import World


def twice(rules: Sequence[Written], world: World) -> Iterator[Finding]:
    """See that no two rules of a file make the same series or the same alert.

    Rules of one name and labels may share out the series; so they must ask the same, or leave none.
    """
    first: dict[object, Written] = {}
    for rule in rules:
        whole = not rule.is_alert and left(rule.tree, world) == NONE
        asked = "" if whole else rule.tree.prettify()
        key = (rule.is_alert, rule.name, frozenset(rule.labels.items()), asked)
        before = first.setdefault(key, rule)
        if before is not rule:
            what = "alert" if rule.is_alert else "record"
            yield rule.says(Code.DUPLICATE, f"{what} {rule.name} with the same labels is in line {before.entry.line} already; tell them apart by a label, or leave one out")  # fmt: skip


def late(rules: Sequence[Written]) -> Iterator[Finding]:
    """See that no recording rule needs a series that its own group records only after it.

    A group is evaluated in order, so such a rule sees the value of one interval before; for a range
    that is as good.
    """
    records = [rule for rule in rules if not rule.is_alert]
    for index, rule in enumerate(records):
        before = {one.name for one in records[: index + 1] if one.group == rule.group}
        after = {one.name for one in records[index + 1 :] if one.group == rule.group}
        for name in sorted(_now(rule.tree) & (after - before)):
            yield rule.says(Code.ORDER, f"{name} is recorded after it in the same group, so it sees the value of one interval before; put it behind", "expr")  # fmt: skip


def _now(tree: Expr) -> set[str]:
    """Name what is asked for as it is now, not over a range."""
    if isinstance(tree, MatrixSelector | SubqueryExpr):
        return set()
    if isinstance(tree, VectorSelector):
        return set(named(tree))
    return {name for child in children(tree) for name in _now(child)}
