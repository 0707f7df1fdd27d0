"""What ``lightmeter plan`` takes beside the history: telemetry of pods, and what was really spent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lightmeter import secret
from lightmeter.cli.written import put
from lightmeter.errors import PlanError
from lightmeter.settings_plan import Plan


if TYPE_CHECKING:
    import pandas as pd

    from planner.demand import Demand
    from planner.prices import Price
    from planner.telemetry import Telemetry

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Asked:
    """Where telemetry comes from, and where the rows of what was spent go."""

    telemetry: tuple[str, ...] = ()
    token_file: Path | None = None
    focus: Path | None = None


NOTHING = Asked()


@dataclass(frozen=True)
class Spent:
    """Blocks of plan.json, and the FOCUS rows of what was spent; None where that is unknown."""

    blocks: dict[str, Any]
    focus: str | None


def evidence_options(function: F) -> F:
    """Add the options."""
    for option in (
        click.option("--focus", type=click.Path(path_type=Path), help="Write what was spent to this file, as FOCUS 1.2 rows (CSV)."),
        click.option("--bearer-token-file", type=click.Path(path_type=Path), help="File with the token to send to the Prometheus of --telemetry."),
        click.option("--telemetry", metavar="SOURCE", multiple=True, help="What pods held and used of GPUs: the URL of a Prometheus, or a file: pod_gpu_* of GenTD26 (or their folder), or a CSV with at, pod, busy. Again for more."),
    ):  # fmt: skip
        function = option(function)
    return function


def read_telemetry(asked: Asked, demand: Demand, tell: Callable[[str], None]) -> Telemetry | None:
    """Read the telemetry that is asked for, of the time of the history.

    Raises:
        HistoryError: a sample cannot be. ServerError: a Prometheus cannot be asked.
    """
    if not asked.telemetry:
        return None
    from planner import from_telemetry

    tell("reading the telemetry")
    token = secret.word(asked.token_file, "bearer token") or None
    since, until = demand.start.timestamp(), demand.end.timestamp()
    return from_telemetry.read(asked.telemetry, since=since, until=until, token=token)


def spending(
    used: tuple[Demand, pd.DataFrame], settings: Plan, price: Price, telemetry: Telemetry | None
) -> Spent:
    """Add up what was spent in the time of the history, ramp-up included; ``used`` is its demand and its rows."""
    demand, frame = used
    from planner import actual, focus
    from planner import telemetry as sampled

    held = actual.held(settings.held_gpus, frame.get("gpu_uuid"), telemetry, demand)
    blocks = {
        "telemetry": None if telemetry is None else sampled.block(telemetry, demand),
        "actual": None if held is None else actual.block(demand, held, price, settings.discount),
    }
    text = None if held is None else focus.text(actual.shares(demand, held), price, settings.account, settings.discount)  # fmt: skip
    return Spent(blocks, text)


def write_focus(asked: Asked, spent: Spent) -> None:
    """Write the FOCUS rows where they are asked for.

    Raises:
        PlanError: it is not known what was spent. InputError: the file cannot be written.
    """
    if asked.focus is None:
        return
    if spent.focus is None:
        raise PlanError("--focus wants to know what was paid for: the rows name no GPU; give --held-gpus, or --telemetry of that time")  # fmt: skip
    put(asked.focus.parent, {asked.focus.name: spent.focus}, "--focus")
