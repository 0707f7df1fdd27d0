"""The sums of a history on Spark."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from lightmeter import on_spark
from lightmeter.history import History
from support import rows
from support.cells import same, usage


pytestmark = pytest.mark.proof


@pytest.mark.skipif(not (find_spec("pyspark") and shutil.which("java")), reason="Spark wants pyspark and Java")  # fmt: skip
def test_spark(tmp_path: Path) -> None:
    """Spark sums the same files to the same cells."""
    folder = rows.folder(tmp_path, usage(300))

    same(on_spark.cells(folder), History(folder).cells())
