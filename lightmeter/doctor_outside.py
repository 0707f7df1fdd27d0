"""What the doctor asks of others over HTTP: a Prometheus, an Alertmanager."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import httpx

from lightmeter import catalog
from lightmeter.doctor import Finding, Verdict
from lightmeter.errors import ServerError
from lightmeter.units import show_duration, without_password


SECONDS = 5.0
"""Of patience for one answer."""
FAR_SECONDS = 5.0
"""A Prometheus whose clock is so far off finds none of the latest samples, or some from the future."""
SLOW_SECONDS = 30.0
"""Between scrapes, beyond which the rules' windows of two minutes hold too few of them."""
OURS = {
    "lightmeter serve": catalog.IN_FLIGHT.name,
    "lightmeter export": catalog.SAMPLE_AGE.name,
    "lightmeter scale": catalog.DESIRED_REPLICAS.name,
}
"""A series of each of our programs, by the program."""


class Asked(NamedTuple):
    """An address and the headers that open it."""

    url: str
    headers: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        """The address as it may be shown."""
        return without_password(self.url)

    def get(self, path: str, query: str = "") -> Any:
        """Ask for JSON.

        Raises:
            ServerError: there is no answer, or none that helps; without the address.
        """
        parameters = {"query": query} if query else None
        try:
            answer = httpx.get(self.url.rstrip("/") + path, params=parameters, headers=dict(self.headers), timeout=SECONDS, trust_env=False)  # fmt: skip
            answer.raise_for_status()
            return answer.json()
        except httpx.HTTPStatusError as error:
            raise ServerError(f"answers {error.response.status_code}") from error
        except httpx.InvalidURL as error:
            raise ServerError("is no address") from error
        except httpx.HTTPError as error:
            raise ServerError(f"cannot be reached ({type(error).__name__})") from error
        except ValueError as error:
            raise ServerError("answers, but not with JSON") from error

    def vector(self, query: str) -> list[dict[str, Any]]:
        """Ask Prometheus for an instant vector, or a scalar as one of one sample.

        Raises:
            ServerError: as `get`, or it is no Prometheus.
        """
        answer = self.get("/api/v1/query", query)
        try:
            data = answer["data"]
            found = data["result"]
            return [{"metric": {}, "value": found}] if data["resultType"] == "scalar" else list(found)  # fmt: skip
        except (KeyError, TypeError) as error:
            raise ServerError("answers, but not as Prometheus does") from error


def check_prometheus(asked: Asked, clock: Callable[[], float] = time.time) -> Finding:
    """Ask a Prometheus for its time, our series and how often they are scraped."""
    what = "Prometheus"
    try:
        ahead = float(asked.vector("time()")[0]["value"][1]) - clock()
        there = [program for program, name in OURS.items() if asked.vector(f"count({name})")]
        gap = _gap(asked, there)
    except (ServerError, ValueError, LookupError, TypeError) as error:
        said = str(error) if isinstance(error, ServerError) else "answers, but not as Prometheus does"  # fmt: skip
        fix = "check the address and that it runs; a token goes into the file that --bearer-file names"
        return Finding(what, Verdict.FAIL, f"{asked.name} {said}", fix)
    return judge_prometheus(asked.name, ahead, there, gap)


def _gap(asked: Asked, there: list[str]) -> float | None:
    """Measure the seconds between two scrapes of what it has of ours."""
    if not there:
        return None
    name = OURS[there[0]]
    found = asked.vector(f"max(count_over_time({name}[5m]))")
    samples = float(found[0]["value"][1]) if found else 0.0
    return 300 / samples if samples else None


def judge_prometheus(name: str, ahead: float, there: list[str], gap: float | None) -> Finding:
    """Judge a Prometheus whose clock is so many seconds ahead, by what it has of ours."""
    what = "Prometheus"
    if abs(ahead) > FAR_SECONDS:
        fix = "let both machines keep their time with NTP"
        return Finding(what, Verdict.FAIL, f"{name}: its clock is {show_duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} ours", fix)  # fmt: skip
    if not there:
        fix = "let it scrape the /metrics of serve, export and scale; docs/exporter.md has a configuration"
        return Finding(what, Verdict.WARN, f"{name} answers and has no series of ours", fix)
    found = f"{name} has series of {', '.join(there)}"
    if gap is not None and gap > SLOW_SECONDS:
        fix = (
            "set scrape_interval to 15s for our jobs; the scaler and the rules see too little else"
        )
        return Finding(what, Verdict.WARN, f"{found}; about {show_duration(gap)} between two scrapes", fix)  # fmt: skip
    lacking = [program for program in OURS if program not in there]
    fix = f"nothing of {', '.join(lacking)}; where it should run, add it to what is scraped" if lacking else ""  # fmt: skip
    return Finding(what, Verdict.OK, found, fix)


def check_alertmanager(asked: Asked) -> Finding:
    """Ask an Alertmanager whether it is ready to be told."""
    what = "Alertmanager"
    try:
        version = asked.get("/api/v2/status")["versionInfo"]["version"]
    except (ServerError, KeyError, TypeError) as error:
        said = str(error) if isinstance(error, ServerError) else "answers, but not as Alertmanager does"  # fmt: skip
        fix = "check the address and that it runs; without it nobody is told of alerts"
        return Finding(what, Verdict.FAIL, f"{asked.name} {said}", fix)
    return Finding(what, Verdict.OK, f"{asked.name}, {version}")
