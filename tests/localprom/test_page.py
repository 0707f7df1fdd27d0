"""The page on localprom says what there is, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lightmeter.localprom import aggregate, functions, moments, windows


ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "localprom.md").read_text()


def test_names() -> None:
    """Every function and aggregation is on the page, and nothing that is not there."""
    known = {*windows.FUNCTIONS, *functions.ELEMENTWISE, *functions._OTHERS, *moments.FUNCTIONS, *aggregate.SIMPLE, "quantile", "topk", "bottomk", "count_values"}  # fmt: skip
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "selectors" not in line and "operators" not in line]  # fmt: skip

    told = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[2])}

    assert known == told


def test_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example on the page runs as it stands."""
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, object] = {}

    exec(code, found)  # noqa: S102 (the page's own example)

    assert found["app"]
    assert (tmp_path / "metrics").is_dir()
