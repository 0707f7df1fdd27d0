"""What a scrape and the usage history tell of pictures, held against what the answers say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inference.still import BASE_BYTES, BYTES_PER_PIXEL
from lightmeter import catalog
from lightmeter.catalog import Clock, Priority, Stage
from lightmeter.history import History
from support.server import Server, asking, fetch


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data"), "--max-steps", "800") as running:
        yield running.ready()


def test_steps(server: Server) -> None:
    """Each denoise step enters the histogram by itself, and together they are the denoising."""

    def told() -> list[float]:
        return [
            server.value(catalog.DENOISE_STEP_DURATION, "_count", clock=Clock.HOST),
            server.value(catalog.DENOISE_STEP_DURATION, "_sum"),
            server.value(catalog.STAGE_DURATION, "_sum", stage=Stage.DENOISE),
        ]

    before = told()
    timings = server.post(num_inference_steps=5).json()["timings"]
    server.post(num_inference_steps=3)
    steps, seconds, denoise = (now - then for now, then in zip(told(), before, strict=True))

    assert 8 == steps
    assert seconds == pytest.approx(denoise)
    assert timings[Stage.DENOISE] < seconds


def test_stages(server: Server) -> None:
    """Each stage has a histogram, whose sum is what the answers told of it."""

    def told() -> dict[Stage, float]:
        return {s: server.value(catalog.STAGE_DURATION, "_sum", stage=s) for s in Stage}

    before = told()
    timings = [server.post(n=n).json()["timings"] for n in (1, 2, 3)]
    summed = {stage: seconds - before[stage] for stage, seconds in told().items()}

    stages = set(timings[0]) - {"total"}
    assert {Stage.QUEUE, Stage.DENOISE, Stage.TRANSFER, Stage.ENCODE, Stage.GUARD} < stages
    for stage in map(Stage, stages):
        assert summed[stage] == pytest.approx(sum(t[stage] for t in timings), abs=0.01), stage


def test_slowdown(server: Server) -> None:
    """A request that nothing holds up takes about what its shape takes; one that queues, far longer."""

    def told(suffix: str) -> float:
        return server.value(catalog.SLOWDOWN, suffix, priority=Priority.INTERACTIVE)

    shown = fetch(server.metrics_url).text
    before, none = told("_sum"), told("_count")
    one = server.post(num_inference_steps=200).json()
    first = told("_count") - none
    other = server.post(num_inference_steps=200).json()
    unhindered, count = told("_sum") - before, told("_count") - none
    with asking(server, {"num_inference_steps": 800}, {"num_inference_steps": 200}) as answers:
        pass
    queued = told("_sum") - before - unhindered

    assert f'{catalog.SLOWDOWN.name}_count{{model="still",priority="batch"' in shown
    assert (0, 1) == (first, count)  # nothing to hold the very first one against
    took, last = other["timings"]["total"], answers[1].json()["timings"]["total"]
    assert took / one["timings"]["total"] <= unhindered <= 1.5 * took / one["usage"]["gpu_seconds"]
    assert last / max(one["timings"]["total"], took) <= queued
    assert 1.5 * unhindered < queued


def test_memory(server: Server) -> None:
    """The most that a batch held of the device is in its row, and the latest in the gauge."""
    server.post(size="128x64", n=2)
    server.post(size="64x64")
    told = server.value(catalog.TORCH_MEMORY_PEAK)
    rows = History(server.history).frame(["peak_vram_bytes"]).tail(2)

    peaks = [BASE_BYTES + pixels * BYTES_PER_PIXEL for pixels in (2 * 128 * 64, 64 * 64)]
    assert peaks == rows["peak_vram_bytes"].tolist()
    assert peaks[-1] == told
