"""Public traces as usage rows. A file is recognised by its columns, not by its name."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from lightmeter import tables
from lightmeter.catalog import Outcome
from lightmeter.errors import HistoryError, explain


GENTD26_COLUMNS = (
    "gmt_create",
    "predict_status",
    "exec_time_seconds",
    "groupId",
    "num_images_per_prompt",
    "num_inference_steps",
    "checkpoint_model_version_id",
    "num_lora",
)
_GENTD26_OUTCOMES = {"SUCCEED": Outcome.OK, "FAILED": Outcome.ERROR}
"""PENDING and PROCESSING had not ended: their outcome and time are unknown."""


def read(format_: str, source: Path) -> tuple[pa.Table, str]:
    """Read a trace; return its rows and the stem of the history files they belong in.

    The stem is made from the unpacked file, so that the same import twice is the same import.

    Raises:
        HistoryError: unreadable, wrong columns, or a row with an impossible value.
    """
    columns, convert = _FORMATS[format_]
    try:
        content = source.read_bytes()
    except OSError as error:
        raise HistoryError(f"trace {str(source)!r} {explain(error)}") from error
    text, frame = _frame(content, source, columns)
    if frame.empty:
        raise HistoryError(f"trace {str(source)!r} holds no rows; is it the whole file?")
    stem = f"{format_}-{hashlib.sha256(text).hexdigest()[:12]}"
    frame["request_id"] = [f"{stem}-{index}" for index in range(len(frame))]
    return tables.validated(convert(frame, str(source)), str(source)), stem


def _frame(content: bytes, source: Path, columns: tuple[str, ...]) -> tuple[bytes, pd.DataFrame]:
    """Find the file with these columns among what was packed; return its text and its table."""
    seen: list[str] = []
    for text in _members(content, source):
        try:
            frame = pd.read_csv(io.BytesIO(text))
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise HistoryError(f"trace {str(source)!r} is no CSV: {reason}") from error
        if set(columns) <= set(frame.columns):
            return text, frame
        seen = [str(name)[:40] for name in frame.columns if str(name).isprintable()]
    missing = [name for name in columns if name not in seen]
    raise HistoryError(
        f"trace {str(source)!r} lacks the column {missing[0]!r}; it has {', '.join(seen[:8]) or 'none'}"
    )


_TAR_MAGIC = slice(257, 262), b"ustar"


def _members(content: bytes, source: Path) -> list[bytes]:
    """Unpack what the publisher packed: plain, gzip, or a tar of several files."""
    try:
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        place, magic = _TAR_MAGIC
        return _untar(content) if content[place] == magic else [content]
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise HistoryError(f"trace {str(source)!r} is damaged ({error}); fetch it again") from error


def _untar(content: bytes) -> list[bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        files = [
            member
            for member in tar
            if member.isfile() and not Path(member.name).name.startswith(".")
        ]
        return [data.read() for member in files if (data := tar.extractfile(member))]


def _gentd26(frame: pd.DataFrame, where: str) -> pa.Table:
    """Map the request log of https://github.com/alibaba/clusterdata cluster-trace-v2026-GenAI.

    The service is the checkpoint, the tenant the group. ``exec_time_seconds`` is seen from the
    client: it holds queueing and LoRA loading, and overstates the time on the GPU.
    """
    try:
        arrived = pd.to_datetime(frame["gmt_create"], utc=True, format="mixed")
    except (ValueError, TypeError) as error:
        raise HistoryError(f"{where}: gmt_create: {' '.join(str(error).split())[:120]}") from error
    outcome = frame["predict_status"].map(_GENTD26_OUTCOMES)
    seconds = _number(frame, "exec_time_seconds", where).where(outcome.notna())
    columns = {
        "request_id": frame["request_id"],
        "arrived_at": arrived,
        "service": frame["checkpoint_model_version_id"],
        "model": frame["checkpoint_model_version_id"],
        "tenant": frame["groupId"],
        "images": _number(frame, "num_images_per_prompt", where),
        "forwards": _number(frame, "num_inference_steps", where),
        "loras": _number(frame, "num_lora", where),
        "service_seconds": seconds,
        "total_seconds": seconds,
        "outcome": outcome,
    }
    return tables.fitted(pa.Table.from_pandas(pd.DataFrame(columns), preserve_index=False), where)


def _number(frame: pd.DataFrame, name: str, where: str) -> pd.Series[float]:
    try:
        return pd.to_numeric(frame[name]).astype(float)
    except (ValueError, TypeError) as error:
        raise HistoryError(f"{where}: {name}: {' '.join(str(error).split())[:120]}") from error


_FORMATS: dict[str, tuple[tuple[str, ...], Callable[[pd.DataFrame, str], pa.Table]]] = {
    "gentd26": (GENTD26_COLUMNS, _gentd26),
}
