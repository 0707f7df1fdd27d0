"""What a look at rules finds: data. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """What is wrong, in a word."""

    SHAPE = "shape"
    DURATION = "duration"
    DUPLICATE = "duplicate"
    ORDER = "order"
    SYNTAX = "syntax"
    METRIC = "metric"
    LABEL = "label"
    RATE = "rate"
    NEVER = "never"
    ALWAYS = "always"
    RUNBOOK = "runbook"
    DASHBOARD = "dashboard"
    TEMPLATE = "template"
    SEVERITY = "severity"


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong in a rule file; its message says what, the value, what to do."""

    file: str
    line: int
    """From 1 on."""
    group: str
    rule: str
    """Name of the alert or of the recorded series; empty where it is about no rule."""
    code: Code
    message: str

    def __str__(self) -> str:
        """Write the finding as editors and people read it."""
        where = "/".join(filter(None, (self.group, self.rule)))
        return f"{self.file}:{self.line} {where}{': ' if where else ''}[{self.code}] {self.message}"
