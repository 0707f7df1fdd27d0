"""What a checker of rules knows: our metrics, their labels, and what the checked files record. Pure."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from alerts.windows import WINDOWS
from lightmeter import catalog
from lightmeter.catalog import CATALOG, Kind, Metric


OURS = ("lightmeter_", "lightmeter:")
"""Under these names there is nothing but what the catalogue has and rules record."""
SHARED = (catalog.DCGM_PREFIX, catalog.NODE_PREFIX)
"""Others expose more under these names than we know; so what we do not know may be there."""
SYNTHETIC = ("up", "ALERTS", "ALERTS_FOR_STATE", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added")  # fmt: skip
"""Series that Prometheus makes by itself."""
TARGET = frozenset({"job", "instance", "namespace", "pod", "container", "cluster", "node", "service", "endpoint"})  # fmt: skip
"""Labels that Prometheus or its operator gives a target's series."""
_SIMILAR = 0.8
_ALIKE = 0.9
_MIG = frozenset(catalog.DCGM_MIG_LABELS)
_DCGM = frozenset((*catalog.DCGM_LABELS, *catalog.HOSTNAME_LABELS["both"])) | _MIG


@dataclass(frozen=True)
class Known:
    """What is known of a series; ``labels`` is None where anything may be there."""

    kind: Kind | None = None
    unit: str = ""
    labels: frozenset[str] | None = None
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hints: frozenset[str] = frozenset()
    """Labels that are there at least, for series that have more elsewhere."""


@dataclass(frozen=True)
class Options:
    """What the person who asks knows better."""

    scrape_interval: float = 15.0
    """Seconds."""
    labels: frozenset[str] = frozenset()
    """Labels that targets have beside `TARGET`."""
    anchors: frozenset[str] | None = None
    """Of the runbook's headings; None where there is no runbook to look into."""
    strict: bool = False
    """Name metrics of unknown origin too."""
    skip: frozenset[str] = frozenset()
    """Codes of what is not to be said."""


@dataclass(frozen=True)
class World:
    """All known series by name, and the options."""

    series: Mapping[str, Known]
    options: Options = Options()

    @property
    def targets(self) -> frozenset[str]:
        """Labels that any scraped series may have."""
        return TARGET | self.options.labels

    def known(self, name: str) -> Known:
        """Look a series up; of a stranger nothing is known."""
        return self.series.get(name, Known())

    def has(self, name: str) -> frozenset[str] | None:
        """List the labels that a series can have; None where anything may be there."""
        labels = self.known(name).labels
        if labels is None:
            return None
        every = labels | self.targets
        return every | {f"exported_{label}" for label in every}

    def nearest(self, name: str) -> str:
        """Find the known series whose name is most like one."""
        return next(iter(difflib.get_close_matches(name, list(self.series), n=1)), "")


def catalogue() -> dict[str, Known]:
    """List every series of the catalogue, histograms as what is scraped of them."""
    scraped = dict(itertools.chain.from_iterable(_series(metric) for metric in CATALOG))
    kinds = {new: scraped[old] for new, old in catalog.DCGM_RENAMED.items()}
    violations = dict.fromkeys(catalog.DCGM_VIOLATIONS, Known(Kind.COUNTER, "nanoseconds", hints=_DCGM))  # fmt: skip
    return {**scraped, **kinds, **violations, **dict.fromkeys(_recorded(), Known())}


def _series(metric: Metric) -> Iterator[tuple[str, Known]]:
    labels, words = frozenset(metric.labels), dict(metric.vocabulary)
    if metric.name.startswith(SHARED):
        hints = _DCGM if metric.name.startswith(catalog.DCGM_PREFIX) else labels
        yield metric.name, Known(metric.kind, metric.unit, None, words, hints)
    elif metric.kind is Kind.HISTOGRAM:
        bounds = (*(f"{bound:g}" for bound in metric.buckets), "+Inf")
        counted = Known(Kind.COUNTER, "", labels, words)
        yield f"{metric.name}_bucket", Known(Kind.COUNTER, "", labels | {"le"}, words | {"le": bounds})  # fmt: skip
        yield from ((f"{metric.name}_{suffix}", counted) for suffix in ("sum", "count"))
    else:
        about = labels | (_MIG if "UUID" in labels else frozenset())
        yield metric.name, Known(metric.kind, metric.unit, about, words)


def _recorded() -> Iterator[str]:
    """Name what our own packs record, whose file may be another than the one that is checked."""
    yield from (value for name, value in vars(catalog).items() if isinstance(value, str) and name.isupper() and value.startswith(OURS[1]))  # fmt: skip
    for period, windows in WINDOWS.items():
        for window in {period, *(w.long for w in windows), *(w.short for w in windows)}:
            for name in (catalog.slo_requests, catalog.slo_errors, catalog.slo_error_ratio, catalog.slo_error_floor):  # fmt: skip
                yield name(window)


def misspelt(name: str, known: Iterable[str]) -> str:
    """Return the known name that one is a misspelling of; empty where it may as well be another.

    All words but one are the same, and that one nearly: ``errs`` is not ``bytes``.
    """
    for right in known:
        ours, theirs = right.split("_"), name.split("_")
        odd = [pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]]
        if len(ours) == len(theirs) and len(odd) == 1 and _like(*odd[0]) >= _SIMILAR and _like(right, name) > _ALIKE:  # fmt: skip
            return right
    return ""


def _like(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
