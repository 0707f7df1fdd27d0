"""The results file: a row is in it as soon as it is measured, line by line while it is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


SCHEMA = 1
MEASURED, WAITING = "measured", "waiting"
Entry = dict[str, Any]
"""status, reason, machine, began, seconds, lines, missed: see `Results.begin` and those after it."""


class Results:
    """A row is either ``measured``, or ``waiting`` with the reason; its lines come one by one.

    A measured row is replaced by another measurement only.
    """

    def __init__(self, path: Path) -> None:
        """Read what is known, from an earlier run perhaps.

        Raises:
            SystemExit: the file is not ours.
        """
        self._path = path
        self.rows: dict[str, Entry] = {}
        if path.exists():
            try:
                read = json.loads(path.read_text(encoding="utf-8"))
                self.rows = read["rows"] if read["schema"] == SCHEMA else _refuse(path)
            except (ValueError, LookupError, TypeError):
                _refuse(path)

    def measured_on(self, name: str) -> str:
        """Name the card that a row was measured on; "" where it was not."""
        entry = self.rows.get(name, {})
        return str(entry["machine"]["card"]) if entry.get("status") == MEASURED else ""

    @staticmethod
    def begin(machine: Entry, began: str) -> Entry:
        """Begin to measure a row."""
        return {
            "status": WAITING,
            "reason": "it was cut off",
            "machine": machine,
            "began": began,
            "seconds": None,
            "lines": [],
            "missed": [],
        }

    def put(self, name: str, entry: Entry) -> None:
        """Write a row down, unless it waits and has been measured before."""
        if entry["status"] == WAITING and self.measured_on(name):
            return
        self.rows[name] = entry
        self._save()

    def wait(self, name: str, reason: str) -> None:
        """Write down why a row is not measured; lines of an unfinished one are kept."""
        self.put(name, self.rows.get(name, {}) | {"status": WAITING, "reason": reason})

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(f".{self._path.name}-{os.getpid()}")
        text = json.dumps({"schema": SCHEMA, "rows": self.rows}, indent=1, ensure_ascii=False)
        partial.write_text(f"{text}\n", encoding="utf-8")
        partial.replace(self._path)


def _refuse(path: Path) -> dict[str, Entry]:
    raise SystemExit(f"bench/gpu/run: {path} is no results file of this version; move it away")
