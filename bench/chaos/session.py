"""A run: load, a fault at a time at seeded moments, and everything that is looked at in the end."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import common
from bench.chaos import faults, judge, parts
from bench.chaos.clients import Load
from bench.chaos.faults import Fault
from bench.chaos.judge import Firing, Struck, Trend
from bench.chaos.monitoring import SHORTER, Alerts
from bench.chaos.stack import SERVERS, Stack
from bench.chaos.watch import Watch
from lightmeter import catalog
from lightmeter.history import History
from lightmeter.units import parse_duration


MOST_SECONDS = 180.0
"""How long an alert, its end, or being whole again is waited for: a crowded machine is slow, not broken."""
GRACE_SECONDS = 20.0
"""How long processes of a killed parent may take to notice."""
AFTER_SECONDS = 15.0 + max(parse_duration(short) for short in SHORTER.values())
"""How long after a fault its requests stand in a window of the rules."""
GAPS = 3.0, 8.0
Tell = Callable[[str, float], None]


@dataclass
class Result:
    """What a run comes to."""

    struck: list[Struck]
    broken: list[str]
    trends: list[Trend]
    firings: list[Firing]
    statuses: dict[str, int]
    answered: int
    recorded: int
    seconds: float
    skipped: dict[str, str] = field(default_factory=dict)


class Session:
    """Strikes a stack that has started, under load, until the time is up."""

    def __init__(self, stack: Stack, chosen: Sequence[Fault], seed: int, tell: Tell) -> None:
        self._stack, self._tell = stack, tell
        self._chance = random.Random(seed)  # noqa: S311  (chance, not secrets)
        self.skipped = {one.name: stack.reasons[one.needs] for one in chosen if one.needs in stack.reasons}  # fmt: skip
        self._chosen = [one for one in chosen if one.name not in self.skipped]
        self._load = Load(stack.urls["gateway"], seed)
        self._watch, self._alerts = Watch(stack), Alerts(stack.urls["prometheus"])
        self._struck: list[Struck] = []

    def run(self, seconds: float, rounds: int = 0) -> Result:
        """Do all of it. Each fault has its turn before one comes again; 0 rounds are as many as fit."""
        began = time.monotonic()
        self._watch.start()
        self._alerts.start()
        self._load.start()
        deck: list[Fault] = []
        most = rounds * max(1, len(self._chosen)) or math.inf
        try:
            while time.monotonic() < began + seconds and len(self._struck) < most:
                share = max((time.monotonic() - began) / seconds, len(self._struck) / most)
                self._pause(share)
                if self._chosen:
                    deck = deck or self._chance.sample(self._chosen, len(self._chosen))
                    self._struck.append(self._strike(deck.pop()))
        finally:
            self._load.stop()
        return self._end(began)

    def _pause(self, share: float) -> None:
        last = self._struck[-1] if self._struck else None
        told = f"{last.fault}: {'; '.join(last.broken) or 'whole again'}" if last else "load"
        self._tell(told, min(1.0, share))
        time.sleep(self._chance.uniform(*GAPS))

    def _strike(self, fault: Fault) -> Struck:
        began = time.monotonic()
        target, undo = fault.strike(self._stack, self._chance)
        one = Struck(fault.name, target, began, kills=fault.kills)
        try:
            if not fault.must:
                time.sleep(fault.hold)
            elif not parts.until(lambda: self._alerts.firing(fault.must, began), MOST_SECONDS):
                one.broken.append(f"{fault.must} did not fire within {MOST_SECONDS:.0f} s")
        finally:
            one.healed = time.monotonic()
            undo()
        self._whole_again(one)
        if fault.must:
            self._resolved(one, fault.must)
        one.over = time.monotonic()
        one.served = self._load.served_after(one.began)
        left = parts.orphans(self._stack.run)
        if left and not parts.until(lambda: not parts.orphans(self._stack.run), GRACE_SECONDS):
            one.broken.append(f"processes without their parent: {left}")
        return one

    def _whole_again(self, one: Struck) -> None:
        for part in self._stack.parts.values():
            part.start()  # as systemd would, where a fault of one ended another
        if parts.until(lambda: faults.whole(self._stack), MOST_SECONDS):
            one.healthy = time.monotonic()
        else:
            one.broken.append(f"not whole again after {MOST_SECONDS:.0f} s")
        if not parts.until(lambda: self._load.served_after(one.healed), MOST_SECONDS):
            one.broken.append(f"nobody got a picture for {MOST_SECONDS:.0f} s")

    def _resolved(self, one: Struck, name: str) -> None:
        if not parts.until(lambda: not self._alerts.any(name), MOST_SECONDS):
            one.broken.append(f"{name} still fires after {MOST_SECONDS:.0f} s")
        if "alertmanager" not in self._stack.parts:
            return
        for status in ("firing", "resolved"):
            if not parts.until(lambda: name in self._stack.taker.names("/pages", status), MOST_SECONDS):  # noqa: B023  (asked at once)  # fmt: skip
                one.broken.append(f"nobody was told that {name} is {status}")

    def _end(self, began: float) -> Result:
        quiet = parts.until(lambda: not self._alerts.history or all(one.until for one in self._alerts.history), MOST_SECONDS)  # fmt: skip
        still = [one for one in self._alerts.history if one.until is None]
        flights = {name: self._stack.value(name, catalog.IN_FLIGHT) for name in ("gateway", *SERVERS)}  # fmt: skip
        self._watch.close()
        self._alerts.close()
        self._stack.stop()
        trends, rows = self._watch.trends, self._rows()
        allowed = {one.name: {one.must, *one.may} for one in self._chosen}
        broken = [
            *(f"{one.fault} ({one.target}): {text}" for one in self._struck for text in one.broken),
            *judge.lost(self._load.ids, rows),
            *judge.odd(self._load.answers, self._struck, GRACE_SECONDS),
            *judge.uncalled(self._alerts.history, allowed, self._struck, AFTER_SECONDS),
            *([] if quiet else [f"{one.name} of {one.who} fires to the end" for one in still]),
            *(one.broken for one in trends if one.broken),
            *(f"{name} says {value} in flight with nobody there" for name, value in flights.items() if value != 0),
            *self._left(),
        ]  # fmt: skip
        return Result(
            self._struck, broken, trends, self._alerts.history, dict(sorted(self._load.statuses.items())),
            len(self._load.ids), len(rows), time.monotonic() - began, self.skipped,
        )  # fmt: skip

    def _rows(self) -> list[tuple[str, str]]:
        found = []
        for name in SERVERS:
            frame = History(self._stack.folder / name / "history").frame(["request_id", "outcome"])
            found += list(zip(frame["request_id"], frame["outcome"], strict=True))
        return found

    def _left(self) -> list[str]:
        """Say which program did not end well, what is left of it, and whether decisions come out again."""
        exits = [f"{part.name} ended with {part.exits[-1]}" for part in self._stack.parts.values() if part.exits and part.exits[-1] != 0]  # fmt: skip
        parts.until(lambda: not parts.marked(self._stack.run), GRACE_SECONDS)
        alive = [f"process {one.pid} is left" for one in parts.marked(self._stack.run)]
        return exits + alive + self._replayed()

    def _replayed(self) -> list[str]:
        from support.cli import lightmeter

        folder = self._stack.folder / "control" / "scale"
        ran = lightmeter("replay", folder, cwd=self._stack.folder, PYTHONPATH=str(common.ROOT))
        return [] if ran.code == 0 else [f"replay of the decisions ended with {ran.code}: {(ran.err or ran.out)[-300:]}"]  # fmt: skip


def document(result: Result, about: dict[str, Any]) -> dict[str, Any]:
    """Make the result a document for ``--json``."""
    return {
        **about,
        "seconds": round(result.seconds, 1),
        "answered": result.answered,
        "recorded": result.recorded,
        "faults": judge.table(result.struck),
        "skipped": result.skipped,
        "requests": result.statuses,
        "memory": [vars(one) for one in result.trends],
        "alerts": [vars(one) for one in result.firings],
        "struck": [vars(one) for one in result.struck],
        "broken": result.broken,
    }
