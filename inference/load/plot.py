"""The result of a run as a chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inference.load.drive import Done, End
from inference.load.session import Outcome
from inference.load.tally import Floats, answered, corrected, measured
from lightmeter.errors import InputError, explain
from lightmeter.units import show_latency


KINDS = (".png", ".svg")
GOOD, BAD, OTHER = "#2a7f62", "#b5482f", "#555555"


def check(path: Path) -> None:
    """Refuse a file that could not be written before an hour of load rather than after it.

    Raises:
        InputError: naming the file and what to do.
    """
    if path.suffix not in KINDS:
        raise InputError(f"plot {str(path)!r} must end in {' or '.join(KINDS)}")
    if not path.parent.is_dir():
        raise InputError(f"plot {str(path)!r}: its folder does not exist")


def write(path: Path, outcome: Outcome) -> None:
    """Draw latencies over time, and their distribution as measured and corrected.

    Raises:
        InputError: the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ok = answered(outcome.done)
    others = [one for one in outcome.done if one.end is not End.OK and not one.warmup]
    with mpl.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10}):
        figure = Figure(figsize=(11, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        over_time, share = figure.subplots(1, 2)
        _over_time(over_time, ok, others)
        _share(share, measured(ok), corrected(outcome.done, outcome.run))
        rate = outcome.result["throughput"]["pictures_per_second"]
        of = outcome.result["model"] or outcome.result["url"]
        figure.suptitle(f"{of}: {rate:.3g} pictures a second")
        try:
            figure.savefig(path, dpi=130)
        except OSError as error:
            raise InputError(f"plot {str(path)!r} {explain(error)}") from error


def _over_time(axes: Any, ok: Sequence[Done], others: Sequence[Done]) -> None:
    axes.scatter([one.due for one in ok], measured(ok), s=6, color=GOOD, label="answered")
    if others:
        waits = measured(others)
        axes.scatter(
            [one.due for one in others],
            waits,
            s=12,
            color=BAD,
            marker="x",
            label="not answered with a picture",
        )
    axes.set(xlabel="seconds since the start", ylabel="latency, seconds", ylim=(0, None))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _share(axes: Any, found: Floats, whole: Floats) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    if found.size:
        axes.ecdf(np.maximum(found, 1e-6), label="as measured", color=GOOD)
        axes.ecdf(np.maximum(whole, 1e-6), label="corrected for coordinated omission", color=OTHER)
        axes.legend(frameon=False, loc="upper left")
    axes.set(xlabel="latency", ylabel="share of the requests", xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda seconds, _: show_latency(seconds))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
