"""Scorers: in a process of their own, on a share of the pictures, never in the way."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer

from inference import scoring, wire
from inference.clip import ClipScorer
from inference.sampled import Sampled, ScorerProcess
from lightmeter.errors import ModelError, WorkerError
from support.cli import clean_environment
from support.clips import save_clip, small_config
from support.photos import blurred, photograph


SHARPNESS = Path(scoring.SHARPNESS)
SIDE = small_config().vision_config.image_size


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP model with small random weights, as save_pretrained leaves it."""
    path = tmp_path_factory.mktemp("clip")
    save_clip(path, small_config())
    return path


@pytest.fixture(scope="module")
def clip(folder: Path) -> ClipScorer:
    return ClipScorer(folder)


def picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return photograph("coffee.png", 96)


def by_hand(folder: Path, prompt: str) -> float:
    """Work out the cosine with the model's two towers and a preprocessing of our own."""
    model = CLIPModel.from_pretrained(folder).eval()
    tokens = CLIPTokenizer.from_pretrained(folder)(prompt, return_tensors="pt")
    shrunk = Image.fromarray(picture()).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    mean, spread = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    scaled = (np.asarray(shrunk) / 255 - mean) / spread
    pixels = torch.tensor(scaled, dtype=torch.float32).permute(2, 0, 1)[None]
    with torch.no_grad():
        found = model(**tokens, pixel_values=pixels)
    image, text = found.image_embeds[0], found.text_embeds[0]
    return float(image @ text / image.norm() / text.norm())


@pytest.mark.parametrize("prompt", ["a cup", "cafe", "red fox", "x", "a", ""])
def test_clip(folder: Path, clip: ClipScorer, prompt: str) -> None:
    """The score is 2.5 times the cosine of the two embeddings, 0 where that is negative."""
    expected = min(1.0, 2.5 * max(0.0, by_hand(folder, prompt)))

    assert pytest.approx(expected, abs=1e-4) == clip.score(picture(), prompt)


def test_clip_sees(clip: ClipScorer) -> None:
    """The same question has the same answer; prompts and pictures matter."""
    prompts = ["a cup", "red fox", "雨夜里的面馆", "x"]
    found = [clip.score(picture(), prompt) for prompt in prompts]

    assert found == [clip.score(picture(), prompt) for prompt in prompts]
    assert all(0 <= score <= 1 for score in found)
    assert 1 < len(set(found))


@pytest.mark.parametrize("prompt", ["word " * 2000, "🦊" * 99])
def test_long_prompt(clip: ClipScorer, prompt: str) -> None:
    """A prompt longer than the model's text length is cut, not refused."""
    assert 0 <= clip.score(picture(), prompt) <= 1


@pytest.mark.parametrize("shape", [(16, 16), (16, 256), (333, 20)])
def test_shapes(clip: ClipScorer, shape: tuple[int, int]) -> None:
    """Small and long pictures can be scored."""
    assert 0 <= clip.score(np.full((*shape, 3), 99, np.uint8), "a cup") <= 1


def test_check(folder: Path) -> None:
    """A CLIP folder and the built-in stand-in are accepted, and named for the metric."""
    for scorer, name in ((folder, "clip"), (SHARPNESS, "sharpness")):
        scoring.check(scorer)
        assert name == scoring.name(scorer)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "config.json does not exist"),
        ({"config.json": "{"}, "config.json is damaged"),
        ({"config.json": "[]"}, "config.json is damaged"),
        ({"config.json": '{"model_type": "bert"}'}, "is no CLIP model but 'bert'"),
        ({"config.json": '{"model_type": "clip"}'}, "has no .safetensors"),
        ({"config.json": '{"model_type": "clip"}', "pytorch_model.bin": "x"}, "no .safetensors"),
    ],
)
def test_refused(tmp_path: Path, files: dict[str, str], said: str) -> None:
    """What is no CLIP folder is refused before anything starts, in one line that says what to do."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    with pytest.raises(ModelError) as refused:
        scoring.check(tmp_path)

    assert said in str(refused.value)
    assert str(tmp_path) in str(refused.value)
    assert "\n" not in str(refused.value)


def run(scorer: Path, *frames: bytes) -> list[dict[str, Any]]:
    """Run the scorer's process as the API would and return the headers of its answers."""
    command = [sys.executable, "-P", "-m", "inference.scoring", str(scorer)]
    ended = subprocess.run(
        command, input=b"".join(frames), capture_output=True, check=True, env=clean_environment(), timeout=120
    )  # fmt: skip

    async def headers() -> list[dict[str, Any]]:
        stream = asyncio.StreamReader()
        stream.feed_data(ended.stdout)
        stream.feed_eof()
        found = []
        while not stream.at_eof():
            found.append((await wire.receive(stream))[0])
        return found

    return asyncio.run(headers())


def frame(shape: tuple[int, ...], payload: bytes, prompt: str = "a cup") -> bytes:
    return wire.pack({"shape": shape, "prompt": prompt}, payload)


def test_process(folder: Path, clip: ClipScorer) -> None:
    """The process answers what the scorer does, survives a bad frame and ends with its stdin."""
    pixels = picture()
    good = frame(pixels.shape, pixels.tobytes(), "red fox")
    ready, first, bad, second = run(folder, good, frame((9, 9, 3), b"short"), good)

    assert {"kind": "ready"} == ready
    assert {"kind": "score", "score": clip.score(pixels, "red fox")} == first == second
    assert "error" == bad["kind"]


def test_nobody_reads() -> None:
    """A scorer whose server is gone ends without a trace."""
    command = [sys.executable, "-P", "-m", "inference.scoring", "sharpness"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(frame((64, 64, 3), bytes(64 * 64 * 3)))
        process.stdin.close()
        assert b"" == process.stderr.read()
    assert 1 == process.returncode


def test_cannot_load(tmp_path: Path) -> None:
    """A folder that does not load is said so, and the process ends."""
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    (tmp_path / "model.safetensors").write_bytes(b"torn")
    [failed] = run(tmp_path)

    assert "failed" == failed["kind"]
    assert str(tmp_path) in failed["error"]


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (what is waited for is in another process)
            await asyncio.sleep(0.02)


def sampled(
    work: Callable[[Sampled, list[float]], Awaitable[None]], *, share: float = 1.0, scorer: Path = SHARPNESS
) -> Sampled:  # fmt: skip
    """Do something with a running sampler; return it, stopped."""

    async def live() -> Sampled:
        scores: list[float] = []
        sampler = Sampled(scorer, share=share, chance=random.Random(1), scored=scores.append)
        sampler.start()
        try:
            await work(sampler, scores)
        finally:
            await sampler.stop()
        return sampler

    return asyncio.run(live())


def child() -> psutil.Process:
    """Find the scorer's process."""
    [found] = [
        process
        for process in psutil.Process().children()
        if "inference.scoring" in process.cmdline()
    ]
    return found


def test_scored() -> None:
    """A picture that is offered comes back as the score of the scorer's own process."""
    sharp, soft = photograph("coffee.png", 256), blurred(photograph("coffee.png", 256), 0.02)

    async def work(sampler: Sampled, scores: list[float]) -> None:
        assert sampler.offer(sharp, "a cup")
        await until(lambda: len(scores) == 1)
        assert sampler.offer(soft, "a cup")
        await until(lambda: len(scores) == 2)
        expected = [scoring.SharpnessScorer().score(each, "") for each in (sharp, soft)]
        assert expected == scores
        assert child().nice() == 10 + os.nice(0)

    assert 0 == sampled(work).dropped


def test_share() -> None:
    """Only the asked share is taken; the rest costs nothing and counts as nothing."""

    async def never(sampler: Sampled, _: list[float]) -> None:
        assert not any(sampler.offer(picture(), "a cup") for _ in range(1000))

    async def some(sampler: Sampled, _: list[float]) -> None:
        taken = sum(sampler.offer(picture(), "a cup") for _ in range(1000))
        assert 1 == taken  # no turn of the loop: one waits, and the rest of the share finds it so
        assert 60 < sampler.dropped + taken < 140

    assert 0 == sampled(never, share=0).dropped
    sampled(some, share=0.1)


def test_busy() -> None:
    """Beyond the one that waits, pictures are dropped and counted; nobody is held up."""

    async def work(sampler: Sampled, scores: list[float]) -> None:
        assert [True] + [False] * 4 == [sampler.offer(picture(), "a cup") for _ in range(5)]
        await until(lambda: len(scores) == 1)

    assert 4 == sampled(work).dropped


def test_killed(caplog: pytest.LogCaptureFixture) -> None:
    """A scorer that dies is started again and goes on scoring; the log says so."""

    async def work(sampler: Sampled, scores: list[float]) -> None:
        sampler.offer(picture(), "a cup")
        await until(lambda: len(scores) == 1)
        first = child()
        first.kill()

        def again() -> bool:
            sampler.offer(picture(), "a cup")
            return len(scores) >= 2

        await until(again)
        assert first.pid != child().pid

    sampled(work)
    assert "the scorer died" in caplog.text


def test_cannot_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A scorer that cannot load harms nothing: it is tried again later, and pictures are dropped."""

    async def work(sampler: Sampled, scores: list[float]) -> None:
        await until(lambda: "the scorer died" in caplog.text)
        assert [True, False] == [sampler.offer(picture(), "a cup") for _ in range(2)]
        assert [] == scores

    assert 1 == sampled(work, scorer=tmp_path).dropped
    assert str(tmp_path) in caplog.text


def test_stop() -> None:
    """When the server stops, the scorer's process is gone; also where it never started."""
    pids: list[int] = []

    async def work(sampler: Sampled, scores: list[float]) -> None:
        sampler.offer(picture(), "a cup")
        await until(lambda: len(scores) == 1)
        pids.append(child().pid)

    sampled(work)
    assert not psutil.pid_exists(pids[0])
    asyncio.run(Sampled(SHARPNESS, share=1, chance=random.Random(1), scored=print).stop())


def test_outlived() -> None:
    """Ctrl-C in the terminal reaches the whole group and leaves the scorer to its server."""

    async def interrupt() -> float | None:
        process = await ScorerProcess.start(SHARPNESS)
        try:
            await process.ready()
            process._process.send_signal(signal.SIGINT)
            process._process.send_signal(signal.SIGTERM)
            return await process.score(picture(), "a cup")
        finally:
            await process.end()

    assert asyncio.run(interrupt()) is not None


def test_failed_start(tmp_path: Path) -> None:
    """A scorer that cannot load says why."""

    async def start() -> None:
        process = await ScorerProcess.start(tmp_path)
        try:
            await process.ready()
        finally:
            await process.end()

    with pytest.raises(WorkerError, match=r"config\.json does not exist"):
        asyncio.run(start())


def test_light() -> None:
    """The stand-in's process loads no model library."""
    code = "import sys, inference.scoring as s; from pathlib import Path; s.load(Path('sharpness')); print({'torch', 'transformers'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "set()\n" == ran.stdout


def test_json() -> None:
    """Scores leave the process as plain JSON numbers."""
    header = scoring._answer(scoring.SharpnessScorer(), {"shape": (16, 16, 3), "prompt": ""}, bytes(768))  # fmt: skip

    assert {"kind": "score", "score": 0.0} == json.loads(json.dumps(header))
