"""Whether the labels are there that rules select, group and match by, with such values. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from promql_parser import (
    AggModifier,
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    LabelModifierType,
    Matcher,
    MatchOp,
    VectorMatchCardinality,
    VectorSelector,
)

from alerts.finding import Code, Finding
from alerts.leaves import Labels, both, left
from alerts.reading import matchers, named, nodes, selectors
from alerts.rulefile import Written
from alerts.world import World, misspelt
from lightmeter.errors import nearest


_LITERAL = re.compile(r"[^.*+?()\[\]{}\\^$|]*")


def label(rule: Written, world: World) -> Iterator[Finding]:
    """See that each label exists where it is asked for, and can have the value asked for."""
    for message in dict.fromkeys(_messages(rule, world)):
        yield rule.says(Code.LABEL, message, "expr")


def _messages(rule: Written, world: World) -> Iterator[str]:
    for node in nodes(rule.tree):
        if isinstance(node, VectorSelector):
            yield from _selector(node, world)
        elif isinstance(node, AggregateExpr) and node.modifier is not None:
            yield from _grouping(node, node.modifier, world)
        elif isinstance(node, BinaryExpr):
            yield from _matching(node, world)


def _selector(node: VectorSelector, world: World) -> Iterator[str]:
    for name in named(node):
        has, known = world.has(name), world.known(name)
        for matcher in matchers(node):
            if has is None:
                right = misspelt(matcher.name, known.hints) if matcher.name not in known.hints else ""  # fmt: skip
                if right:
                    yield f"{name} has no label {matcher.name!r}; did you mean {right!r}?"
            elif matcher.name not in has:
                yield f"{name} has no label {matcher.name!r}{_nearest(matcher.name, has)}"
            words = known.words.get(matcher.name, ())
            yield from (f"{name} never has {matcher.name}={value!r}{_nearest_word(value, words)}" for value in _impossible(matcher, words))  # fmt: skip


def _impossible(matcher: Matcher, words: tuple[str, ...]) -> Iterator[str]:
    """Name the values of a matcher that a closed vocabulary does not have."""
    pattern = matcher.op in (MatchOp.Re, MatchOp.NotRe)
    plain = pattern and "(" not in matcher.value and "[" not in matcher.value
    for value in matcher.value.split("|") if plain else [matcher.value]:
        if words and value and not any(_is(value, word, pattern=pattern) for word in words):
            yield value


def _is(value: str, word: str, *, pattern: bool) -> bool:
    try:
        if value == word or float(value) == float(word):  # bounds of buckets: 4 is 4.0
            return True
    except ValueError:
        pass
    try:
        return pattern and bool(re.fullmatch(value, word))
    except re.error:  # what another dialect understands may well match
        return True


def _nearest_word(value: str, words: tuple[str, ...]) -> str:
    try:
        number = float(value)
        return f"; the nearest bound is {min(words, key=lambda word: abs(float(word) - number))}"
    except ValueError:
        return nearest(value, map(str, words)) or f"; it has {', '.join(words)}"


def _grouping(node: AggregateExpr, how: AggModifier, world: World) -> Iterator[str]:
    by = how.type == AggModifierType.By
    has = left(node.expr, world) if by else _beneath(node, world)
    for name in _lacking(how.labels, has):
        yield f"'{'by' if by else 'without'} ({name})': what is grouped has no label {name!r}{_nearest(name, has)}"  # fmt: skip


def _lacking(names: Iterable[str] | None, has: Labels) -> list[str]:
    return [name for name in names or () if has is not None and name not in has]


def _matching(node: BinaryExpr, world: World) -> Iterator[str]:
    how = node.modifier
    if how is None:
        return
    lhs, rhs = left(node.lhs, world), left(node.rhs, world)
    matched = how.matching.labels if how.matching is not None else ()
    own = [name for name in matched if name not in world.targets]  # targets may lack any
    if how.matching is not None and how.matching.type == LabelModifierType.Include:
        for side, has in (("left", lhs), ("right", rhs)):
            for name in _lacking(own, has):
                yield f"'on ({name})': the {side} side has no label {name!r}{_nearest(name, has)}"
    else:
        for name in _lacking(own, both(lhs, rhs)):
            yield f"'ignoring ({name})': neither side has a label {name!r}{_nearest(name, both(lhs, rhs))}"  # fmt: skip
    one = rhs if how.card == VectorMatchCardinality.ManyToOne else lhs
    for name in _lacking(how.group_labels, one):
        yield f"the side that gives label {name!r} does not have it{_nearest(name, one)}"


def _beneath(node: AggregateExpr, world: World) -> Labels:
    """List the labels of all that is selected in an expression, and of what it leaves."""
    labels = left(node.expr, world)
    for selector in selectors(node.expr):
        labels = both(labels, left(selector, world))
    return labels


def _nearest(name: str, has: Labels) -> str:
    plain = [one for one in has or () if not one.startswith("exported_")]
    same = [f"; did you mean {one!r}?" for one in plain if one.lower() == name.lower()]
    return (*same, nearest(name, plain) or "; --label names one that your targets have")[0]
