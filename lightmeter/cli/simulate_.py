"""``lightmeter simulate``."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lightmeter.cli.options import as_json
from lightmeter.errors import SettingError
from lightmeter.units import parse_duration


if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from lightmeter.simulate.demand import Demand
    from lightmeter.simulate.score import Score


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


DURATION = _Duration()


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
@click.option("--seed", type=int, default=1, show_default=True, help="Of the jitter.")
@as_json
def command(trace: Path, policies: str, least: int, most: int, **options: Any) -> None:
    """Replay scaling policies on a trace: what each costs, and who waits.

    \b
    Example:
      lightmeter simulate --trace lightmeter-data/history --policy recommended,hpa,static:2,oracle
    """
    from lightmeter.scaling import policies as known

    names = [name.strip() for name in policies.split(",") if name.strip()]
    if least > most:
        raise SettingError(f"--min {least} is above --max {most}; give a smaller minimum")
    for name in names:
        known.check(name, most)
    rows = _simulate(trace, names, {"least": least, "most": most, **options})
    click.echo(json.dumps(rows, indent=2) if options["as_json"] else _table(rows))


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


def _simulate(trace: Path, names: list[str], options: dict[str, Any]) -> list[dict[str, Any]]:
    from rich.console import Console
    from rich.progress import Progress as Bars

    from lightmeter.scaling.state import Settings
    from lightmeter.simulate.score import score_named
    from lightmeter.simulate.view import World

    demand = _read(trace, options["service_seconds"])
    shared = {key: options[key] for key in ("least", "most", "wait", "cold_start")}
    world = World(**shared, jitter=options["jitter"], seed=options["seed"])
    ours = {key: options[key] for key in ("price", "violation_target", "turn_price", "hold_least")}
    settings = Settings(**shared, **ours)
    console = Console(stderr=True)
    scores: dict[str, Score] = {}
    with Bars(console=console, transient=True, disable=not console.is_terminal) as progress:
        for name in names:
            task = progress.add_task(name, total=1.0)
            scores[name] = score_named(
                name,
                demand,
                settings,
                world,
                begin=options["warm_up"],
                tell=functools.partial(_tell, progress, task),
            )
            progress.update(task, completed=1.0)
    reference = score_named("oracle", demand, settings, world, begin=options["warm_up"]).gpu_hours
    return [
        {
            **found.row(name),
            "cost_gpu_hours": found.cost(options["price"]),
            "regret_ratio": found.gpu_hours / reference - 1 if reference else None,
        }
        for name, found in scores.items()
    ]


def _tell(progress: Progress, task: TaskID, share: float) -> None:
    progress.update(task, completed=share)


def _table(rows: list[dict[str, Any]]) -> str:
    columns = {
        "policy": "{:<14}",
        "gpu_hours": "{:>10,.1f}",
        "violations": "{:>10,}",
        "violation_ratio": "{:>15.2%}",
        "wait_p95_seconds": "{:>16,.1f}",
        "reversals": "{:>9,}",
        "operations": "{:>10,}",
        "cold_starts": "{:>11,}",
        "cost_gpu_hours": "{:>14,.1f}",
        "regret_ratio": "{:>12.0%}",
    }
    heads = [f"{name:{_aligned(shape)}}" for name, shape in columns.items()]
    body = [[_cell(row[name], shape) for name, shape in columns.items()] for row in rows]
    return "\n".join(" ".join(cells).rstrip() for cells in [heads, *body])


def _aligned(shape: str) -> str:
    """Return the side and width of a column: what stands before the digits of its format."""
    return shape.partition(":")[2].partition(",")[0].partition(".")[0].rstrip("}")


def _cell(value: Any, shape: str) -> str:
    return f"{'never':{_aligned(shape)}}" if value is None else shape.format(value)
