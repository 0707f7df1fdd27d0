"""What is promised to users: ``slo.toml``, checked and frozen. Pure, but for the default's text.

Without a file the promises are those of `Slo()`; they hold for each service on its own.
"""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from alerts.rule import Severity
from lightmeter import catalog
from lightmeter.catalog import Outcome
from lightmeter.errors import RuleError, nearest
from lightmeter.section import Seconds, Section


class Promise(StrEnum):
    """What an objective is about."""

    AVAILABILITY = "availability"
    WAIT = "wait"
    SLOWDOWN = "slowdown"
    DURATION = "duration"
    GUARD = "guard"


_LIMITED = {
    Promise.WAIT: catalog.STAGE_DURATION,
    Promise.SLOWDOWN: catalog.SLOWDOWN,
    Promise.DURATION: catalog.REQUEST_DURATION,
}
"""The histogram of each promise that has a limit, which must be one of its bounds."""


class Objective(Section):
    """One promise: a share of at least ``target`` of the requests is good."""

    name: str = Field(
        pattern=r"[a-z][a-z0-9_-]*", description="Its name, a label of all its series."
    )
    kind: Promise = Field(
        description="What makes a request good: `availability` (answered), `wait` (seconds until a GPU had it), `slowdown` (time over the expected service time of its shape), `duration` (seconds in all), `guard` (no guard found a fault in the picture)."
    )
    target: float = Field(gt=0, lt=1, description="Share of the requests that must be good.")
    within: Seconds | None = Field(
        default=None,
        description="The limit: seconds, or a multiple for `slowdown`; a bound of the histogram, else the next one is taken.",
    )
    service: str = Field(
        default=".+", description="Regular expression of the services that it holds for."
    )
    bad: tuple[Outcome, ...] = Field(
        default=(Outcome.SHED, Outcome.TIMEOUT, Outcome.OOM, Outcome.ERROR),
        description="Outcomes that `availability` counts as bad; `invalid` and `cancelled` are the client's affair and count nowhere.",
    )

    @field_validator("service")
    @classmethod
    def _pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from error
        if '"' in value or "\\" in value:
            raise ValueError("must not contain quotes or backslashes")
        return value

    @model_validator(mode="after")
    def _limit(self) -> Objective:
        if (self.kind in _LIMITED) != (self.within is not None):
            raise ValueError(
                f"'within' is {'missing' if self.within is None else 'of no use'} for kind {self.kind}"
            )
        return self

    @property
    def budget(self) -> float:
        """Share of the requests that may be bad."""
        return 1 - self.target

    @property
    def bound(self) -> float:
        """The bound of the histogram that stands for the limit: the nearest at or above it."""
        bounds = _LIMITED[self.kind].buckets
        return next((bound for bound in bounds if bound >= (self.within or 0)), bounds[-1])


class Override(Section):
    """What is different about one alert here."""

    enabled: bool = Field(default=True, description="`false` leaves the alert out.")
    severity: Severity | None = Field(default=None, description="`page`, `ticket` or `none`.")
    hold: Seconds | None = Field(default=None, description="How long it must be true.")


class Links(Section):
    """Where an alert's links lead."""

    runbook: str = Field(
        default="http://127.0.0.1:9090/runbook",
        description="Address of the runbook; the alert's name is put behind its `#`.",
    )
    dashboards: str = Field(
        default="http://127.0.0.1:9090", description="Root of Grafana, or of the live page."
    )

    @property
    def notes(self) -> tuple[str, ...]:
        """Say where links lead to this machine only."""
        unset = [key for key in type(self).model_fields if key not in self.model_fields_set]
        return tuple(f"links.{key} is not set in slo.toml: alerts link to {getattr(self, key)}" for key in unset)  # fmt: skip


class Money(Section):
    """What is paid, for the alerts on spending."""

    gpu_hour: float | None = Field(
        default=None, gt=0, description="Price of a GPU for an hour, for the cost of idle GPUs."
    )
    monthly_budget: float | None = Field(
        default=None,
        gt=0,
        description="What may be spent on GPU seconds in 30 days, in the currency that the servers count in.",
    )
    currency: str = Field(default="USD", pattern=r"[A-Z]{3}", description="The prices' currency.")


def _defaults() -> tuple[Objective, ...]:
    return (
        Objective(name="availability", kind=Promise.AVAILABILITY, target=0.995),
        Objective(name="wait", kind=Promise.WAIT, target=0.95, within=12.1),
        Objective(name="slowdown", kind=Promise.SLOWDOWN, target=0.95, within=4),
        Objective(name="guard", kind=Promise.GUARD, target=0.99),
    )


class Slo(Section):
    """Everything that ``slo.toml`` can say."""

    period: Literal["30d", "7d"] = Field(default="30d", description="What the error budget is for.")
    group_by: tuple[str, ...] = Field(
        default=("service",),
        min_length=1,
        description="Labels that tell one service from another; add `cluster` or `namespace` where one Prometheus sees several.",
    )
    scrape_interval: Seconds = Field(
        default=15.0, gt=0, description="How often Prometheus scrapes."
    )
    objective: tuple[Objective, ...] = Field(default_factory=_defaults, description="The promises.")
    alerts: dict[str, Override] = Field(
        default_factory=dict, description="What is different about an alert, by its name."
    )
    links: Links = Field(default_factory=Links, description="Where links lead.")
    money: Money = Field(default_factory=Money, description="Prices and budgets.")

    @model_validator(mode="after")
    def _once(self) -> Slo:
        names = [one.name for one in self.objective]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"objective {min(twice)!r} is there twice")
        return self

    @property
    def by(self) -> str:
        """The labels that tell services apart, for PromQL's ``by``."""
        return ", ".join(self.group_by)


def parse(text: str, origin: str) -> Slo:
    """Read ``slo.toml``.

    Raises:
        RuleError: naming the file, the key, the value and what is allowed.
    """
    try:
        return Slo.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise RuleError(f"objectives {origin!r} are no TOML: {error}") from error
    except ValidationError as error:
        raise RuleError(f"objectives {origin!r}: {_first(error.errors()[0])}") from error


def _first(error: Any) -> str:
    """Say what pydantic found first, without its class names."""
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _keys(error["loc"])
        return f"{where} is no setting{nearest(str(error['loc'][-1]), known)}"
    reason = str(error["msg"]).removeprefix("Value error, ")
    given = "" if isinstance(error["input"], dict) else f" is {error['input']!r}"
    return f"{where}{given}: {reason[0].lower()}{reason[1:]}".removeprefix(": ")


def _keys(path: tuple[str | int, ...]) -> list[str]:
    """List the settings beside the one that is unknown."""
    sections: dict[str, type[Section]] = {"objective": Objective, "alerts": Override, "links": Links, "money": Money}  # fmt: skip
    section = sections.get(str(path[0]), Slo) if len(path) > 1 else Slo
    return list(section.model_fields)
