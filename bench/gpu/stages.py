"""Stage times by events in the device's queue, beside a run without any and a synchronised one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.gpu.place import Line, Place, missed
from inference.engine import Job, Result
from inference.stopwatch import Stopwatch
from lightmeter.catalog import Clock, Stage


MOST_APART, MOST_COST = 0.02, 0.005
_TELLING = 0.05
"""Stages below this share of the whole are too short to compare."""
STAGES = (Stage.TEXT_ENCODE, Stage.DENOISE, Stage.VAE_DECODE, Stage.TRANSFER)


class Blind:
    """An event that is none."""

    def record(self) -> None:
        """Do nothing."""

    def synchronize(self) -> None:
        """Do nothing."""

    def elapsed_time(self, _later: Blind) -> float:
        """Say nothing."""
        return 0.0


class Waited:
    """A moment of the host's clock, once the device has done everything: as profilers take it."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self._wait = wait
        self._at = 0.0

    def record(self) -> None:
        """Wait, and note the time."""
        self._wait()
        self._at = time.perf_counter()

    def synchronize(self) -> None:
        """Nothing is left to wait for."""

    def elapsed_time(self, later: Waited) -> float:
        """Milliseconds from this moment to a later one."""
        return (later._at - self._at) * 1000


@dataclass(frozen=True)
class Batch:
    """What to time: pictures, forwards of each (0: a whole picture's), and how often."""

    images: int
    rounds: int = 1
    forwards: int = 0
    compare: bool = True


def stages_512(place: Place) -> Iterator[Line]:
    """Time batches of 512x512."""
    yield from _stages(place, 512, (Batch(1, 9), Batch(2, 5), Batch(4, 2), Batch(8, 2)))


def stages_1024(place: Place) -> Iterator[Line]:
    """Time batches of 1024x1024."""
    yield from _stages(
        place,
        1024,
        (Batch(1, 5), Batch(2, compare=False), Batch(4, compare=False), Batch(8, compare=False)),
    )


def stages_2048(place: Place) -> Iterator[Line]:
    """Time batches of 2048x2048; the larger ones with one forward, which is enough for a rate."""
    yield from _stages(
        place, 2048, (Batch(1), *(Batch(n, forwards=1, compare=False) for n in (2, 4, 8)))
    )


def _stages(place: Place, nominal: int, batches: Sequence[Batch]) -> Iterator[Line]:
    place.need_memory(2)
    side = place.side(nominal)
    for batch in batches if place.cuda else batches[:2]:
        job = place.job(side, batch.images, batch.forwards)
        if batch.compare:
            place.make(place.job(side, batch.images, 1))  # the first of a shape pays for others
        runs = _interleaved(place, job, batch)
        yield _line(job, runs)
        if place.cuda and batch.compare:
            yield from _judge(job, runs)


@dataclass
class Runs:
    """The rounds with one watch: seconds by the host's clock, and results."""

    walls: list[float] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    @property
    def wall(self) -> float:
        """Median seconds of a call."""
        return statistics.median(self.walls)

    def stage(self, stage: Stage) -> float:
        """Median seconds of a stage."""
        return statistics.median(result.stages[stage] for result in self.results)


def _interleaved(place: Place, job: Job, batch: Batch) -> dict[str, Runs]:
    """Make the batch with each watch in turn."""
    engine, events = place.engine, place.engine.watch
    watches = {"events": events}
    if batch.compare:
        watches["blind"] = Stopwatch(Clock.HOST, Blind)
        watches["waited"] = Stopwatch(Clock.HOST, lambda: Waited(place.synchronize))
    runs = {name: Runs() for name in watches}
    try:
        for _ in range(place.rounds(batch.rounds)):
            for name, engine.watch in watches.items():
                place.synchronize()
                began = time.perf_counter()
                runs[name].results.append(place.make(job))
                runs[name].walls.append(time.perf_counter() - began)
    finally:
        engine.watch = events
    return runs


def _line(job: Job, runs: dict[str, Runs]) -> Line:
    ours = runs["events"]
    line: Line = {
        "side": job.width,
        "batch": job.images,
        "forwards": job.steps,
        "seconds": ours.wall,
        "pictures/s": job.images / ours.wall,
        **{f"{stage.value}, s": ours.stage(stage) for stage in STAGES},
    }
    if "waited" in runs:
        line |= {
            "events cost, %": 100 * (ours.wall / runs["blind"].wall - 1),
            "synchronising costs, %": 100 * (runs["waited"].wall / runs["blind"].wall - 1),
            "apart from synchronised, %": 100 * _apart(ours, runs["waited"]),
        }
    return line


def _apart(ours: Runs, waited: Runs) -> float:
    """Tell how far the stages that matter are from the synchronised ones, at most."""
    whole = sum(waited.stage(stage) for stage in STAGES)
    telling = [stage for stage in STAGES if waited.stage(stage) > _TELLING * whole]
    return max(abs(ours.stage(stage) / waited.stage(stage) - 1) for stage in telling)


def _judge(job: Job, runs: dict[str, Runs]) -> Iterator[Line]:
    where = f"{job.images} of {job.width}x{job.width}"
    apart = _apart(runs["events"], runs["waited"])
    cost = runs["events"].wall / runs["blind"].wall - 1
    if apart > MOST_APART:
        yield missed(f"{where}: a stage is {apart:.1%} from synchronised profiling, {MOST_APART:.0%} is allowed")  # fmt: skip
    if cost > MOST_COST:
        yield missed(f"{where}: timing costs {cost:.2%}, {MOST_COST:.1%} is allowed")
