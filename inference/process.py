"""A worker process as the API process sees it: started, spoken to, ended."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Sequence

from inference import wire
from inference.engine import Job
from inference.worker import Spec
from lightmeter.errors import WorkerError
from lightmeter.settings import Serve


_STREAM_LIMIT = 64 * 1024 * 1024


class WorkerProcess:
    """One running worker. `WorkerProcess.start` makes it; `end` kills it."""

    def __init__(self, process: asyncio.subprocess.Process, control: int) -> None:
        if process.stdout is None or process.stdin is None:
            raise WorkerError("the worker has no pipes")
        self._process = process
        self._reader, self._writer = process.stdout, process.stdin
        self._control = control
        self._batch = 0

    @classmethod
    async def start(cls, settings: Serve, index: int) -> WorkerProcess:
        """Start worker ``index``; its first frame says whether the model is loaded.

        Raises:
            OSError: no process can be started.
        """
        listening, control = os.pipe()
        threads = settings.threads or max(1, ((os.cpu_count() or 1) - 1) // settings.workers)
        spec = Spec(
            model=settings.model,
            tiny=str((settings.data / "models" / "tiny").absolute()),
            device=settings.device,
            index=index,
            threads=threads,
            steps=settings.steps,
            control=listening,
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # never import from the folder that the user happens to stand in
            "-m",
            "inference.worker",
            json.dumps(dataclasses.asdict(spec)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_STREAM_LIMIT,
            pass_fds=(listening,),
            env=os.environ | _environment(threads),
        )
        os.close(listening)
        return cls(process, control)

    async def receive(self) -> tuple[wire.Header, bytes]:
        """Wait for the next frame.

        Raises:
            EOFError: the process is gone.
        """
        return await wire.receive(self._reader)

    async def make(self, jobs: Sequence[Job]) -> tuple[wire.Header, bytes]:
        """Have a batch made and return the answer to it.

        Raises:
            EOFError, OSError: the process died.
        """
        self._batch += 1
        header = {"batch": self._batch, "jobs": [dataclasses.asdict(job) for job in jobs]}
        self._writer.write(wire.pack(header))
        await self._writer.drain()
        return await self.receive()

    @property
    def upcoming(self) -> int:
        """Number of the batch that `make` will be called for next."""
        return self._batch + 1

    def give_up(self, number: int) -> None:
        """Let a batch end after its next step; nothing happens if it has ended already."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._control, number.to_bytes(8, "big"))

    async def death(self) -> None:
        """Wait until the process is gone."""
        await self._process.wait()

    async def end(self) -> None:
        """Kill the process and wait for it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        os.close(self._control)


def _environment(threads: int) -> dict[str, str]:
    """Keep OpenMP from spinning on cores that others need, and libraries from chatting."""
    return {
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
