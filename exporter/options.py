"""The exporter's settings as its process has them: plain, because pydantic would double its memory.

`lightmeter.settings_export.Export` has their meaning, defaults and limits; this has their names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `Export` settled."""

    host: str
    port: int
    hz: float
    window: float
    gpus: int
    hostname_label: str
    hostname: str
    host_metrics: str
    attribution: bool
    host_root: Path
    pod_resources: Path | None
    dcgm: str
    demo: bool
    record: Path | None
    replay: Path | None
    web_config: Path | None
    connections: int
    max_series: int
    gzip: bool

    @property
    def host_groups(self) -> tuple[str, ...]:
        """The groups of host metrics that are on."""
        return tuple(group.strip() for group in self.host_metrics.split(",") if group.strip())


def loads(text: str) -> Options:
    """Read settings back from their JSON."""
    found: dict[str, Any] = json.loads(text)
    for field in fields(Options):
        if str(field.type).startswith("Path") and found[field.name] is not None:
            found[field.name] = Path(found[field.name])
    return Options(**found)
