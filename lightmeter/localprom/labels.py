"""Label sets as sorted tuples: hashable, comparable, small. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


Labels = tuple[tuple[str, str], ...]
NAME = "__name__"
_NAME_ONLY = frozenset([NAME])


def pack(labels: Mapping[str, str]) -> Labels:
    """Sort by name; an empty value is no label, as in Prometheus."""
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def only(labels: Labels, names: frozenset[str]) -> Labels:
    """Keep the labels of these names."""
    return tuple(pair for pair in labels if pair[0] in names)


def without(labels: Labels, names: Iterable[str]) -> Labels:
    """Take away the labels of these names."""
    return tuple(pair for pair in labels if pair[0] not in names)


def nameless(labels: Labels) -> Labels:
    """Take away the metric's name."""
    return without(labels, _NAME_ONLY)


def changed(labels: Labels, changes: Mapping[str, str]) -> Labels:
    """Set labels; an empty value takes one away."""
    return pack({**dict(labels), **changes})


def show(labels: Labels) -> str:
    """Write them as in PromQL."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"
