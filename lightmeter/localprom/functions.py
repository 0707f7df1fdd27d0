"""Functions of PromQL that are not of ranges, and how each takes its arguments."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from promql_parser import Call, Expr, MatrixSelector, ParenExpr, VectorSelector

from lightmeter.errors import QueryError
from lightmeter.localprom import moments, windows
from lightmeter.localprom.frame import Bools, Floats, Frame, one_row
from lightmeter.localprom.histogram import histogram_quantile
from lightmeter.localprom.labels import NAME, Labels, changed, nameless, pack
from lightmeter.localprom.patterns import compiled
from lightmeter.localprom.selectors import conditions


if TYPE_CHECKING:
    from lightmeter.localprom.evaluate import Evaluation

Value = Floats | Frame | str
Function = Callable[["Evaluation", list[Expr]], Value]


def call(evaluation: Evaluation, tree: Call) -> Value:
    """Call a function.

    Raises:
        QueryError: it is not known here, or does not take these arguments.
    """
    name, arguments = str(tree.func.name), list(tree.args)
    if name in windows.FUNCTIONS:
        return _windowed(evaluation, name, arguments)
    if name in ELEMENTWISE:
        return _mapped(evaluation.frame(arguments[0]), ELEMENTWISE[name])
    if name in moments.FUNCTIONS:
        return _moment(evaluation, name, arguments)
    if name not in _OTHERS:
        raise QueryError(f"function {name!r} is not supported; use --prometheus for it")
    return _OTHERS[name](evaluation, arguments)


def _windowed(evaluation: Evaluation, name: str, arguments: list[Expr]) -> Frame:
    place = 1 if name == "quantile_over_time" else 0
    parameters = [evaluation.scalar(each) for at, each in enumerate(arguments) if at != place]
    return evaluation.windowed(name, arguments[place], parameters)


def _mapped(frame: Frame, function: Callable[[Floats], Floats]) -> Frame:
    return Frame(frame.labels, function(frame.values), frame.there).relabelled(nameless)


ELEMENTWISE: dict[str, Callable[[Floats], Floats]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "ln": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sgn": np.sign,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "deg": np.degrees,
    "rad": np.radians,
}


def _moment(evaluation: Evaluation, name: str, arguments: list[Expr]) -> Frame:
    frame = evaluation.frame(arguments[0]) if arguments else one_row((), evaluation.times / 1000)
    return _mapped(frame, lambda seconds: moments.FUNCTIONS[name](seconds).astype(np.float64))


def _time(evaluation: Evaluation, _: list[Expr]) -> Value:
    return evaluation.times / 1000


def _pi(evaluation: Evaluation, _: list[Expr]) -> Value:
    return np.full(len(evaluation.times), np.pi)


def _vector(evaluation: Evaluation, arguments: list[Expr]) -> Value:
    return one_row((), evaluation.scalar(arguments[0]))


def _scalar(evaluation: Evaluation, arguments: list[Expr]) -> Value:
    frame = evaluation.frame(arguments[0])
    single = frame.there.sum(axis=0) == 1
    total: Floats = np.where(frame.there, frame.values, 0).sum(axis=0)
    return np.where(single, total, np.nan)


def _timestamp(evaluation: Evaluation, arguments: list[Expr]) -> Value:
    tree = _bare(arguments[0])
    if isinstance(tree, VectorSelector):
        frame, moments_of = evaluation.instant(tree)
        return Frame(frame.labels, moments_of, frame.there).relabelled(nameless)
    frame = evaluation.frame(tree)
    seconds = np.broadcast_to(evaluation.times / 1000, frame.values.shape)
    return Frame(frame.labels, seconds, frame.there).relabelled(nameless)


def _bare(tree: Expr) -> Expr:
    while isinstance(tree, ParenExpr):
        tree = tree.expr
    return tree


def _clamped(evaluation: Evaluation, tree: Expr, low: Floats, high: Floats) -> Frame:
    frame = evaluation.frame(tree)
    bounded = _mapped(frame, lambda values: np.maximum(low, np.minimum(high, values)))
    possible: Bools = ~(low > high)
    return bounded.masked(np.broadcast_to(possible, bounded.there.shape))


def _clamp(evaluation: Evaluation, arguments: list[Expr]) -> Value:
    low, high = evaluation.scalar(arguments[1]), evaluation.scalar(arguments[2])
    return _clamped(evaluation, arguments[0], low, high)


def _clamp_min(evaluation: Evaluation, arguments: list[Expr]) -> Value:
    low = evaluation.scalar(arguments[1])
    return _clamped(evaluation, arguments[0], low, np.full_like(low, np.inf))


def _clamp_max(evaluation: Evaluation, arguments: list[Expr]) -> Value:
    high = evaluation.scalar(arguments[1])
    return _clamped(evaluation, arguments[0], np.full_like(high, -np.inf), high)


def _round(evaluation: Evaluation, arguments: list[Expr]) -> Value:
    nearest = evaluation.scalar(arguments[1]) if len(arguments) > 1 else np.ones(1)
    inverse = 1 / nearest
    return _mapped(evaluation.frame(arguments[0]), lambda values: np.floor(values * inverse + 0.5) / inverse)  # fmt: skip


def _sorted(*, down: bool) -> Function:
    def ordered(evaluation: Evaluation, arguments: list[Expr]) -> Value:
        frame = evaluation.frame(arguments[0])
        if frame.steps != 1:
            return frame
        column = frame.values[:, 0]
        place = np.lexsort((-column if down else column, np.isnan(column)))
        return frame.rows([int(row) for row in place])

    return ordered


def _absent(evaluation: Evaluation, arguments: list[Expr]) -> Value:
    there: Bools = np.any(evaluation.frame(arguments[0]).there, axis=0)
    return _missing(arguments[0], there)


def _absent_over_time(evaluation: Evaluation, arguments: list[Expr]) -> Value:
    there = np.zeros(len(evaluation.times), bool)
    for _, each in evaluation.ranges(arguments[0]):
        there |= each.count > 0
    return _missing(arguments[0], there)


def _missing(tree: Expr, there: Bools) -> Frame:
    return one_row(_equalities(tree), np.ones(len(there)), ~there)


def _equalities(tree: Expr) -> Labels:
    """Say what labels the missing would have had, from a selector's equal signs."""
    selector = tree.vector_selector if isinstance(tree, MatrixSelector) else tree
    if not isinstance(selector, VectorSelector):
        return ()
    found: dict[str, str] = {}
    for match in conditions(selector):
        if match.kind == "=" and match.name not in found:
            found[match.name] = match.value
        elif match.name in found:
            found[match.name] = ""  # asked for twice, so it has no one value
    found.pop(NAME, None)
    return pack(found)


def _quantile(evaluation: Evaluation, arguments: list[Expr]) -> Value:
    return histogram_quantile(evaluation.scalar(arguments[0]), evaluation.frame(arguments[1]))


_LABEL = re.compile(r"[a-zA-Z_]\w*", re.ASCII)


def _named(label: str) -> str:
    if not _LABEL.fullmatch(label):
        raise QueryError(f"invalid destination label name: {label!r}")
    return label


def _label_replace(evaluation: Evaluation, arguments: list[Expr]) -> Value:
    target, template, source, pattern = (evaluation.text(each) for each in arguments[1:])
    wanted, _ = compiled(pattern, dotall=evaluation.options.newer), _named(target)

    def change(labels: Labels) -> Labels:
        found = wanted.expanded(template, dict(labels).get(source, ""))
        return labels if found is None else changed(labels, {target: found})

    return evaluation.frame(arguments[0]).relabelled(change)


def _label_join(evaluation: Evaluation, arguments: list[Expr]) -> Value:
    target, separator, *sources = (evaluation.text(each) for each in arguments[1:])
    _named(target)

    def change(labels: Labels) -> Labels:
        known = dict(labels)
        return changed(labels, {target: separator.join(known.get(name, "") for name in sources)})

    return evaluation.frame(arguments[0]).relabelled(change)


_OTHERS: dict[str, Function] = {
    "time": _time,
    "pi": _pi,
    "vector": _vector,
    "scalar": _scalar,
    "timestamp": _timestamp,
    "clamp": _clamp,
    "clamp_min": _clamp_min,
    "clamp_max": _clamp_max,
    "round": _round,
    "sort": _sorted(down=False),
    "sort_desc": _sorted(down=True),
    "absent": _absent,
    "absent_over_time": _absent_over_time,
    "histogram_quantile": _quantile,
    "label_replace": _label_replace,
    "label_join": _label_join,
}
