"""A decision: what came in, how the terms voted, what is to be done and why; and its record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from lightmeter.catalog import ACTIONS, Term
from lightmeter.errors import ScaleError
from lightmeter.scaling.signals import Observations
from lightmeter.scaling.state import State


SCHEMA = 1
"""Of a decision's record; one without a number is of schema 1, which was written before it was counted."""
Votes = dict[Term, int]
Mode = Literal["advisory", "act"]
_UP, _DOWN, _HOLD, _FREEZE = ACTIONS


class Decision(NamedTuple):
    """What `decide` returns; ``before`` and ``seen`` are all that it came from."""

    at: float
    """Seconds of the caller's clock."""
    seen: Observations
    before: State
    votes: Votes
    """Replicas that each term asks for."""
    chosen_term: Term
    current: int
    """Replicas that stand, ready and starting."""
    to: int
    after: State
    """What to remember for the next look."""

    @property
    def action(self) -> str:
        """One of the catalogue's `ACTIONS`."""
        if self.chosen_term is Term.FREEZE:
            return _FREEZE
        return _HOLD if self.to == self.current else (_UP if self.to > self.current else _DOWN)

    @property
    def reason(self) -> str:
        """Say in words what decided."""
        from lightmeter.scaling.words import reason

        return reason(self)

    @property
    def id(self) -> str:
        """Name the decision by what it came from: the same inputs have the same name."""
        source = [self.at, self.seen.record(), self.before.record()]
        return hashlib.sha256(json.dumps(source).encode()).hexdigest()[:16]

    def record(
        self, target: str, *, mode: Mode = "advisory", result: str | None = None
    ) -> dict[str, Any]:
        """Return the line for the audit: what came in, what was decided and what came of it."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            "at": self.at,
            "target": target,
            "observed": self.seen.record(),
            "state": self.before.record(),
            "votes": {str(term): vote for term, vote in self.votes.items()},
            "chosen_term": str(self.chosen_term),
            "from": self.current,
            "to": self.to,
            "action": self.action,
            "reason": self.reason,
            "mode": mode,
            "result": result,
        }


def check_schema(record: Mapping[str, Any]) -> None:
    """Refuse a decision's record that a later release wrote, rather than half understand it.

    Raises:
        ScaleError: naming the decision and its schema.
    """
    found = record.get("schema", 1)
    if type(found) is not int or not 1 <= found <= SCHEMA:
        raise ScaleError(f"decision {str(record.get('id'))[:40]!r} is of schema {str(found)[:40]!r}, and this lightmeter reads 1 to {SCHEMA}; read it with the release that wrote it, or a later one")  # fmt: skip


def inputs(record: Mapping[str, Any]) -> tuple[State, Observations, float]:
    """Return what a recorded decision came from, to decide on it again.

    Raises:
        ScaleError: a later release wrote it. KeyError, TypeError, ValueError: something is missing.
    """
    check_schema(record)
    return (
        State.from_record(record["state"]),
        Observations.from_record(record["observed"]),
        record["at"],
    )
