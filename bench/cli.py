"""How long the command and its parts take to be there, beside a Python that does nothing.

The commands are whole processes; ``import`` is a process that imports one module, with
all that it needs, and ends. The limit is on ``lightmeter --help``.
"""

from __future__ import annotations

import statistics
import sys

from bench import common


ROUNDS, MOST_SECONDS = 15, 0.3
HELPED = ("serve", "gateway", "export", "scale", "simulate", "plan", "dashboards", "doctor")
MODULES = (
    "lightmeter.catalog",
    "lightmeter.configuration",
    "exporter.page",
    "alerts.scale.service",
    "dashboards.live.serve",
    "planner.plan",
    "inference.gateway.server",
    "inference.service",
)


def _commands() -> dict[str, tuple[str, ...]]:
    imports = {f"import {name}": (sys.executable, "-c", f"import {name}") for name in MODULES}
    helped = {f"lightmeter {name} --help": (common.LIGHTMETER, name, "--help") for name in HELPED}
    return {
        "python -c pass": (sys.executable, "-c", "pass"),
        "lightmeter --help": (common.LIGHTMETER, "--help"),
        **helped,
        **imports,
    }


def main() -> None:
    """Start all by turns and compare the medians."""
    args = common.arguments(__doc__)
    seconds: dict[str, list[float]] = {name: [] for name in _commands()}
    for _ in range(ROUNDS):
        for name, command in _commands().items():
            seconds[name].append(common.run(*command)[0])
    rows = [
        {"command": name, "median s": statistics.median(times), "best s": min(times)}
        for name, times in seconds.items()
    ]
    median = statistics.median(seconds["lightmeter --help"])
    failures = (
        [f"lightmeter --help took {median:.3f} s, the limit is {MOST_SECONDS:g} s"]
        if median > MOST_SECONDS
        else []
    )
    common.finish(args, common.machine("click") | {"rounds": ROUNDS}, rows, failures)


if __name__ == "__main__":
    main()
