"""The GPU that trials are about. Pure."""

from __future__ import annotations

from alerts.promql import series
from lightmeter import catalog


GPU = {"gpu": "0", "UUID": "GPU-1"}
HOST = GPU | {"Hostname": "node1"}
NODE = {"instance": "node1:9400"}


def ours(metric: catalog.Metric, **labels: str) -> str:
    """Name a series of our exporter for GPU 0."""
    return series(metric, **GPU, **labels)


def theirs(field: str) -> str:
    """Name a series of dcgm-exporter for GPU 0."""
    return series(str(field), **HOST)
