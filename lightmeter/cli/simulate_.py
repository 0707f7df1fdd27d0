"""``lightmeter simulate``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lightmeter.cli.options import as_json
from lightmeter.errors import SettingError
from lightmeter.units import parse_duration


if TYPE_CHECKING:
    from rich.progress import Progress

    from lightmeter.simulate.demand import Demand


DEFAULT = "recommended,hpa-tuned,knative-tuned,hpa,keda,knative,ray,classic,oracle"


class _Duration(click.ParamType[float]):
    """A time like 30s, 5m or 12d; a bare number is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # fmt: skip
        if isinstance(value, float | int):
            return float(value)
        try:
            return parse_duration(value)
        except SettingError as error:
            self.fail(str(error), param, ctx)


class _Starts(click.ParamType[tuple[float, ...]]):
    """Times of a start, with commas between."""

    name = "times"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:  # fmt: skip
        if isinstance(value, tuple):
            return value
        found = [DURATION.convert(one, param, ctx) for one in value.split(",") if one.strip()]
        if any(one <= 0 for one in found):
            self.fail(f"{value!r} has a start of no time; give times above 0, like 20,60,180", param, ctx)  # fmt: skip
        return tuple(dict.fromkeys(found))


DURATION, STARTS = _Duration(), _Starts()


@click.command("simulate")
@click.option("--trace", required=True, type=click.Path(path_type=Path), help="Folder of usage history, or a trace that 'lightmeter history import' reads.")  # fmt: skip
@click.option("--policy", "policies", default=DEFAULT, show_default=True, metavar="NAME[,NAME...]", help="Policies: those of the default, and static:N.")  # fmt: skip
@click.option("--cold-start", type=DURATION, default=180.0, show_default=True, help="From ordering a replica to its being ready.")  # fmt: skip
@click.option("--jitter", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="A start takes up to so much more or less, as a share.")  # fmt: skip
@click.option("--wait", type=DURATION, default=30.0, show_default=True, help="Longest wait that is no violation.")  # fmt: skip
@click.option("--min", "least", type=click.IntRange(0, 10_000), default=0, show_default=True, help="Fewest replicas.")  # fmt: skip
@click.option("--max", "most", type=click.IntRange(1, 10_000), default=8, show_default=True, help="Most replicas.")  # fmt: skip
@click.option("--service-seconds", type=click.FloatRange(0, min_open=True), help="Seconds that a picture takes.  [default: each request's own service time]")  # fmt: skip
@click.option("--price", type=click.FloatRange(0), default=900.0, show_default=True, help="What a violation is worth to 'recommended', GPU-seconds; also in the cost column.")  # fmt: skip
@click.option("--violation-target", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Share of violations that 'recommended' keeps, by moving its price; 0 leaves it.")  # fmt: skip
@click.option("--turn-price", type=click.FloatRange(0), default=400.0, show_default=True, help="What it is worth to 'recommended', in GPU-seconds, not to let a replica go and order it again.")  # fmt: skip
@click.option("--hold-least", type=DURATION, default=60.0, show_default=True, help="Shortest time that 'recommended' keeps an idle replica.")  # fmt: skip
@click.option("--warm-up", type=DURATION, default=0.0, show_default=True, help="Simulated at first, and not scored.")  # fmt: skip
@click.option("--split", metavar="DATE", help="Choose the settings of 'recommended', 'hpa-tuned' and 'knative-tuned' on what arrived before, each by a search of 18, and score on the rest: a date like 2024-11-26, or a time from the start like 11d.")  # fmt: skip
@click.option("--sweep", type=STARTS, default="", metavar="SECONDS,...", help="Repeat with starts of these times, like 20,60,180,240.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="Of the jitter.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for simulate.json, simulate.md and simulate.html, a page with pictures.")  # fmt: skip
@as_json
def command(trace: Path, policies: str, least: int, most: int, **options: Any) -> None:
    """Replay scaling policies on a trace: what each costs, and who waits.

    \b
    Examples:
      lightmeter simulate --trace lightmeter-data/history --policy recommended,hpa,static:2,oracle
      lightmeter simulate --trace lightmeter-data/history --split 11d --sweep 20,60,180 --out report
    """
    from lightmeter.scaling import policies as known

    names = list(dict.fromkeys(name.strip() for name in policies.split(",") if name.strip()))
    if not names:
        raise SettingError("--policy names none; give one, like --policy recommended,hpa")
    if least > most:
        raise SettingError(f"--min {least} is above --max {most}; give a smaller minimum")
    for name in names:
        known.check(name, most)
    document = _simulate(trace, names, {"least": least, "most": most, **options})
    from lightmeter.simulate import page

    written = []
    if options["out"]:
        written = page.write(document, options["out"])
    if options["as_json"]:
        click.echo(json.dumps(document["policies"], indent=2))
        if (words := page.too_short(document)) is not None:
            click.echo(f"note: {words}", err=True)
    else:
        click.echo("\n".join([*_words(document), *(f"written: {path}" for path in written)]))


def _read(path: Path, seconds_per_image: float | None) -> Demand:
    from lightmeter.simulate import rows

    if path.is_dir():
        from lightmeter.history import History

        frame = History(path).frame(rows.COLUMNS)
    else:
        from planner import importers

        table = importers.read("gentd26", path)[0]
        frame = table.select(list(rows.COLUMNS)).to_pandas()
        frame = frame.sort_values("arrived_at", kind="stable", ignore_index=True)
    return rows.from_frame(frame, seconds_per_image)


def _begin(demand: Demand, options: dict[str, Any]) -> float:
    """Return where scoring begins, seconds since the demand's start."""
    from lightmeter.simulate.rows import moment

    text, last = options["split"], float(demand.arrivals[-1])
    if text and options["warm_up"]:
        raise SettingError("--split says what is scored, and so does --warm-up; give one of them")
    begin = moment(text, demand.start) if text else options["warm_up"]
    if not (0 < begin <= last if text else begin <= last):
        first, end = (datetime.fromtimestamp(demand.start + at, UTC).strftime("%Y-%m-%d %H:%M") for at in (0.0, last))  # fmt: skip
        given = f"--split {text!r}" if text else f"--warm-up {options['warm_up']:g}"
        raise SettingError(f"{given} leaves nothing on one side; the trace goes from {first} to {end} UTC")  # fmt: skip
    return float(begin)


def _simulate(trace: Path, names: list[str], options: dict[str, Any]) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import Progress as Bars

    from lightmeter.scaling.state import Settings
    from lightmeter.simulate.study import Study, run
    from lightmeter.simulate.view import World

    demand = _read(trace, options["service_seconds"])
    shared = {key: options[key] for key in ("least", "most", "wait", "cold_start")}
    ours = {key: options[key] for key in ("price", "violation_target", "turn_price", "hold_least")}
    study = Study(
        names,
        demand,
        Settings(**shared, **ours),
        World(**shared, jitter=options["jitter"], seed=options["seed"]),
        begin=_begin(demand, options),
        split=bool(options["split"]),
        sweep=options["sweep"],
    )
    console = Console(stderr=True)
    with Bars(console=console, transient=True, disable=not console.is_terminal) as progress:
        return {"trace": trace.name, **run(study, _Teller(progress))}


class _Teller:
    """Turns what a study tells into a bar for each step."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._task = progress, progress.add_task("reading", total=1.0)
        self._step = ""

    def __call__(self, step: str, share: float) -> None:
        if step != self._step:
            self._step = step
            self._progress.reset(self._task, description=step)
        self._progress.update(self._task, completed=share)


def _words(document: dict[str, Any]) -> list[str]:
    from lightmeter.simulate.page import against, said

    rows = document["policies"]
    lines = [_table([{**row, "against_the_cheapest_other": against(row)} for row in rows], COLUMNS)]
    lines += [f"{row['policy']}: {row['chosen']}" for row in rows if "chosen" in row]
    for one in document["sweep"]:
        lines += [f"\nstarts of {one['cold_start_seconds']:g} s", _table(one["policies"], SWEPT)]
    return [*lines, *said(document)]


COLUMNS = {
    "policy": "{:<14}",
    "gpu_hours": "{:>10,.1f}",
    "violations": "{:>10,}",
    "violation_ratio": "{:>15.2%}",
    "violation_minutes": "{:>17,}",
    "wait_p95_seconds": "{:>16,.1f}",
    "reversals": "{:>9,}",
    "operations": "{:>10,}",
    "cold_starts": "{:>11,}",
    "cost_gpu_hours": "{:>14,.1f}",
    "regret_ratio": "{:>12.0%}",
    "against_the_cheapest_other": "{:<28}",
}
SWEPT = {key: COLUMNS[key] for key in ("policy", "gpu_hours", "violation_ratio", "wait_p95_seconds", "reversals", "cost_gpu_hours")}  # fmt: skip


def _table(rows: list[dict[str, Any]], columns: dict[str, str]) -> str:
    heads = [f"{name:{_aligned(shape)}}" for name, shape in columns.items()]
    body = [[_cell(name, row[name], shape) for name, shape in columns.items()] for row in rows]
    return "\n".join(" ".join(cells).rstrip() for cells in [heads, *body])


def _aligned(shape: str) -> str:
    """Return the side and width of a column: what stands before the digits of its format."""
    return shape.partition(":")[2].partition(",")[0].partition(".")[0].rstrip("}")


def _cell(name: str, value: Any, shape: str) -> str:
    if value is not None:
        return shape.format(value)
    return f"{'-' if name == 'regret_ratio' else 'never':{_aligned(shape)}}"
