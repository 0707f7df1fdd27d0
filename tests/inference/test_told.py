"""What a scrape and the usage history tell of pictures, held against what the answers say."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.still import BASE_BYTES, BYTES_PER_PIXEL
from lightmeter import catalog
from lightmeter.catalog import Clock, Priority, Stage
from lightmeter.history import History
from support.server import Server, asking, fetch


def test_steps(tmp_path: Path) -> None:
    """Each denoise step enters the histogram by itself, and together they are the denoising."""
    with Server(tmp_path) as server:
        timings = server.ready().post(num_inference_steps=5).json()["timings"]
        server.post(num_inference_steps=3)
        steps = server.value(catalog.DENOISE_STEP_DURATION, "_count", clock=Clock.HOST)
        seconds = server.value(catalog.DENOISE_STEP_DURATION, "_sum")
        denoise = server.value(catalog.STAGE_DURATION, "_sum", stage=Stage.DENOISE)

    assert 8 == steps
    assert seconds == pytest.approx(denoise)
    assert timings[Stage.DENOISE] < seconds


def test_stages(tmp_path: Path) -> None:
    """Each stage has a histogram, whose sum is what the answers told of it."""
    with Server(tmp_path) as server:
        server.ready()
        timings = [server.post(n=n).json()["timings"] for n in (1, 2, 3)]
        summed = {s: server.value(catalog.STAGE_DURATION, "_sum", stage=s) for s in timings[0]}

    assert {Stage.QUEUE, Stage.DENOISE, Stage.TRANSFER, Stage.ENCODE, Stage.GUARD} < set(summed)
    for stage in set(summed) - {"total"}:
        assert summed[stage] == pytest.approx(sum(t[stage] for t in timings), abs=0.01), stage


def test_slowdown(tmp_path: Path) -> None:
    """A request that nothing holds up takes about what its shape takes; one that queues, far longer."""

    def told(suffix: str) -> float:
        return server.value(catalog.SLOWDOWN, suffix, priority=Priority.INTERACTIVE)

    with Server(tmp_path, "--max-steps", "201") as server:
        shown = fetch(server.metrics_url).text
        server.ready().post(num_inference_steps=200)
        first = told("_count")
        server.post(num_inference_steps=200)
        unhindered, count = told("_sum"), told("_count")
        with asking(server, {"num_inference_steps": 201}, {"num_inference_steps": 200}):
            pass
        queued = told("_sum") - unhindered

    assert f'{catalog.SLOWDOWN.name}_count{{model="still",priority="batch"' in shown
    assert (0, 1) == (first, count)  # nothing to hold the very first one against
    assert 0.5 < unhindered < 1.5 < queued


def test_memory(tmp_path: Path) -> None:
    """The most that a batch held of the device is in its row, and the latest in the gauge."""
    with Server(tmp_path) as server:
        server.ready().post(size="128x64", n=2)
        server.post(size="64x64")
        told = server.value(catalog.TORCH_MEMORY_PEAK)
        rows = History(server.history).frame(["peak_vram_bytes"])

    peaks = [BASE_BYTES + pixels * BYTES_PER_PIXEL for pixels in (2 * 128 * 64, 64 * 64)]
    assert peaks == rows["peak_vram_bytes"].tolist()
    assert peaks[-1] == told
