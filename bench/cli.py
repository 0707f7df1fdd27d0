"""``lightmeter --help`` as a whole process, beside a Python that does nothing."""

from __future__ import annotations

import statistics
import sys

from bench import common


ROUNDS, MOST_SECONDS = 15, 0.3


def main() -> None:
    """Start both by turns and compare the medians."""
    args = common.arguments(__doc__)
    commands = {
        "lightmeter --help": (common.LIGHTMETER, "--help"),
        "python -c pass": (sys.executable, "-c", "pass"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
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
