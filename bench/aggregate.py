"""Sums of fifty million usage rows by hour, service, outcome and wait: ours, pyarrow and pandas.

Each runs in a process of its own, for its peak memory. The rows are made up, without shape.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import common


ROWS, DAYS = 50_000_000, 30
MOST_SECONDS, MOST_GIB = 5.0, 0.6
_MEASURE = """
import json, resource, sys, time
from pathlib import Path
begin = time.perf_counter()
rows, spent = {body}
print(json.dumps([time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2, rows, spent]))
"""
_OURS = """
from lightmeter.history import History
cells = History(Path(sys.argv[1])).cells()
rows, spent = sum(cells["requests"].to_pylist()), sum(cells["gpu_seconds"].to_pylist())
"""
_READ = '["arrived_at", "service", "outcome", "queue_seconds", "gpu_seconds", "images", "peak_vram_bytes"]'
_PANDAS = f"""
import numpy as np, pandas as pd
keys = ["hour", "service", "outcome", "wait"]
sums = dict(requests=("images", "size"), gpu_seconds=("gpu_seconds", "sum"), images=("images", "sum"), peak=("peak_vram_bytes", "max"))
parts = []
for path in sorted(Path(sys.argv[1]).glob("date=*/*.parquet")):
    frame = pd.read_parquet(path, columns={_READ})
    frame["hour"] = frame["arrived_at"].dt.floor("h")
    frame["wait"] = np.floor(np.log(np.maximum(frame["queue_seconds"], 0.001)) / np.log(1.3)).astype("int32")
    parts.append(frame.groupby(keys, dropna=False).agg(**sums).reset_index())
whole = pd.concat(parts).groupby(keys, dropna=False).agg(requests=("requests", "sum"), gpu_seconds=("gpu_seconds", "sum"), images=("images", "sum"), peak=("peak", "max"))
rows, spent = int(whole["requests"].sum()), float(whole["gpu_seconds"].sum())
"""
_ARROW = f"""
import pyarrow as pa, pyarrow.compute as pc, pyarrow.parquet as pq, math
keys = ["hour", "service", "outcome", "wait"]
sums = [("gpu_seconds", "count"), ("gpu_seconds", "sum"), ("images", "sum"), ("peak_vram_bytes", "max")]
parts = []
for path in sorted(Path(sys.argv[1]).glob("date=*/*.parquet")):
    table = pq.read_table(path, columns={_READ}, partitioning=None)
    wait = pc.floor(pc.divide(pc.ln(pc.max_element_wise(table["queue_seconds"], 0.001)), math.log(1.3)))
    table = table.append_column("wait", wait.cast(pa.int32())).append_column("hour", pc.floor_temporal(table["arrived_at"].cast(pa.timestamp("us")), unit="hour"))
    parts.append(table.group_by(keys).aggregate(sums))
whole = pa.concat_tables(parts)
rows, spent = pc.sum(whole["gpu_seconds_count"]).as_py(), pc.sum(whole["gpu_seconds_sum"]).as_py()
"""


def main() -> None:
    """Make the rows, sum them three ways, delete them."""
    args = common.arguments(__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*.parquet")) / 1e6
        table = [_measure(who, body, folder) for who, body in (("lightmeter, DuckDB", _OURS), ("pyarrow, file by file", _ARROW), ("pandas, file by file", _PANDAS))]  # fmt: skip
    ours = table[0]
    failures = []
    if ours["seconds"] > MOST_SECONDS:
        failures.append(f"it took {ours['seconds']:.1f} s, the limit is {MOST_SECONDS:g} s")
    if ours["peak GiB"] > MOST_GIB:
        failures.append(f"the peak was {ours['peak GiB']:.2f} GiB, the limit is {MOST_GIB:g} GiB")
    failures += [f"{row['engine']} sums otherwise" for row in table if row["rows"] != ours["rows"] or abs(row["GPU seconds"] / ours["GPU seconds"] - 1) > 1e-9]  # fmt: skip
    about = common.machine("duckdb", "pandas", "pyarrow") | {"data": f"{ours['rows']:,} rows in {DAYS} files, {size:.0f} MB"}  # fmt: skip
    common.finish(args, about, table, failures)


def _make(folder: Path) -> None:
    import duckdb

    each = ROWS // DAYS
    with duckdb.connect(config={"memory_limit": "2GB"}) as database:
        database.execute("set enable_progress_bar = false")
        for day in range(1, DAYS + 1):
            path = folder / f"date=2026-10-{day:02d}" / "made.parquet"
            path.parent.mkdir()
            database.execute(
                f"""copy (select 'r{day}-' || i as request_id,
                (timestamp '2026-10-{day:02d}' + to_microseconds((i * 86400000000 // {each})::bigint))::timestamptz as arrived_at,
                's' || (hash(i) % 20) as service, (hash(i + 1) % 1000) / 100.0 as queue_seconds,
                2 + (hash(i + 2) % 1000) / 100.0 as service_seconds, 1 + (hash(i + 2) % 1000) / 100.0 as gpu_seconds,
                (1 + hash(i + 3) % 4)::int as images, (8000000000 + hash(i + 5) % 1000000000)::bigint as peak_vram_bytes,
                case when hash(i + 4) % 50 = 0 then 'error' else 'ok' end as outcome
                from range({each}) made(i)) to '{path}' (format parquet, compression zstd)"""  # noqa: S608  (numbers of ours)
            )


def _measure(who: str, body: str, folder: Path) -> dict[str, Any]:
    code = _MEASURE.replace("rows, spent = {body}", body)
    _, said = common.run(sys.executable, "-c", code, folder)
    seconds, peak, rows, spent = json.loads(said)
    return {"engine": who, "seconds": seconds, "peak GiB": peak, "rows": rows, "GPU seconds": spent}


if __name__ == "__main__":
    main()
