"""Rules on the grid, the ids and the links of boards. Pure."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dashboards.finding import Finding, dicts, named, panels, part
from lightmeter.catalog import Board


_COLUMNS = 24
_UID = re.compile(r"^/d/([\w-]+)")
_VIEWED = re.compile(r"viewPanel=(\d+)")
Box = tuple[int, int, int, int]


def check(board: Mapping[str, Any], together: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Hold a board against them; ``together`` are the boards that it may link to."""
    yield from _grid(board)
    yield from _ids(board)
    yield from _links(board, together)


def _grid(board: Mapping[str, Any]) -> Iterator[Finding]:
    folded = [dicts(row.get("panels")) for row in panels(board) if row.get("panels")]
    for group in (dicts(board.get("panels")), *folded):
        boxes = []
        for panel in group:
            box = _box(panel)
            if box is None or box[0] < 0 or box[1] < 0 or min(box[2:]) <= 0:
                yield Finding("grid", named(panel), "has no place on the grid")
                continue
            if box[0] + box[2] > _COLUMNS:
                yield Finding("grid", named(panel), f"ends at column {box[0] + box[2]} of {_COLUMNS}")  # fmt: skip
            boxes.append((panel, box))
        for (one, here), (other, there) in itertools.combinations(boxes, 2):
            if _overlap(here, there):
                yield Finding("grid", named(one), f"lies over {named(other)}")


def _box(panel: Mapping[str, Any]) -> Box | None:
    grid = part(panel, "gridPos")
    x, y, width, height = (grid.get(key) for key in "xywh")
    if isinstance(x, int) and isinstance(y, int) and isinstance(width, int) and isinstance(height, int):  # fmt: skip
        return x, y, width, height
    return None


def _overlap(one: Box, other: Box) -> bool:
    return all(
        one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2]
        for axis in (0, 1)
    )


def _ids(board: Mapping[str, Any]) -> Iterator[Finding]:
    if not board.get("uid"):
        yield Finding("ids", "dashboard", "has no uid; Grafana would make one up, and no link would last")  # fmt: skip
    counted = Counter(str(panel.get("id")) for panel in panels(board))
    for panel in panels(board):
        if not isinstance(panel.get("id"), int):
            yield Finding("ids", named(panel), "has no id, so nothing can link to it")
        elif counted[str(panel["id"])] > 1:
            yield Finding("ids", named(panel), "shares its id with another panel")
    letters = (
        (panel, Counter(str(one.get("refId")) for one in dicts(panel.get("targets"))))
        for panel in panels(board)
    )
    for panel, counts in letters:
        for letter in (name for name, count in counts.items() if count > 1):
            yield Finding("ids", named(panel), f"has two queries {letter}")


def _links(board: Mapping[str, Any], together: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    known = {str(one.get("uid")): one for one in together}
    for where, url in _urls(board):
        match = _UID.match(url)
        if match is None:
            continue  # an address elsewhere
        uid, viewed = match[1], _VIEWED.search(url)
        if uid not in known and uid not in tuple(Board):
            yield Finding("links", where, f"leads to {uid}, a dashboard that is not there")
        elif viewed and uid in known and int(viewed[1]) not in {panel.get("id") for panel in panels(known[uid])}:  # fmt: skip
            yield Finding("links", where, f"leads to panel {viewed[1]} of {uid}, which is not there")  # fmt: skip
    for link in dicts(board.get("links")):
        if link.get("type") == "link" and not link.get("keepTime"):
            yield Finding("links", f"link {link.get('title')}", "loses the time; set keepTime")


def _urls(board: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for link in dicts(board.get("links")):
        yield f"link {link.get('title')}", str(link.get("url", ""))
    for panel in panels(board):
        for link in dicts(panel.get("links")):
            yield f"{named(panel)}, its link", str(link.get("url", ""))
        for override in dicts(part(panel, "fieldConfig").get("overrides")):
            for one in dicts(override.get("properties")):
                for link in dicts(one.get("value")):
                    yield f"{named(panel)}, its link", str(link.get("url", ""))
