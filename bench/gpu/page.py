"""The page of results, docs/gpu.md: which rows are measured, on what, and which wait. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.gpu.results import MEASURED, Entry
from bench.gpu.table import ROWS, Row


INTRODUCTION = """# On a GPU

What this page lists as waiting was not measured, and nothing elsewhere rests on it. One command measures all of it in under ten minutes:

```console
bench/gpu/run
```

It needs a Python with a CUDA build of torch (`PYTHON=...`, else `.venv`, else `python3`) and no network: the model has Z-Image-Turbo's full size and random weights, drawn on the GPU (`--model full`). Arithmetic takes as long whatever the weights are; what random weights cannot show is what pictures look like. Rows come in order of value. Each is written to `bench/gpu/results.json` as soon as it is measured; after a cut, the same command goes on where it stopped. `--only ROW,...` measures some rows, `--again` measured ones too, `--budget SECONDS` says how much time there is, `--out DIR` writes elsewhere. `--device cpu` tries the way out with the tiny model.

Where packages are missing and nothing can be fetched, collect them beforehand, for the version of Python there:

```console
bench/gpu/wheels gpu-wheels --python 3.12 --have pip-freeze.txt
bench/gpu/run --wheels gpu-wheels
```

`--have` names what is there already, as `pip freeze` writes it; torch is never collected.
"""


def read(path: Path) -> dict[str, Entry]:
    """Read the results that the page is made from; none where there is no file."""
    if not path.exists():
        return {}
    rows: dict[str, Entry] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def build(entries: Mapping[str, Entry]) -> str:
    """Write the page; what was tried out on a CPU is not on it."""
    real = {name: entry for name, entry in entries.items() if not _on_cpu(entry)}
    parts = [INTRODUCTION, "## Status", "", table(real, ROWS), ""]
    for row in ROWS:
        parts += _section(row, real.get(row.name, {}))
    return "\n".join(parts)


def table(entries: Mapping[str, Entry], rows: Iterable[Row]) -> str:
    """Say of each row whether it is measured."""
    lines = ["| row | what | target | status |", "|---|---|---|---|"]
    for row in rows:
        how = status(entries.get(row.name, {}))
        lines.append(f"| `{row.name}` | {row.what} | {row.target} | {how} |")
    return "\n".join(lines)


def status(entry: Entry) -> str:
    """Say where and when a row was measured, or why it waits."""
    if not _measured(entry):
        return f"waiting: {entry.get('reason') or 'not run yet'}"
    machine = entry["machine"]
    driver = f"driver {machine['driver']}, " if "driver" in machine else ""
    said = f"measured: {machine['card']}, {driver}{entry['began'][:10]}"
    return f"{said}; {len(entry['missed'])} targets missed" if entry["missed"] else said


def _on_cpu(entry: Entry) -> bool:
    """Tell whether the way was only tried out."""
    return bool(entry.get("machine", {}).get("card") == "CPU")


def _measured(entry: Entry) -> bool:
    return entry.get("status") == MEASURED


def _section(row: Row, entry: Entry) -> Iterator[str]:
    """Show what was measured."""
    if not _measured(entry):
        return
    yield f"## {row.name}"
    yield ""
    yield f"{row.what}. {f'Target: {row.target}.' if row.target else ''}".rstrip()
    yield ""
    yield f"{', '.join(f'{name} {value}' for name, value in entry['machine'].items())}; {entry['seconds']} s."
    yield ""
    yield from _lines(entry["lines"])
    yield from (f"Missed: {text}." for text in entry["missed"])
    if entry["missed"]:
        yield ""


def _lines(lines: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Show a table; lines need not all have the same columns."""
    names = list(dict.fromkeys(name for line in lines for name in line))
    yield f"| {' | '.join(names)} |"
    yield f"|{'|'.join(['---'] * len(names))}|"
    for line in lines:
        yield f"| {' | '.join(shown(line.get(name, '')) for name in names)} |"
    yield ""


def words(line: Mapping[str, Any]) -> str:
    """Show a line of a table by itself."""
    if set(line) == {"what", "value", "unit"}:
        return f"{line['what']}: {shown(line['value'])} {line['unit']}"
    return ", ".join(f"{name} {shown(value)}" for name, value in line.items())


def shown(value: Any) -> str:
    """Show four digits of a number, and text as it is."""
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return str(value).replace("|", "/")
