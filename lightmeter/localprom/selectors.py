"""What a selector of PromQL asks of labels. Pure."""

from __future__ import annotations

from promql_parser import MatchOp, VectorSelector

from lightmeter.errors import QueryError
from lightmeter.localprom.labels import NAME
from lightmeter.localprom.store import Match


_KINDS = {"=": MatchOp.Equal, "!=": MatchOp.NotEqual, "=~": MatchOp.Re, "!~": MatchOp.NotRe}


def conditions(selector: VectorSelector) -> list[Match]:
    """List what a selector asks of labels.

    Raises:
        QueryError: it joins conditions with ``or``, which Prometheus does not know.
    """
    if selector.matchers.or_matchers:
        raise QueryError(f"'or' between matchers is not PromQL: {selector}")
    found = [Match(NAME, "=", selector.name)] if selector.name else []
    for matcher in selector.matchers.matchers:
        kind = next(sign for sign, op in _KINDS.items() if op == matcher.op)
        found.append(Match(matcher.name, kind, matcher.value))
    return found
