"""The words: every metric, label and closed vocabulary, spelled once.

Names and units follow https://prometheus.io/docs/practices/naming/: base units, counters end in
``_total``. GPU readings keep the names of https://github.com/NVIDIA/dcgm-exporter (their units
too), so that either exporter can stand in for the other.
"""

# ruff: noqa: F405  (the names come from the pages below)
from __future__ import annotations

from lightmeter.catalog.boards import *  # noqa: F403  (one name for the whole catalogue)
from lightmeter.catalog.exporter import *  # noqa: F403  (one name for the whole catalogue)
from lightmeter.catalog.gateway import *  # noqa: F403  (one name for the whole catalogue)
from lightmeter.catalog.host import *  # noqa: F403  (one name for the whole catalogue)
from lightmeter.catalog.metric import *  # noqa: F403  (one name for the whole catalogue)
from lightmeter.catalog.recorded import *  # noqa: F403  (one name for the whole catalogue)
from lightmeter.catalog.scaler import *  # noqa: F403  (one name for the whole catalogue)
from lightmeter.catalog.server import *  # noqa: F403  (one name for the whole catalogue)
from lightmeter.catalog.vocabulary import *  # noqa: F403  (one name for the whole catalogue)


CATALOG: tuple[Metric, ...] = (
    *(value for value in list(globals().values()) if isinstance(value, Metric)),
    *DCGM,
    *NODE_LOAD,
    *NODE_STAT.values(),
    *NODE_MEMORY.values(),
    *NODE_PRESSURE.values(),
    *NODE_VMSTAT.values(),
    *NODE_DISK,
    *NODE_NETWORK,
    *NODE_FILES,
)
