"""``lightmeter rules check``: look at rule files, whoever wrote them, and say what is wrong in them.

What is said is certain: where a file leaves something open, nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alerts import checks_order, checks_shape
from alerts.checks_label import label
from alerts.checks_link import anchors, link, severity
from alerts.checks_metric import metric
from alerts.checks_rate import rate
from alerts.checks_template import template
from alerts.checks_value import value
from alerts.finding import Finding
from alerts.leaves import around
from alerts.rulefile import Written, load
from alerts.world import Options, World
from lightmeter.errors import RuleError, explain


Check = Callable[[Written, World], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (severity, metric, label, rate, value, link, template)


@dataclass(frozen=True)
class Report:
    """What was found in so many rules."""

    rules: int
    findings: tuple[Finding, ...]


def check(paths: Sequence[Path], options: Options) -> Report:
    """Look at rule files; what one records, the others may use.

    Raises:
        RuleError: a file is not there, or is no YAML.
    """
    files = [checks_shape.read(str(path), load(path)) for path in paths]
    world = around([rule for file in files for rule in file.rules], options)
    findings: list[Finding] = []
    for file in files:
        findings += [*file.findings, *checks_order.twice(file.rules, world), *checks_order.late(file.rules)]  # fmt: skip
        findings += (found for rule in file.rules for each in CHECKS for found in each(rule, world))
    return Report(
        sum(file.count for file in files),
        tuple(sorted(one for one in findings if one.code not in options.skip)),
    )


def headings(path: Path) -> frozenset[str]:
    """Read the anchors of a runbook in Markdown.

    Raises:
        RuleError: it cannot be read.
    """
    try:
        return anchors(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RuleError(f"runbook {str(path)!r} {explain(error)}") from error
    except UnicodeDecodeError as error:
        raise RuleError(f"runbook {str(path)!r} is no text in UTF-8") from error
