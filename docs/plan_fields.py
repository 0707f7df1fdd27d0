"""The fields of plan.json, read off a real plan of a made-up history."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from lightmeter import history, tables
from lightmeter.cli.plan_ import make_plan
from lightmeter.rows import UsageRow
from lightmeter.settings_plan import Plan


DAYS, EACH = 10, 20
SETTINGS = {"sweep_points": 2, "resamples": 100, "held_gpus": 2}
"""Little of what takes long, and all that adds fields without another file."""
WORDS = {bool: "true or false", int: "number", float: "number", str: "text", type(None): "null"}


def fields() -> list[tuple[str, str]]:
    """List each field by its path, lists marked by ``[]``, with what it may be."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        history.write(tables.table_of(list(_usage())), folder / "history", "made-up")
        with contextlib.redirect_stderr(io.StringIO()):  # its notes are about a made-up history
            make_plan(folder / "history", Plan.model_validate(SETTINGS), folder / "report")
        document = json.loads((folder / "report" / "plan.json").read_text())
    found: dict[str, set[str]] = {}
    for path, word in _walk(document, ""):
        found.setdefault(path, set()).add(word)
    return [(path, " or ".join(sorted(words))) for path, words in found.items()]


def _walk(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        if not value:
            yield f"{path}[]", "list"
        for inner in value:
            yield from _walk(inner, f"{path}[]")
    else:
        yield path, WORDS[type(value)]


def _usage() -> Iterator[UsageRow]:
    """Make up two services that share a GPU; one request in four is a batch one."""
    chance = np.random.default_rng(1)
    start = datetime(2026, 10, 1, tzinfo=UTC)
    for number, (service, moment) in enumerate(zip(["fox", "owl"] * DAYS * EACH, chance.random(2 * DAYS * EACH) * DAYS, strict=True)):  # fmt: skip
        yield UsageRow(
            request_id=f"{service}-{number}",
            arrived_at=start + timedelta(days=moment),
            service=service,
            priority="interactive" if number % 4 else "batch",
            queue_seconds=1.0,
            service_seconds=9.0,
            gpu_seconds=5.0,
            outcome="ok",
            gpu_uuid="GPU-1",
            peak_vram_bytes=8 << 30,
        )
