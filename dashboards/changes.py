"""What publishing would do to a board, given what Grafana has. Pure.

A published board says at the end of its description which revision of Grafana's it became and what
it was made from. Where the revision is another one by now, somebody has saved it since.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


_STAMP = re.compile(r"\n\nPublished by lightmeter: revision (\d+), made from ([0-9a-f]{12})\.$")
_GRAFANAS = ("id", "version", "iteration")
"""What Grafana fills in by itself."""


class Action(StrEnum):
    """What becomes of one thing."""

    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    KEEP = "keep"


@dataclass(frozen=True)
class Held:
    """A board as Grafana has it.

    ``revision`` counts how often it was saved; ``token`` is what a write must name so that it does
    not overwrite a newer one; ``folder`` is the uid of its folder, empty for none.
    """

    board: Mapping[str, Any]
    revision: int
    token: str
    folder: str
    provisioned: bool = False


@dataclass(frozen=True)
class Change:
    """What publishing does with one thing, and why.

    ``diff`` has a line for each line of JSON that would differ.
    """

    action: Action
    because: str
    diff: str = ""


def change(made: Mapping[str, Any], held: Held | None, *, force: bool) -> Change:
    """Decide what to do with a board."""
    if held is None:
        return Change(Action.CREATE, "Grafana does not have it", _diff({}, made))
    diff = _diff(held.board, made)
    if held.provisioned:
        return Change(Action.KEEP, "it is provisioned from files, which Grafana lets nobody overwrite; change the files", diff)  # fmt: skip
    stamp = _STAMP.search(str(held.board.get("description", "")))
    if not diff or (stamp and stamp[2] == digest(made) and int(stamp[1]) == held.revision):
        return Change(Action.UNCHANGED, "it is as it should be")
    if stamp and int(stamp[1]) == held.revision:
        return Change(Action.UPDATE, "nobody has changed it since it was published", diff)
    who = "it was edited by hand" if stamp else "it was not published by lightmeter"
    if force:
        return Change(Action.UPDATE, f"{who}, and --force was given", diff)
    return Change(Action.KEEP, f"{who}; --force overwrites it", diff)


def stamped(made: Mapping[str, Any], held: Held | None) -> dict[str, Any]:
    """Return the board with the revision that it becomes when it is saved."""
    revision = held.revision + 1 if held else 1
    note = f"\n\nPublished by lightmeter: revision {revision}, made from {digest(made)}."
    return {**made, "description": f"{made.get('description', '')}{note}"}


def digest(board: Mapping[str, Any]) -> str:
    """Return a short hash of what a person could change in a board."""
    return hashlib.sha256(_text(board).encode()).hexdigest()[:12]


def _diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    lines = difflib.unified_diff(
        _text(before).splitlines(), _text(after).splitlines(), "in Grafana", "to publish", "", "", 2, ""
    )  # fmt: skip
    return "\n".join(lines)


def _text(board: Mapping[str, Any]) -> str:
    if not board:
        return ""
    kept = {key: value for key, value in board.items() if key not in _GRAFANAS}
    kept["description"] = _STAMP.sub("", str(kept.get("description", "")))
    return json.dumps(kept, indent=1, ensure_ascii=False, sort_keys=True)
