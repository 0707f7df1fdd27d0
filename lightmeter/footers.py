"""What the footers of Parquet files promise of the rows, so that they need not be looked at."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lightmeter import rows
from lightmeter.errors import HistoryError


def plain(files: Sequence[Path]) -> set[Path]:
    """Pick the files whose footers say that every measure and arrival in them is possible.

    The words of closed vocabularies are not in a footer. DuckDB reads it, since pyarrow's statistics
    end the process where a bit of them is wrong (measured 2026-11, pyarrow 26.0.1).

    Raises:
        HistoryError: a footer is unreadable.
    """
    import duckdb

    if not files:
        return set()
    with duckdb.connect() as database:
        try:
            found = database.execute(_QUERY, [[str(path) for path in files]]).fetchall()
        except duckdb.Error as error:
            reason = " ".join(str(error).split())[:300]
            raise HistoryError(f"the history cannot be summed: {reason}; lightmeter history verify tells which file is bad") from error  # fmt: skip
    return set(files) - {Path(name) for (name,) in found}


def _bounded(name: str, least: object, most: object) -> str:
    """Say in SQL of a part of a column that a value of it may lie outside, as far as is known."""
    kind = "timestamptz" if name == "arrived_at" else "double"
    inside = f"try_cast(stats_min_value as {kind}) >= '{least}'::{kind} and try_cast(stats_max_value as {kind}) <= '{most}'::{kind}"
    return f"(path_in_schema = '{name}' and stats_null_count is distinct from num_values and ({inside}) is distinct from true)"


_ODD = " or ".join(
    [f"(path_in_schema = '{name}' and stats_null_count is distinct from 0)" for name in rows.REQUIRED]
    + [_bounded(name, 0, rows.INTEGERS.get(name, sys.float_info.max)) for name in rows.MEASURES]
    + [_bounded("arrived_at", *rows.ERA)]
)  # fmt: skip
_QUERY = f"select distinct file_name from parquet_metadata(?) where {_ODD}"  # noqa: S608  (made of constants alone)
