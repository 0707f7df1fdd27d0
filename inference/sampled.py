"""A share of the pictures, handed to a scorer's process and never waited for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from inference import wire
from inference.aside import give_up, keep_up
from inference.engine import Pixels
from lightmeter.errors import WorkerError


_log = logging.getLogger(__name__)
START_SECONDS, SCORE_SECONDS = 600.0, 120.0
"""A scorer that takes longer to load, or for one picture, is stuck and is replaced."""
_FIRST_BACKOFF, _LAST_BACKOFF = 1.0, 300.0
_DEATHS = (EOFError, OSError, TimeoutError, WorkerError, ValueError, LookupError, struct.error)
"""What a dead, stuck or babbling scorer shows itself as."""
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",  # never downloads
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}


class ScorerProcess:
    """One running scorer. `ScorerProcess.start` makes it; `end` kills it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None or process.stdin is None:
            raise WorkerError("the scorer has no pipes")
        self._process = process
        self._reader, self._writer = process.stdout, process.stdin

    @classmethod
    async def start(cls, scorer: Path) -> ScorerProcess:
        """Start a scorer's process, which then loads.

        Raises:
            OSError: no process can be started.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # never import from the folder that the user happens to stand in
            "-m",
            "inference.scoring",
            str(scorer),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | _ENVIRONMENT,
        )
        return cls(process)

    async def ready(self) -> None:
        """Wait until the model is loaded.

        Raises:
            EOFError, TimeoutError: it died or takes too long. WorkerError: it cannot load.
        """
        async with asyncio.timeout(START_SECONDS):
            header, _ = await wire.receive(self._reader)
        if header["kind"] != "ready":
            raise WorkerError(header["error"])

    async def score(self, picture: Pixels, prompt: str) -> float | None:
        """Score a picture (h, w, 3) uint8, 0..1; None where the scorer could not.

        Raises:
            EOFError, OSError, TimeoutError: it died or takes too long.
        """
        async with asyncio.timeout(SCORE_SECONDS):
            header: wire.Header = {"shape": picture.shape, "prompt": prompt}
            self._writer.write(wire.pack(header, picture.tobytes()))
            await self._writer.drain()
            answer, _ = await wire.receive(self._reader)
        if answer["kind"] == "score":
            return float(answer["score"])
        _log.warning("the scorer could not score a picture: %s", answer["error"])
        return None

    async def end(self) -> None:
        """Kill the process and wait for it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class Sampled:
    """Scores a share of the pictures beside the requests; lives on the event loop.

    One picture is scored and one may wait; what comes while both places are taken is dropped, and
    ``dropped`` counts it. A scorer's death is seen at the next picture, which is lost.
    """

    def __init__(
        self,
        scorer: Path,
        *,
        share: float,
        chance: random.Random,
        scored: Callable[[float], None],
    ) -> None:
        self._scorer = scorer
        self._share = share
        self._chance = chance
        self._scored = scored
        self._waiting: asyncio.Queue[tuple[Pixels, str]] = asyncio.Queue(maxsize=1)
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self.dropped = 0

    def start(self) -> None:
        """Start the scorer in the background; it is started again whenever it dies."""
        self._task = keep_up("the scorer", self._keep)

    async def stop(self) -> None:
        """End the scorer; what it was at is lost."""
        if self._task:
            await give_up(self._task)

    def offer(self, picture: Pixels, prompt: str) -> bool:
        """Take a picture (h, w, 3) uint8 by chance; tell whether it will be scored."""
        if self._chance.random() >= self._share:
            return False
        try:
            self._waiting.put_nowait((picture, prompt))
        except asyncio.QueueFull:
            self.dropped += 1
            return False
        return True

    async def _keep(self) -> None:
        """Run a scorer for ever: start, score, and start again after a death."""
        while True:
            try:
                await self._live()
            except _DEATHS as error:
                seconds = min(_FIRST_BACKOFF * 2 ** min(self._failures, 20), _LAST_BACKOFF)
                reason = str(error) or type(error).__name__
                _log.warning("the scorer died (%s); the next starts in %g s", reason, seconds)
                self._failures += 1
                await asyncio.sleep(seconds)

    async def _live(self) -> None:
        process = await ScorerProcess.start(self._scorer)
        try:
            await process.ready()
            _log.info("the scorer is ready")
            while True:
                score = await process.score(*await self._waiting.get())
                self._failures = 0
                if score is not None:
                    self._scored(score)
        finally:
            await process.end()
