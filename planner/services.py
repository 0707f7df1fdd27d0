"""What a person knows of services besides their history: the TOML file of ``--services``."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lightmeter.catalog import Priority
from lightmeter.errors import PlanError, SettingError, explain, nearest
from lightmeter.units import parse_duration
from planner.demand import Demand
from planner.options.base import Known, Terms


GIB = 1024**3
KEYS = ("vram_gib", "interference", "start", "wait", "priority", "share", "speed")


def load(path: Path | None) -> dict[str, Known]:
    """Read the ``[services.NAME]`` tables of a file; nothing without one.

    Raises:
        PlanError: naming the file, the service, the key and the value.
    """
    if path is None:
        return {}
    name = f"services {str(path)!r}"
    try:
        document = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise PlanError(f"{name} {explain(error)}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{name} is no TOML ({' '.join(str(error).split())})") from error
    tables = document.get("services")
    if set(document) != {"services"} or not isinstance(tables, dict) or not tables:
        raise PlanError(f"{name} must hold [services.NAME] tables and nothing else")
    return {
        service: _known(table, f"{name}: service {service!r}") for service, table in tables.items()
    }


def aligned(
    known: Mapping[str, Known], services: Iterable[str]
) -> tuple[tuple[Known, ...], list[str]]:
    """Return what is known of each service, and notes on what is known of services that are not there."""
    names = list(services)
    strange = [name for name in known if name not in set(names)]
    notes = [
        f"the services file knows {name!r}, of which the history has no request{nearest(name, names)}"
        for name in strange[:5]
    ]
    if not known:
        return (), notes
    return tuple(known.get(name, Known()) for name in names), notes


def with_known(
    demand: Demand, terms: Terms, known: Mapping[str, Known]
) -> tuple[Demand, Terms, list[str]]:
    """Put what is known into the terms: ranks and limits of requests too; and say what fits nothing."""
    found, notes = aligned(known, demand.services)
    if not found:
        return demand, terms, notes
    waits = np.array([_or(one.wait_seconds, terms.slo.wait_seconds) for one in found])
    limited = any(one.wait_seconds is not None for one in found)
    slo = dataclasses.replace(terms.slo, limits=waits[demand.owner]) if limited else terms.slo
    if any(one.batch is not None for one in found):
        ranks = np.zeros(len(demand.arrivals), np.int64) if demand.ranks is None else demand.ranks
        for service, one in enumerate(found):
            if one.batch is not None:
                ranks = np.where(demand.owner == service, int(one.batch), ranks)
        alike = ranks.min() == ranks.max()
        demand = dataclasses.replace(demand, ranks=None if alike else ranks)
    return demand, dataclasses.replace(terms, known=found, slo=slo), notes


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _known(table: object, where: str) -> Known:
    if not isinstance(table, dict):
        raise PlanError(f"{where} is {table!r}; write it as a [services.NAME] table")
    for key in table:
        if key not in KEYS:
            raise PlanError(
                f"{where}: {key!r} is no key{nearest(key, KEYS)}; there are {', '.join(KEYS)}"
            )
    vram = _number(table, "vram_gib", where, least=0.01)
    return Known(
        vram_bytes=None if vram is None else vram * GIB,
        interference=_number(table, "interference", where, most=0.99),
        start_seconds=_time(table, "start", where),
        wait_seconds=_time(table, "wait", where),
        batch=_batch(table, where),
        share=_flag(table, "share", where),
        speed=_speeds(table.get("speed", {}), where),
    )


def _number(
    table: Mapping[str, Any], key: str, where: str, *, least: float = 0.0, most: float = math.inf
) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise PlanError(f"{where}: {key} is {value!r}; it must be a number")
    if not least <= value <= most:
        upto = "" if most == math.inf else f" and at most {most:g}"
        raise PlanError(f"{where}: {key} is {value}; it must be at least {least:g}{upto}")
    return float(value)


def _time(table: Mapping[str, Any], key: str, where: str) -> float | None:
    value = table.get(key)
    if not isinstance(value, str):
        return _number(table, key, where)
    try:
        return parse_duration(value)
    except SettingError as error:
        raise PlanError(f"{where}: {key}: {error}") from error


def _flag(table: Mapping[str, Any], key: str, where: str) -> bool:
    value = table.get(key, True)
    if not isinstance(value, bool):
        raise PlanError(f"{where}: {key} is {value!r}; write true or false")
    return value


def _batch(table: Mapping[str, Any], where: str) -> bool | None:
    value = table.get("priority")
    if value is None:
        return None
    if value not in tuple(Priority):
        raise PlanError(f"{where}: priority is {value!r}; it must be one of {', '.join(Priority)}")
    return bool(value == Priority.BATCH)


def _speeds(value: object, where: str) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, dict):
        raise PlanError(f"{where}: speed is {value!r}; write it like speed = {{ L4 = 0.4 }}")
    found = {gpu: _number(value, gpu, f"{where}: speed", least=0.001, most=1000) for gpu in value}
    return tuple((gpu, speed) for gpu, speed in found.items() if speed is not None)
