"""A Prometheus-compatible API: range queries of any length, and its failures in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
import numpy.typing as npt

from lightmeter import secret
from lightmeter.errors import HistoryError, ServerError
from lightmeter.units import without_password


MOST_POINTS = 11_000
"""Of one series in one answer; Prometheus refuses more (measured 2026-11 with 2.42)."""
WAIT_SECONDS = 60.0
_TOO_MUCH = re.compile(
    r"exceeded maximum resolution|too many (points|samples|datapoints)|exceeds the limit|maximum number of samples",
    re.IGNORECASE,
)
"""What Prometheus, VictoriaMetrics, Thanos and Mimir say of a question whose answer is too long."""
Floats = npt.NDArray[np.float64]


@dataclass
class Series:
    """One series: its labels, and its values at Unix times, both of shape (n,)."""

    labels: dict[str, str]
    times: Floats = field(default_factory=lambda: np.empty(0))
    values: Floats = field(default_factory=lambda: np.empty(0))

    def points(self) -> Iterator[tuple[float, float]]:
        """Yield each time with its value."""
        return zip(self.times.tolist(), self.values.tolist(), strict=True)


@dataclass(frozen=True)
class Grid:
    """The times of a range query: ``first``, ``first + step``, ... up to ``last``, Unix seconds."""

    first: float
    last: float
    step: float

    def parts(self) -> Iterator[Grid]:
        """Cut it into ranges that one answer may hold."""
        points = round((self.last - self.first) / self.step) + 1
        for begin in range(0, points, MOST_POINTS):
            end = min(begin + MOST_POINTS, points) - 1
            yield Grid(self.first + begin * self.step, self.first + end * self.step, self.step)

    def halves(self) -> tuple[Grid, Grid]:
        """Cut a range of two times or more in two."""
        points = round((self.last - self.first) / self.step) + 1
        middle = self.first + (points // 2) * self.step
        return Grid(self.first, middle - self.step, self.step), Grid(middle, self.last, self.step)


def _is_too_much(answer: httpx.Response) -> bool:
    """Tell whether a server would answer, but not so much at once: each product has limits of its own."""
    return answer.is_client_error and bool(_TOO_MUCH.search(answer.text[:2000]))


class Api:
    """Asks range queries; ``warnings`` collects what the server says of incomplete answers."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """Prepare.

        Raises:
            HistoryError: the URL is none.
        """
        self.name = without_password(url)
        self.warnings: list[str] = []
        headers = secret.bearer(token or "")
        if not url.startswith(("http://", "https://")):
            raise HistoryError(f"URL {self.name!r} is no address; write it like http://localhost:9090")  # fmt: skip
        try:
            self._client = httpx.Client(base_url=url, timeout=WAIT_SECONDS, headers=headers)
        except (httpx.InvalidURL, ValueError) as error:
            raise HistoryError(f"URL {self.name!r} is no address ({error})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def range(self, expr: str, grid: Grid, done: Callable[[], None]) -> list[Series]:
        """Evaluate an expression at each time of the grid; ``done`` is called after each answer.

        Raises:
            ServerError: it cannot be reached, refuses, or is no such API.
        """
        found: dict[frozenset[tuple[str, str]], Series] = {}
        for part in grid.parts():
            for result in self._ask(expr, part):
                labels = {str(name): str(value) for name, value in result["metric"].items()}
                series = found.setdefault(frozenset(labels.items()), Series(labels))
                points = np.array(result["values"], dtype=np.float64)
                series.times = np.concatenate([series.times, points[:, 0]])
                series.values = np.concatenate([series.values, points[:, 1]])
            done()
        return list(found.values())

    def _ask(self, expr: str, part: Grid) -> list[dict[str, Any]]:
        given: dict[str, str | float] = {
            "query": expr,
            "start": part.first,
            "end": part.last,
            "step": part.step,
        }
        try:
            answer = self._client.get("api/v1/query_range", params=given)
        except httpx.TimeoutException as error:
            raise ServerError(f"Prometheus at {self.name} does not answer within {WAIT_SECONDS:.0f} s; ask for less with --since or a larger --step") from error  # fmt: skip
        except httpx.HTTPError as error:
            raise ServerError(f"Prometheus at {self.name} cannot be reached: {error}") from error
        if part.last > part.first and _is_too_much(answer):
            return [result for half in part.halves() for result in self._ask(expr, half)]
        return self.result(answer)

    def result(self, answer: httpx.Response) -> list[dict[str, Any]]:
        """Take the series from an answer.

        Raises:
            ServerError: it has none.
        """
        code = answer.status_code
        if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise ServerError(f"Prometheus at {self.name} wants to know who asks (status {code}); give --bearer-token-file")  # fmt: skip
        if answer.is_redirect:
            raise ServerError(f"Prometheus at {self.name} has moved to {without_password(answer.headers.get('location', '?'))[:200]}; give that address")  # fmt: skip
        try:
            body = answer.json()
            if body["status"] != "success":
                raise ServerError(f"Prometheus at {self.name} refuses the query: {' '.join(str(body.get('error')).split())[:300]}")  # fmt: skip
            self.warnings += [text for text in body.get("warnings") or [] if text not in self.warnings]  # fmt: skip
            result: list[dict[str, Any]] = body["data"]["result"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ServerError(f"{self.name} is no Prometheus API: status {code} to /api/v1/query_range; is the path right?") from error  # fmt: skip
        return result
