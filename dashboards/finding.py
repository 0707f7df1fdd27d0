"""What a check found, and how the parts of a dashboard are read without trusting their shape. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One fault: the rule, where, and what to do about it."""

    rule: str
    where: str
    says: str

    def row(self) -> dict[str, str]:
        """Give it as JSON has it."""
        return asdict(self)


def dicts(value: Any) -> list[Mapping[str, Any]]:
    """Keep what is an object in a list; nothing where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def part(value: Any, *path: str) -> Mapping[str, Any]:
    """Follow a path of keys to an object; an empty one where there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def panels(board: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield all panels, those of folded rows too, and the rows themselves."""
    for panel in dicts(board.get("panels")):
        yield panel
        yield from dicts(panel.get("panels"))


def drawn(board: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the panels that draw something, whatever it is."""
    return (panel for panel in panels(board) if panel.get("type") not in ("row", "text"))


def named(panel: Mapping[str, Any]) -> str:
    """Say which panel."""
    return f"panel {panel.get('id', '?')} {panel.get('title') or 'without a title'!s}"


def variables(board: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """List the variables."""
    return dicts(part(board, "templating").get("list"))


def source_of(owner: Mapping[str, Any]) -> str:
    """Say which data source a panel, target or variable has, in either form; empty for none."""
    source = owner.get("datasource")
    return str(source.get("uid", "")) if isinstance(source, dict) else str(source or "")


def queries(board: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield every query of panels with where it is."""
    for panel in drawn(board):
        for target in dicts(panel.get("targets")):
            if isinstance(target.get("expr"), str):
                yield f"{named(panel)}, query {target.get('refId', '?')}", target["expr"]
