"""Ask a store in PromQL: at one moment, at each step of a range, or for the samples themselves."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import numpy as np
import promql_parser
from promql_parser import Expr

from lightmeter.errors import QueryError
from lightmeter.localprom.evaluate import Evaluation, Options, Value
from lightmeter.localprom.frame import Floats, Frame, Ints, budget, empty, one_row
from lightmeter.localprom.labels import Labels
from lightmeter.localprom.store import Store


MOST_STEPS = 11_000
"""Of one answer, as Prometheus limits it."""
_SHOWN = 1000
_MOST_SIGNS = 1000
"""At some thousands, one in another, the parser runs out of stack, which ends the process."""
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`[^`]*`|#[^\n]*')
"""Strings and comments, in which no sign counts; what is not closed is neither."""
_SIGN = re.compile(
    r"[-+*/%^(\[=<>@]|\b(?:and|or|unless|atan2|offset|bool)\b", re.ASCII | re.IGNORECASE
)


def parse(text: str) -> Expr:
    """Read an expression.

    Raises:
        QueryError: it is none; in the parser's words.
    """
    if len(_SIGN.findall(_QUOTED.sub(" ", text))) > _MOST_SIGNS:
        raise QueryError(f"expression has more than {_MOST_SIGNS} brackets and signs; record parts of it")  # fmt: skip
    try:
        return promql_parser.parse(text)
    except ValueError as error:
        raise QueryError(f"invalid expression {text[:_SHOWN]!r}: {error}") from error


def instant(store: Store, tree: Expr, at_ms: int, options: Options | None = None) -> Value:
    """Evaluate at one moment: values of shape (1,) or (series, 1).

    Raises:
        QueryError: it cannot be evaluated, or not here.
    """
    return _evaluated(Evaluation(store, np.array([at_ms], np.int64), options or Options(), at_ms, at_ms), tree)  # fmt: skip


def samples(store: Store, tree: Expr, at_ms: int, options: Options | None = None) -> list[tuple[Labels, Ints, Floats]]:  # fmt: skip
    """List the samples that a range selector or subquery means at one moment."""
    moment = Evaluation(store, np.array([at_ms], np.int64), options or Options(), at_ms, at_ms)
    with _bounded():
        cut = [(labels, each, slice(each.low[0], each.high[0])) for labels, each in moment.ranges(tree)]  # fmt: skip
    return [(labels, each.times[part], each.values[part]) for labels, each, part in cut if each.count[0]]  # fmt: skip


def ranged(store: Store, tree: Expr, steps: Ints, options: Options | None = None) -> Frame:
    """Evaluate at each of ``steps`` (Unix milliseconds, evenly apart).

    Raises:
        QueryError: it cannot be evaluated, or not here.
    """
    if not 0 < len(steps) <= MOST_STEPS:
        raise QueryError(f"exceeded maximum resolution of {MOST_STEPS:,} points per timeseries; ask for a longer step or a shorter range")  # fmt: skip
    value = _evaluated(Evaluation(store, steps, options or Options(), int(steps[0]), int(steps[-1])), tree)  # fmt: skip
    if isinstance(value, str):
        raise QueryError("a string has no range; ask for it at one moment")
    return value if isinstance(value, Frame) else one_row((), value)


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Bound what a query takes, and say what it was that could not be worked out.

    Raises:
        QueryError: it goes too deep, or names a time that there is not.
    """
    try:
        with np.errstate(all="ignore"), budget():  # inf and NaN are answers
            yield
    except RecursionError as error:
        raise QueryError("expression is too deep, one part in another; record parts of it") from error  # fmt: skip
    except OverflowError as error:
        raise QueryError(f"a time or range in the expression is out of bounds ({error}); give one within some centuries") from error  # fmt: skip


def _evaluated(surroundings: Evaluation, tree: Expr) -> Value:
    with _bounded():
        value = surroundings.value(tree)
    if isinstance(value, Frame):
        seen = np.flatnonzero(value.there.any(axis=1))
        return value.rows([int(row) for row in seen]) if len(seen) else empty(value.steps)
    return value
