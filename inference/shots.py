"""From a worker's pixels to pictures that can be delivered: looked at, made again, encoded, stored."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from inference import pictures
from inference.answers import Picture
from inference.engine import Job, Pixels
from inference.guards import Action, Finding, decide
from inference.judge import Judge
from inference.orders import Order
from inference.sampled import Sampled
from inference.store import IMAGES, PictureStore, picture_names
from inference.tickets import Answer
from inference.visit import Visit
from lightmeter.catalog import Stage
from lightmeter.errors import WorkerError


Again = Callable[[Visit, Job], Awaitable[Answer]]
"""Has one more job of a visit made."""
OTHER_SEED = 2**32
"""Added to the seed of a spoiled picture when it is made again, so that this too can be repeated."""


class Spoiled(WorkerError):  # noqa: N818  (an answer, not a fault)
    """A guard found a picture that no client can want, and such pictures are refused."""


@dataclass(frozen=True)
class Shot:
    """One picture (h, w, 3) uint8 with the seed that it was made from and what a guard saw in it."""

    pixels: Pixels
    seed: int
    finding: Finding


class Darkroom:
    """Looks at the pictures of a request and turns them into what the client gets.

    What takes long runs in threads, so the event loop is free and the worker at the next batch.
    """

    def __init__(self, judge: Judge, store: PictureStore, scorer: Sampled | None) -> None:
        self._judge = judge
        self._store = store
        self._scorer = scorer

    async def develop(self, visit: Visit, order: Order, *, again: Again) -> list[Picture]:
        """Turn the visit's answer into pictures.

        Raises:
            Spoiled: a guard refuses one. StoreError: they cannot be stored.
        """
        shots = await self._look(visit, order.job, visit.answers[-1])
        action = decide(self._judge.guard, [shot.finding for shot in shots], tries=1)
        if action is Action.RETRY:
            shots = [await self._anew(visit, order.job, shot, again) for shot in shots]
        if self._judge.guard != "off":
            visit.findings = [shot.finding for shot in shots]
        if action is Action.REJECT:
            kind = next(f.anomalies[0] for f in visit.findings if f.spoiled)
            raise Spoiled(f"the picture came out {kind}; try another seed or prompt")
        for shot in shots:
            if self._scorer:
                self._scorer.offer(shot.pixels, order.job.prompt)
        return await self._encode(visit, order, shots)

    async def _look(self, visit: Visit, job: Job, answer: Answer) -> list[Shot]:
        began = time.monotonic()
        pixels = pictures.from_bytes(answer.payload, (job.images, *answer.header["shape"][1:]))
        nan = answer.header["nan"][answer.first : answer.first + job.images]
        seeds = range(job.seed, job.seed + job.images)
        if self._judge.guard == "off":
            return [Shot(one, seed, Finding()) for one, seed in zip(pixels, seeds, strict=True)]
        findings = await asyncio.to_thread(self._judge.judge, pixels, nan, job.prompt, seeds)
        visit.spent(Stage.GUARD, time.monotonic() - began)
        return [Shot(*facts) for facts in zip(pixels, seeds, findings, strict=True)]

    async def _anew(self, visit: Visit, job: Job, shot: Shot, again: Again) -> Shot:
        """Make a spoiled picture once more, from another seed that follows from its own."""
        if not shot.finding.spoiled:
            return shot
        seed = (shot.seed + OTHER_SEED) % 2**63
        alone = dataclasses.replace(job, images=1, seed=seed)
        (fresh,) = await self._look(visit, alone, await again(visit, alone))
        return fresh

    async def _encode(self, visit: Visit, order: Order, shots: Sequence[Shot]) -> list[Picture]:
        began = time.monotonic()
        kind, pixels = order.output_format, [shot.pixels for shot in shots]
        if order.as_url:
            files = await asyncio.to_thread(pictures.encode, pixels, kind)
            field, values = "url", await self._stored(visit, files, kind)
        else:
            field, values = "b64_json", await asyncio.to_thread(pictures.encode_text, pixels, kind)
        visit.spent(Stage.ENCODE, time.monotonic() - began)
        return [Picture(shot.seed, field, value) for shot, value in zip(shots, values, strict=True)]

    async def _stored(self, visit: Visit, files: list[bytes], kind: str) -> list[str]:
        """Put pictures into the store; return their addresses."""
        names = picture_names(len(files), kind)
        puts = (self._store.put(name, file) for name, file in zip(names, files, strict=True))
        await asyncio.gather(*puts)
        return [visit.caller.base + IMAGES + name for name in names]
