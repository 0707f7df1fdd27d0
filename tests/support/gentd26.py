"""A made-up request log in the columns of GenTD26, cluster-trace-v2026-GenAI of alibaba/clusterdata.

Not a row of it is taken from the trace; only its shape is: a daily rhythm, users who come in
sessions, few popular and many rare checkpoints, lognormal times in whole seconds.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd


MU, SIGMA = 3.196, 0.549
"""Of the logarithm of the execution time in seconds."""
CHECKPOINTS, GROUPS = 77, 2600
START = pd.Timestamp("2024-11-15 17:00:00")
FAILED, PENDING = 0.016, 0.002
STRAY = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(range(256))
"""What macOS leaves beside a file in an archive."""
_HOURLY = 1.1 + np.cos((np.arange(24) - 20) / 24 * 2 * np.pi)  # busy in the evening


def log(requests: int = 2000, days: float = 10.0, seed: int = 1) -> pd.DataFrame:
    """Make a request log, ordered by arrival."""
    rng = np.random.default_rng(seed)
    arrivals, session = _sessions(rng, requests, days)
    sessions = int(session.max()) + 1
    group = rng.zipf(1.4, sessions) % GROUPS
    checkpoint = rng.zipf(1.5, sessions) % CHECKPOINTS
    status = rng.choice(
        ["SUCCEED", "FAILED", "PENDING"], requests, p=[1 - FAILED - PENDING, FAILED, PENDING]
    )
    status[:3] = "SUCCEED", "FAILED", "PENDING"
    table = pd.DataFrame(
        {
            "gmt_create": (START + pd.to_timedelta(arrivals, unit="s")).strftime("%F %T"),
            "predict_type": rng.choice(
                ["TXT_2_IMG", "IMG_2_IMG", "INPAINTING"], requests, p=[0.92, 0.07, 0.01]
            ),
            "predict_status": status,
            "exec_time_seconds": np.maximum(np.round(rng.lognormal(MU, SIGMA, requests)), 3.0),
            "groupId": [f"G{number:04}" for number in group[session]],
            "prompt_length": rng.integers(5, 800, requests).astype(float),
            "negative_prompt_length": np.where(
                rng.random(requests) < 0.2, np.nan, rng.integers(5, 400, requests)
            ),
            "num_images_per_prompt": rng.choice([1.0, 2.0, 4.0, 8.0], requests),
            "num_inference_steps": rng.choice([30.0, 20.0, 40.0], requests, p=[0.92, 0.04, 0.04]),
            "checkpoint_model_version_id": [f"M{number:04}" for number in checkpoint[session]],
            "num_lora": rng.choice([0, 1, 2], requests, p=[0.84, 0.15, 0.01]),
        }
    )
    return _unfinished(table)


def _sessions(
    rng: np.random.Generator, requests: int, days: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Sessions follow the hours of the day; within one, a request every minute or so."""
    sizes = rng.geometric(0.2, requests)
    session = np.repeat(np.arange(requests), sizes)[:requests]
    hours = rng.choice(24, requests, p=_HOURLY / _HOURLY.sum())
    begin = 3600 * (24 * rng.integers(0, max(1, int(days)), requests) + hours + rng.random())
    steps = rng.exponential(60.0, requests)
    within = np.cumsum(steps)
    first = within[np.searchsorted(session, session)]
    arrivals = np.floor(begin[session] + within - first) % (days * 86_400)
    order = np.argsort(arrivals, kind="stable")
    return arrivals[order], session[order]


def _unfinished(table: pd.DataFrame) -> pd.DataFrame:
    """A pending request has a time of 0 and says little else."""
    pending = table["predict_status"] == "PENDING"
    table.loc[pending, "exec_time_seconds"] = 0.0
    unsaid = ["prompt_length", "num_images_per_prompt", "num_inference_steps"]
    table.loc[pending, unsaid] = np.nan
    table.loc[pending, "checkpoint_model_version_id"] = None
    return table


def write(path: Path, table: pd.DataFrame) -> Path:
    """Write a log as CSV, packed as the ending says: .csv, .csv.gz or .tar.gz."""
    content = table.to_csv(index=False).encode()
    if path.name.endswith(".tar.gz"):
        content = _tar({"._log.csv": STRAY, "log.csv": content})
    if path.name.endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    path.write_bytes(content)
    return path


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
