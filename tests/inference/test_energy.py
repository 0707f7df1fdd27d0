"""Energy: what an exporter's counter says of the time that a request took, and when it says nothing."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from threading import Thread
from wsgiref.simple_server import WSGIServer

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from inference import energy
from inference.energy import Course, EnergyMeter, follow, readings
from inference.engine import warmup_job
from inference.instruments import Instruments
from inference.limits import Limits
from inference.making import Place, Shared, make
from inference.process import WorkerProcess
from inference.tickets import Answer, Batch, Ticket
from inference.waiting import WaitingRoom
from lightmeter import catalog
from lightmeter.catalog import Priority, StopReason
from lightmeter.history import History
from lightmeter.settings import Serve
from support.exporter import Exporter as Running
from support.server import Server, eventually


GPU, OTHER = "GPU-5fd4f087", "GPU-d99a0ad5"


def course(*points: tuple[float, float]) -> Course:
    """Read a counter at the given moments."""
    made = Course()
    for at, joules in points:
        made.add(at, joules)
    return made


def steady(watts: float, seconds: int, *, renewed: int = 1) -> Course:
    """Read, once a second, a counter that its exporter renews every few seconds."""
    return course(*((at, watts * (at // renewed) * renewed) for at in range(seconds)))


def test_interpolated() -> None:
    """Between two changes the power is taken to be even."""
    known = course((0, 0), (1, 100), (2, 400), (3, 500))

    assert 300 == known.between(1, 2)
    assert 150 == known.between(1.25, 1.75)
    assert 350 == known.between(1.0, 2.5)


def test_newest() -> None:
    """What no reading covers yet goes on at the last known power."""
    known = course((0, 0), (1, 100), (2, 400))

    assert 450 == known.between(1.5, 3.0)


def test_unknown_before() -> None:
    """A request that began before the first readings has no known energy."""
    known = course((10, 0), (11, 100), (12, 200))

    assert known.between(9, 12) is None
    assert known.between(10.5, 12) is None
    assert 100 == known.between(11, 12)


@pytest.mark.parametrize("points", [(), ((0.0, 5.0),), ((0.0, 5.0), (1.0, 6.0))])
def test_too_few(points: tuple[tuple[float, float], ...]) -> None:
    """Until a power is known, nothing is guessed."""
    assert course(*points).between(1, 1.5) is None


def test_seldom_renewed() -> None:
    """A counter that is renewed every 30 s is as good as its half minutes; its jumps are no power."""
    known = steady(300, 200, renewed=30)

    assert 300 * 2.0 == known.between(100, 102)
    assert 300 * 2.0 == known.between(148.5, 150.5)
    assert 300 * 2.0 == known.between(196, 198)
    assert known.between(196, 245) is None


def test_stale() -> None:
    """Some seconds after the last news the energy is unknown rather than guessed."""
    known = steady(100, 20)

    assert 400 == known.between(19, 23)
    assert known.between(19, 25) is None


def test_outage() -> None:
    """After an outage the time before and across it is known again, and right on average."""
    known = steady(100, 20)
    for at in range(60, 70):
        known.add(at, 100.0 * 20 + 400.0 * (at - 20))

    across = known.between(19, 61)
    assert across == pytest.approx(100 + 400 * 41, rel=0.05)
    assert 400 * 2 == known.between(64, 66)


def test_outage_of_seldom_renewed() -> None:
    """A value found after an outage is not dated by the moment of finding it."""
    known = steady(300, 121, renewed=30)
    for at in range(149, 200):
        known.add(at, 300.0 * (at // 30) * 30)

    assert 300 * 5 == known.between(170, 175)
    assert 300 * 50 == known.between(120, 170)


def test_reset() -> None:
    """A counter that begins anew never gives a negative or a huge energy."""
    known = course((0, 1e6), (1, 1e6 + 100), (2, 1e6 + 200), (3, 50), (4, 150), (5, 250))

    assert known.between(1, 5) is None
    assert known.between(3, 5) is None
    assert 100 == known.between(4, 5)


def test_forgets() -> None:
    """What is older than an hour is given up, so that memory does not grow."""
    known = steady(100, 5000)

    assert known.between(10, 20) is None
    assert 1000 == known.between(4900, 4910)
    assert len(known._moments) <= energy.KEEP_SECONDS + 1


@given(st.lists(st.floats(0, 1000), min_size=3, max_size=40), st.randoms(use_true_random=False))
def test_adds_up(powers: list[float], chance: random.Random) -> None:
    """Whatever the power does, the parts of a time have the energy of the whole, and none is negative."""
    known = course(*enumerate(itertools.accumulate(powers, initial=0.0)))
    moments = known._moments
    if len(moments) < 2:
        return
    cuts = sorted([moments[0], *(chance.uniform(moments[0], moments[-1]) for _ in range(5))])
    parts = [known.between(low, high) for low, high in itertools.pairwise(cuts)]

    assert all(part is not None and part >= -1e-6 for part in parts)
    whole = known.between(cuts[0], cuts[-1])
    assert whole == pytest.approx(sum(part or 0 for part in parts), abs=1e-6)


def test_by_gpu() -> None:
    """Each GPU has its own counter; of another one nothing is known."""
    meter = EnergyMeter()
    for at in range(4):
        meter.add(at, {GPU: at * 100.0, OTHER: at * 300.0})

    assert (100, 300) == (meter.between(GPU, 1, 2), meter.between(OTHER, 1, 2))
    assert meter.between("GPU-none", 1, 2) is None
    assert meter.between(None, 1, 2) is None


def test_dcgm() -> None:
    """dcgm-exporter's counter is in millijoules, and its other lines are passed over."""
    text = (
        f"# TYPE {catalog.DCGM_ENERGY} counter\n"
        f'{catalog.DCGM_ENERGY}{{gpu="0",UUID="{GPU}",modelName="NVIDIA H200",Hostname="a\\"b"}} 12345678\n'
        f'{catalog.DCGM_ENERGY}{{gpu="1",UUID="{OTHER}"}} NaN\n'
        f'{catalog.DCGM_ENERGY}{{gpu="2"}} 7\n'
        "this line is no exposition\n"
    )

    assert {GPU: 12345.678} == readings(text)


def test_both() -> None:
    """Where an exporter has both counters ours counts, always."""
    ours = f'{catalog.GPU_ENERGY.name}{{gpu="0",UUID="{GPU}"}} 3.5\n'
    dcgm = f'{catalog.DCGM_ENERGY}{{gpu="0",UUID="{GPU}"}} 9\n'

    assert {GPU: 3.5} == readings(ours + dcgm) == readings(dcgm + ours)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def drawn() -> tuple[EnergyMeter, Clock]:
    """Give a meter that has seen a GPU draw 100 W for 10 s."""
    clock = Clock()
    meter = EnergyMeter(clock)
    for clock.now in range(11):
        meter.add(clock.now, {GPU: 100.0 * clock.now})
    return meter, clock


def test_drawing() -> None:
    """A batch has the energy that its GPU drew while it was made."""
    meter, clock = drawn()
    clock.now = 4
    with meter.drawing(GPU) as draw:
        clock.now = 6.5

    assert 250 == draw.joules
    with meter.drawing(OTHER) as unknown:
        pass
    assert unknown.joules is None


def test_shared() -> None:
    """Where two workers share a GPU, nobody can tell whose energy it was; alone again, one can."""
    meter, clock = drawn()
    clock.now = 4
    with meter.drawing(GPU) as first, meter.drawing(OTHER):
        with meter.drawing(GPU) as second:
            clock.now = 5
        clock.now = 6
    with meter.drawing(GPU) as third:
        clock.now = 7

    assert (None, None, 100) == (first.joules, second.joules, third.joules)


class Exporter:
    """A real endpoint with our counter, which can go away and come back."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        metric = catalog.GPU_ENERGY
        self.counter = Counter(metric.name, metric.help, metric.labels, registry=self.registry)
        Gauge("other", "Another reading.", registry=self.registry).set(1)
        self.port = 0
        self._running: tuple[WSGIServer, Thread] | None = None
        self.up()

    @property
    def url(self) -> str:
        """Where it is read."""
        return f"http://127.0.0.1:{self.port}/metrics"

    def up(self) -> None:
        """Listen, on the same port as before."""
        self._running = start_http_server(self.port, "127.0.0.1", self.registry)
        self.port = self._running[0].server_port

    def down(self) -> None:
        """Refuse connections."""
        if self._running:
            server, thread = self._running
            server.shutdown()
            server.server_close()
            thread.join()
            self._running = None


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    made = Exporter()
    yield made
    made.down()


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll often."""
    monkeypatch.setattr(energy, "POLL_SECONDS", 0.01)


async def until(condition: Callable[[], object]) -> None:
    """Let the follower work until something is so."""
    while not condition():  # noqa: ASYNC110  (what it waits for has no event)
        await asyncio.sleep(0.01)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged about energy."""
    return [record.message for record in caplog.records if record.name == energy.__name__]


@contextlib.asynccontextmanager
async def following(url: str) -> AsyncIterator[EnergyMeter]:
    """Follow an exporter in the background."""
    meter = EnergyMeter()
    task = asyncio.create_task(follow(url, meter))
    yield meter
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_polled(exporter: Exporter) -> None:
    """A real exporter's counter gives the energy of a time by GPU."""
    clock = Clock()

    async def story() -> EnergyMeter:
        meter = EnergyMeter(clock)
        async with httpx.AsyncClient(trust_env=False) as client:
            for second in range(4):
                exporter.counter.labels("0", GPU).inc(250)
                clock.now = second
                assert "" == await energy._poll(client, exporter.url, meter)
        return meter

    meter = asyncio.run(story())
    assert 500 == meter.between(GPU, 1, 3)
    assert 125 == meter.between(GPU, 2.5, 3)


def test_exporter_away(exporter: Exporter, caplog: pytest.LogCaptureFixture) -> None:
    """An exporter that goes away is missed once, and found again when it is back."""
    caplog.set_level("INFO", "inference.energy")

    async def story() -> None:
        async with following(exporter.url) as meter:
            exporter.down()
            await until(lambda: said(caplog))
            begin = time.monotonic()
            exporter.up()

            def known() -> bool:
                exporter.counter.labels("0", GPU).inc(100)
                now = time.monotonic()
                return meter.between(GPU, max(begin, now - 0.05), now) is not None

            await until(known)

    asyncio.run(story())
    assert ["energy is not known", "energy is known again"] == [
        message.partition(":")[0] for message in said(caplog)
    ]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/metrics", "http://[::bad/metrics"])
def test_no_exporter(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Where there is no exporter the log says so, once, with its address."""

    async def story() -> None:
        async with following(url):
            await until(lambda: said(caplog))
            await asyncio.sleep(0.1)

    asyncio.run(story())
    assert 1 == len(said(caplog))
    assert url in said(caplog)[0]


def test_not_metered(caplog: pytest.LogCaptureFixture) -> None:
    """An exporter without an energy counter is named together with the counters that would do."""
    empty = Exporter()
    empty.down()
    empty.registry = CollectorRegistry()
    empty.up()

    async def story() -> None:
        async with following(empty.url):
            await until(lambda: said(caplog))

    asyncio.run(story())
    empty.down()
    assert catalog.GPU_ENERGY.name in said(caplog)[0]
    assert catalog.DCGM_ENERGY in said(caplog)[0]


def test_shares(tmp_path: Path) -> None:
    """Requests that rode together share their GPU's energy as they share its time, and it is counted."""
    registry = CollectorRegistry()
    few, many = asyncio.run(_ridden(tmp_path, registry))

    assert few.energy_joules
    assert many.energy_joules
    assert many.energy_joules == pytest.approx(3 * few.energy_joules)
    total = few.energy_joules + many.energy_joules
    assert 100 * few.header["gpu_seconds"] <= total
    assert total == registry.get_sample_value(
        catalog.ENERGY.name, {"service": "shop", "model": "still"}
    )


async def _ridden(data: Path, registry: CollectorRegistry) -> list[Answer]:
    """Have a real worker make a batch of two requests on a GPU that draws 100 W."""
    settings = Serve.model_validate({"model": "still", "data": data})
    limits = Limits.of(settings)
    instruments = Instruments(registry, "shop", "still")
    shared = Shared(settings, WaitingRoom(limits, 0.1), limits, instruments)
    process = await WorkerProcess.start(settings, 0)
    facts, _ = await process.receive()
    now = time.monotonic()
    for second in range(4):
        shared.energy.add(now - 3 + second, {GPU: 100.0 * second})
    tickets = [
        Ticket(
            dataclasses.replace(warmup_job(64, 4), images=images),
            Priority.INTERACTIVE,
            now,
            asyncio.get_running_loop().create_future(),
        )
        for images in (1, 3)
    ]
    place = Place(facts | {"gpu_uuid": GPU}, memory=None)
    await make(Batch(tickets, StopReason.FULL), process, shared, place)
    await process.end()
    return [ticket.future.result() for ticket in tickets]


ON_A_GPU = """#!{python}
import dataclasses, sys
from inference import still, worker
load = still.load
still.load = lambda setup: dataclasses.replace(load(setup), gpu_uuid={gpu!r})
sys.argv[1:] = sys.argv[4:]
worker.main()
"""


def test_own_exporter(tmp_path: Path) -> None:
    """Beside our exporter the server tells each answer's energy, counts it, and keeps it in the history."""
    worker = tmp_path / "worker"
    worker.write_text(ON_A_GPU.format(python=sys.executable, gpu="GPU-demo-0"))
    worker.chmod(0o755)
    program = (
        f"import sys; sys.executable = {str(worker)!r}\nfrom lightmeter.cli import main; main()"
    )
    answers = []

    def told() -> bool:
        answers.append(server.post(num_inference_steps=50).json()["usage"])
        return "energy_joules" in answers[-1]

    with (
        Running("--demo", "--gpus", "1") as exporter,
        Server(tmp_path, "--exporter-url", exporter.url, program=("-c", program)) as server,
    ):
        server.ready()
        assert eventually(told)
        counted = server.value(catalog.ENERGY)
        kept = History(server.history).frame(["energy_joules"])["energy_joules"]

    joules, seconds = answers[-1]["energy_joules"], answers[-1]["gpu_seconds"]
    assert joules > 90 * 0.9 * seconds  # what the made-up GPU draws where it idles
    assert joules == counted == pytest.approx(kept.iloc[-1])
    assert kept.iloc[:-1].isna().all()
    assert not any("energy is not known" in line for line in server.log)
