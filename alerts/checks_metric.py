"""Whether what rules ask for is exposed by anything. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from alerts.finding import Code, Finding
from alerts.reading import names
from alerts.rulefile import Written
from alerts.world import OURS, SHARED, SYNTHETIC, World, misspelt


def metric(rule: Written, world: World) -> Iterator[Finding]:
    """See that the metrics exist, under names that are ours or that look as if they were."""
    for name in sorted(names(rule.tree) - world.series.keys() - set(SYNTHETIC)):
        message = _unknown(name, world)
        if message:
            yield rule.says(Code.METRIC, message, "expr")


def _unknown(name: str, world: World) -> str:
    if name.startswith(OURS):
        if f"{name}_bucket" in world.series:
            return f"{name} is a histogram, whose series are {name}_bucket, {name}_sum and {name}_count; ask for one of them"
        near = world.nearest(name)
        what = "is recorded by none of these files" if ":" in name else "does not exist"
        return f"metric {name} {what}{f'; did you mean {near}?' if near else ''}"
    if name.startswith(SHARED):
        known = [one for one in world.series if one.startswith(SHARED)]
        right = total if (total := f"{name}_TOTAL") in known else misspelt(name, known)
        if right:
            return f"metric {name} looks like a misspelling of {right}"
    return f"metric {name} is not one of ours; see that something exposes it" if world.options.strict else ""  # fmt: skip
