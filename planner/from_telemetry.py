"""Where samples of pods come from: files of a trace or one's own, or a Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lightmeter.catalog import POD_BUSY, POD_MEMORY_USED, Dcgm
from lightmeter.errors import HistoryError
from planner import packed
from planner.promql import Api, Grid, Series
from planner.telemetry import Telemetry, of_samples


GENTD26 = ("timestamp_anon", "value", "container_ip")
GENTD26_CLOCK = 0.95
"""Both ends of that day divided by it fall on midnight, and its minutes have 57 s (measured)."""
OWN = ("at", "pod", "busy")
STEP = 60.0
MIB = 1024**2
_POD = "namespace, pod"


def _share(expr: str) -> str:
    """Say what part of each GPU is a pod's: pods on one GPU have even parts of it."""
    on = f"count by ({_POD}, UUID) ({expr})"
    return f"({on} > bool 0) / on (UUID) group_left count by (UUID) ({on})"


_UTIL, _USED = f'{Dcgm.GPU_UTIL}{{pod!=""}}', f'{Dcgm.FB_USED}{{pod!=""}}'
_QUERIES = (
    ("busy", f"sum by ({_POD}) (rate({POD_BUSY.name}[2m]))", 1.0),
    ("vram_bytes", f"sum by ({_POD}) ({POD_MEMORY_USED.name})", 1.0),
    ("gpus", f"sum by ({_POD}) ({_share(POD_MEMORY_USED.name)})", 1.0),
)
_DCGM = (
    ("busy", f"sum by ({_POD}) ({_share(_UTIL)} * on ({_POD}, UUID) avg by ({_POD}, UUID) ({_UTIL}))", 0.01),
    ("vram_bytes", f"sum by ({_POD}) ({_USED})", float(MIB)),
    ("gpus", f"sum by ({_POD}) ({_share(_UTIL)})", 1.0),
)  # fmt: skip
"""What NVIDIA's exporter says of pods: percent and MiB, of the whole GPU that a pod is on."""


def read(sources: Sequence[str], *, since: float, until: float, token: str | None) -> Telemetry:
    """Read all samples that files hold, and those of [since, until], Unix seconds, from URLs.

    Raises:
        HistoryError: a file cannot be read or a sample cannot be. ServerError: a URL cannot be asked.
    """
    parts: list[pd.DataFrame] = []
    notes: list[str] = []
    for source in sources:
        if source.startswith(("http://", "https://")):
            found, said = _from_url(source, since, until, token)
        else:
            found, said = _from_file(Path(source))
        parts += found
        notes += [note for note in said if note not in notes]
    return of_samples(parts, ", ".join(_shown(source) for source in sources), notes)


def _shown(source: str) -> str:
    from lightmeter.units import without_password

    return without_password(source)


def _from_file(path: Path) -> tuple[list[pd.DataFrame], list[str]]:
    if path.is_dir():
        files = [
            file
            for file in sorted(path.iterdir())
            if file.name.startswith("pod_gpu_") and file.is_file()
        ]
        if not files:
            raise HistoryError(f"telemetry folder {str(path)!r} holds no pod_gpu_* file; name the files themselves")  # fmt: skip
        read = [_from_file(file) for file in files]
        return [part for parts, _ in read for part in parts], read[0][1]
    try:
        _, frame = packed.frame(path, OWN, {"gentd26": GENTD26})
        return [_own(frame, path)], []
    except HistoryError:
        _, frame = packed.frame(path, GENTD26, {"your own": OWN})
        return [_gentd26(frame, path)], ["times of GenTD26 are divided by 0.95, its clock's rate"]


def _own(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    try:
        at = pd.to_datetime(frame["at"], utc=True, format="ISO8601")
        numbers = {name: frame[name].astype(float) for name in ("gpus", "busy", "vram_bytes") if name in frame}  # fmt: skip
    except (ValueError, TypeError) as error:
        raise HistoryError(f"telemetry {str(path)!r}: {' '.join(str(error).split())[:120]}") from error  # fmt: skip
    seconds = (at - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    return pd.DataFrame({"at": seconds, "pod": frame["pod"].map(str, na_action="ignore")} | numbers)


def _gentd26(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Tell duty in percent from memory in bytes by what can be: no pod uses 100 bytes."""
    try:
        at, value = frame["timestamp_anon"].astype(float), frame["value"].astype(float)
    except (ValueError, TypeError) as error:
        raise HistoryError(f"telemetry {str(path)!r}: {' '.join(str(error).split())[:120]}") from error  # fmt: skip
    pod = frame["container_ip"].where(~frame["container_ip"].isin(["NULL", "None", ""]))
    known = {"busy": value / 100} if value.max() <= 100 else {"vram_bytes": value}  # noqa: PLR2004  (percent)
    return pd.DataFrame({"at": at / GENTD26_CLOCK, "pod": pod} | known)


def _from_url(
    url: str, since: float, until: float, token: str | None
) -> tuple[list[pd.DataFrame], list[str]]:
    grid = Grid(np.floor(since / STEP) * STEP, np.ceil(until / STEP) * STEP, STEP)
    with Api(url, token) as api:
        for queries, said in ((_QUERIES, []), (_DCGM, ["DCGM says of each pod the whole GPU that it is on: busy time of shared GPUs is divided evenly, VRAM is not"])):  # fmt: skip
            parts = [
                _of_series(api.range(expr, grid, lambda: None), name, scale)
                for name, expr, scale in queries
            ]
            if len(parts[0]) or len(parts[1]):
                return [part for part in parts if len(part)], [*said, *api.warnings]
        raise HistoryError(f"Prometheus at {api.name} has neither {POD_BUSY.name} nor {Dcgm.GPU_UTIL} by pod in that time")  # fmt: skip


def _of_series(found: Sequence[Series], name: str, scale: float) -> pd.DataFrame:
    points = [(at, _pod(one.labels), value * scale) for one in found for at, value in one.points()]
    return pd.DataFrame(points, columns=["at", "pod", name])


def _pod(labels: dict[str, str]) -> str:
    return "/".join(part for part in (labels.get("namespace", ""), labels.get("pod", "")) if part)
