"""The scaler is asked for a replica while somebody waits and none is ready: once for all who wait."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from inference.aside import keep_up
from inference.gateway.hop import Died, Line, Sending, Unreachable, json_object
from inference.gateway.upstreams import Address
from lightmeter.catalog import WakeResult


_log = logging.getLogger(__name__)
ROUTE = b"/v1/wake"
PATIENCE_SECONDS = 75.0
"""For one answer: a target that is a program may run for a minute."""
AGAIN_SECONDS = 5.0
"""Between two questions, as long as nobody is ready: the scaler may have been restarted."""
UNKNOWN_SECONDS = 10.0
"""Where nobody says how long a start takes, clients are told to come back after so long."""
SHORT_SECONDS, LONG_SECONDS = 120.0, 900.0
"""Windows of the two rates, as the scaler's questions to Prometheus have them."""
_STEP_SECONDS = 5.0
OK = 200


class Arrivals:
    """How many came lately. Times are seconds of one clock, passed in."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()

    def add(self, now: float) -> None:
        """Count one."""
        step = now // _STEP_SECONDS * _STEP_SECONDS
        if self._counts and self._counts[-1][0] == step:
            step, count = self._counts.pop()
            self._counts.append((step, count + 1))
        else:
            self._counts.append((step, 1))
        while self._counts[0][0] < now - LONG_SECONDS:
            self._counts.popleft()

    def rate(self, window: float, now: float) -> float:
        """Tell how many came a second in a window."""
        return sum(count for at, count in self._counts if at >= now - window) / window


class Waker:
    """Asks the scalers, one after the other until one answers.

    ``demand`` gives what the scaler is told, ``wanted`` whether somebody waits and nobody is ready.
    """

    def __init__(
        self,
        scalers: tuple[Address, ...],
        token: str,
        *,
        demand: Callable[[], dict[str, float]],
        wanted: Callable[[], bool],
        trust: ssl.SSLContext,
    ) -> None:
        self._lines = [(address, Line(address, trust)) for address in scalers]
        self._headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        self._demand, self._wanted = demand, wanted
        self._task: asyncio.Task[None] | None = None
        self._ready_at: float | None = None
        self._said = ""
        self.asked: Callable[[WakeResult], None] = lambda _: None
        """Told of each question."""

    @property
    def configured(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self._lines)

    def nudge(self) -> None:
        """Begin to ask, unless that is going on already: however many come, one asks for all."""
        if self._lines and (self._task is None or self._task.done()):
            self._task = keep_up("waking", self._run)

    def remaining(self) -> float:
        """Tell the seconds until a replica is expected, at least 1."""
        if self._ready_at is None:
            return UNKNOWN_SECONDS
        return max(1.0, self._ready_at - time.monotonic())

    def over(self) -> None:
        """Hear that a replica is ready: what was said of the last start is over."""
        self._ready_at = None

    @property
    def why(self) -> str:
        """Say in words what keeps a replica from coming; empty where one comes."""
        return self._said

    async def _run(self) -> None:
        while self._wanted():
            result, said = await self._ask()
            self.asked(result)
            if said and said != self._said:
                _log.warning("nobody is woken: %s", said)
            self._said = said
            await asyncio.sleep(AGAIN_SECONDS)

    async def _ask(self) -> tuple[WakeResult, str]:
        """Ask the scalers in turn; return what came of it, and what is in the way."""
        said = ""
        for address, line in self._lines:
            body = json.dumps(self._demand()).encode()
            headers = [
                (b"host", str(address).partition("//")[2].encode()),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                *self._headers,
            ]
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    async with line.ask(Sending("POST", ROUTE, headers, body)) as reply:
                        status, answer = reply.status, json_object(await reply.read())
            except (Unreachable, Died, TimeoutError) as error:
                said = f"scaler {address} does not answer: {str(error) or 'too slow'}"
                continue
            if status == OK:
                return self._understood(answer, address)
            said = f"scaler {address} answered {status}: {str(answer.get('error', ''))[:200]}"
        return WakeResult.FAILED, said

    def _understood(self, answer: dict[str, Any], address: Address) -> tuple[WakeResult, str]:
        left = answer.get("remaining_seconds")
        if isinstance(left, int | float) and math.isfinite(left):
            self._ready_at = time.monotonic() + max(0.0, left)
        decision = answer.get("decision")
        made: dict[str, Any] = decision if isinstance(decision, dict) else {}
        result = str(made.get("result", ""))
        if not made.get("to") or (made.get("action") == "up" and (made.get("mode") != "act" or result.startswith("failed"))):  # fmt: skip
            self._ready_at = None
            return WakeResult.REFUSED, f"scaler {address}: {result or 'nothing done'} ({str(made.get('reason', ''))[:200]})"  # fmt: skip
        return (WakeResult.STARTED if made.get("action") == "up" else WakeResult.STANDING), ""

    async def close(self) -> None:
        """Stop asking."""
        if self._task:
            self._task.cancel()
        for _, line in self._lines:
            await line.close()
