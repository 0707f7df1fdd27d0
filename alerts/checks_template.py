"""Whether the templates of an alert's text can be filled in. Pure.

https://prometheus.io/docs/prometheus/latest/configuration/template_reference/
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from promql_parser import BinaryExpr, Call, Expr, VectorSelector

from alerts.finding import Code, Finding
from alerts.leaves import left
from alerts.reading import bare, compares, is_bool, named, operator
from alerts.rulefile import Written
from alerts.world import World
from lightmeter.errors import nearest


GIVEN = ("labels", "value", "externalLabels", "externalURL")
"""The variables that Prometheus gives."""
_ACTION = re.compile(r"\{\{((?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|(?!\}\}).)*)(\}\})?", re.DOTALL)
_STRING = re.compile(r"\"(?:\\.|[^\"\\])*\"|`[^`]*`")
_OPENS = re.compile(r"\s*-?\s*(if|range|with|block|define)\b")
_ENDS = re.compile(r"\s*-?\s*end\b")
_VARIABLE = re.compile(r"\$(\w+)")
_MADE = re.compile(r"\$(\w+)\s*(?:,\s*\$(\w+)\s*)?:=")
_LABEL = re.compile(r"\$labels\.(\w+)|index\s+\$labels\s+\"(\w+)\"")
_CLOSE = 0.75
_ABSENT = ("absent", "absent_over_time")


def template(rule: Written, world: World) -> Iterator[Finding]:
    """See that templates are whole, and use what the expression leaves."""
    if not rule.is_alert:
        return
    for part in ("labels", "annotations"):
        for name, text in rule.entry.texts(part).items():
            for message in _messages(text, rule, world):
                yield rule.says(Code.TEMPLATE, f"{part[:-1]} {name!r}: {message}", part, name)


def _messages(text: str, rule: Written, world: World) -> Iterator[str]:
    actions = [found.groups() for found in _ACTION.finditer(text)]
    bodies = [body for body, _ in actions]
    if any(end is None or re.search("[{}]", _STRING.sub("", body)) for body, end in actions):
        yield "a '{{' is never closed, or has another brace within; close it with '}}'"
        return
    opened, ended = (sum(bool(form.match(body)) for body in bodies) for form in (_OPENS, _ENDS))
    if opened != ended:
        yield f"{opened} of 'if', 'range' and 'with' are closed by {ended} of 'end'; make them as many"
    yield from dict.fromkeys(_names(bodies, rule, world))


def _names(bodies: list[str], rule: Written, world: World) -> Iterator[str]:
    made = {name for body in bodies for pair in _MADE.findall(body) for name in pair}
    has = left(rule.tree, world)
    for body in bodies:
        for name in _VARIABLE.findall(_STRING.sub("", body)):
            if name not in made and name not in GIVEN:
                yield f"there is no variable ${name}{nearest(name, GIVEN)}"
        for pair in _LABEL.findall(body):
            name = "".join(pair)
            if has is not None and name not in has and not name.startswith("__"):
                yield f"the expression leaves no label {name!r}; {_leaves(has, name, world)}"
        if "$value" in _STRING.sub("", body) and _yes_or_no(rule.tree, world):
            yield "$value is always the same here, for the expression says only yes or no; leave it out"


def _leaves(has: frozenset[str], name: str, world: World) -> str:
    own = sorted(one for one in has if not one.startswith("exported_"))
    close = difflib.get_close_matches(name, own, n=1, cutoff=_CLOSE)
    if close:
        return f"did you mean {close[0]!r}?"
    more = "; --label names one that your targets have" if world.targets <= has else ""
    return f"it leaves {', '.join(own)}{more}" if own else "it leaves none at all"


def _yes_or_no(tree: Expr, world: World) -> bool:
    tree = bare(tree)
    if isinstance(tree, BinaryExpr) and compares(tree):
        return is_bool(tree) or (operator(tree) == "==" and _yes_or_no(tree.lhs, world))
    if isinstance(tree, BinaryExpr) and operator(tree) in ("and", "unless"):
        return _yes_or_no(tree.lhs, world)
    if isinstance(tree, VectorSelector):
        return any(world.known(name).unit == "boolean" for name in named(tree))
    return isinstance(tree, Call) and tree.func.name in _ABSENT
