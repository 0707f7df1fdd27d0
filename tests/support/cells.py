"""Usage that has everything the sums must heed, and sums that are the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from lightmeter.rows import UsageRow
from support.rows import DAY, row


def usage(count: int = 2000) -> list[UsageRow]:
    """Make two days of three services, with refusals, unknown waits and ratings."""
    rng = np.random.default_rng(3)
    waits = np.where(rng.random(count) < 0.2, 0.0, rng.lognormal(0, 2, count))
    return [
        row(
            float(at),
            float(rng.uniform(1, 9)) if index % 7 else None,
            "abc"[index % 3] if index % 11 else None,
            request_id=f"r{index}",
            queue_seconds=float(waits[index]) if index % 5 else None,
            gpu_seconds=1.5 if index % 2 else None,
            images=index % 4 or None,
            peak_vram_bytes=10**9 + index if index % 3 else None,
            outcome=("ok", "shed", "error")[index % 17 % 3] if index % 13 else None,
            feedback=index % 5 + 1 if index % 9 == 0 else None,
        )
        for index, at in enumerate(sorted(rng.uniform(0, 2 * DAY, count)))
    ]


def ordered(table: pa.Table) -> pd.DataFrame:
    keys = ["hour", "service", "outcome", "wait_bucket"]
    frame: pd.DataFrame = table.to_pandas()
    return frame.sort_values(keys, ignore_index=True)


def same(left: pa.Table, right: pa.Table) -> None:
    pd.testing.assert_frame_equal(ordered(left), ordered(right), rtol=1e-9)
