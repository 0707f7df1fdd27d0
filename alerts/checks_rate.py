"""Whether counters and gauges are read the way that each must be. Pure.

https://prometheus.io/docs/prometheus/latest/querying/functions/
"""

from __future__ import annotations

from collections.abc import Iterator

from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    VectorSelector,
)

from alerts.finding import Code, Finding
from alerts.leaves import left
from alerts.reading import COMPARISONS, bare, named, names, nodes, operator
from alerts.rulefile import Written
from alerts.world import OURS, World
from lightmeter.catalog import Kind


SCRAPES = 4
"""Two samples make a rate; so many intervals hold them though a scrape fails and another is late."""
_TWO_SAMPLES = ("rate", "irate", "increase", "delta", "idelta", "deriv", "predict_linear")
_OF_COUNTERS = ("rate", "irate", "increase")
_OF_GAUGES = {"delta": "increase", "idelta": "irate", "deriv": "rate"}
_LIKE_ONE = ("sum", "min", "max", "avg")


def rate(rule: Written, world: World) -> Iterator[Finding]:
    """See that ranges are long enough, and that functions fit the kind of metric."""
    for message in dict.fromkeys(_messages(rule.tree, world)):
        yield rule.says(Code.RATE, message, "expr")


def _messages(tree: Expr, world: World) -> Iterator[str]:
    for node in nodes(tree):
        if isinstance(node, Call) and node.func.name in _TWO_SAMPLES:
            yield from _ranged(node, world)
        elif isinstance(node, Call) and node.func.name == "histogram_quantile":
            yield from _quantile(node, world)
        elif isinstance(node, BinaryExpr):
            yield from _raw(node, world, whole=node is bare(tree))


def _ranged(node: Call, world: World) -> Iterator[str]:
    name, selected = node.func.name, bare(node.args[0])
    if not isinstance(selected, MatrixSelector):
        return
    seconds, least = selected.range.total_seconds(), SCRAPES * world.options.scrape_interval
    if seconds < least:
        yield f"{name}() over {seconds:g} s sees too few samples at a scrape each {world.options.scrape_interval:g} s: a late one and there is no value; take at least {least:g} s"
    for metric in named(selected.vector_selector):
        kind = world.known(metric).kind
        if name in _OF_COUNTERS and kind is Kind.GAUGE:
            yield f"{name}() of {metric}, a gauge: each fall counts as a restart; take delta() or deriv()"
        if name in _OF_GAUGES and kind is Kind.COUNTER:
            yield f"{name}() of {metric}, a counter: a restart counts as a fall; take {_OF_GAUGES[name]}()"


def _quantile(node: Call, world: World) -> Iterator[str]:
    labels = left(node.args[1], world)
    classic = [name for name in names(node.args[1]) if name.endswith("_bucket") or name.startswith(OURS)]  # fmt: skip
    if labels is not None and "le" not in labels and classic:
        yield f"histogram_quantile() of {classic[0]} without its label le has no value; group by le too, and ask the series _bucket"


def _raw(node: BinaryExpr, world: World, *, whole: bool) -> Iterator[str]:
    """Find a counter held against a number; one in the middle may ask whether there was any."""
    for counted, number in ((node.lhs, bare(node.rhs)), (node.rhs, bare(node.lhs))):
        selected = _one(counted)
        if operator(node) in COMPARISONS and selected and isinstance(number, NumberLiteral):
            found = [name for name in named(selected) if _counts(name, world)]
            if found and (number.val or (whole and operator(node) in (">", "<"))):
                yield f"{found[0]} is a counter: compared with {number.val:g} it says what was since the start, and stays so; take increase() or rate()"


def _one(tree: Expr) -> VectorSelector | None:
    tree = bare(tree)
    while isinstance(tree, AggregateExpr) and operator(tree) in _LIKE_ONE:
        tree = bare(tree.expr)
    return tree if isinstance(tree, VectorSelector) else None


def _counts(name: str, world: World) -> bool:
    """DCGM's counts of damaged memory say something as they are; what ends in _total does not."""
    return world.known(name).kind is Kind.COUNTER and name.endswith(("_total", "_sum", "_count", "_bucket"))  # fmt: skip
