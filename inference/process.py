"""A worker process as the API process sees it: started, spoken to, listened to, ended."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import math
import os
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from inference import wire
from inference.engine import Job
from inference.setup import held
from inference.worker import Spec
from lightmeter import logs
from lightmeter.errors import WorkerError
from lightmeter.settings import Serve


_STREAM_LIMIT = 64 * 1024 * 1024
_CLOSED = -1
"""In place of a file descriptor, whose number may have gone to another file."""
_BABBLE = (ValueError, LookupError, TypeError, MemoryError, struct.error)
"""What a process that writes no frames shows itself as."""


class WorkerProcess:
    """One running worker. `WorkerProcess.start` makes it; `end` kills it."""

    def __init__(self, process: asyncio.subprocess.Process, control: int) -> None:
        if process.stdout is None or process.stdin is None:
            raise WorkerError("the worker has no pipes")
        self._process = process
        self._reader, self._writer = process.stdout, process.stdin
        self._control = control
        self._batch = 0
        self._stepped: Callable[[int], None] | None = None
        self._frames: asyncio.Queue[tuple[wire.Header, bytes] | EOFError] = asyncio.Queue()
        self.why = ""
        """Why it was killed, if it was."""
        self._listening = asyncio.create_task(self._listen())
        self.heard = math.inf
        """When the last frame came, `time.monotonic` seconds; infinite before the first."""

    @classmethod
    async def start(cls, settings: Serve, index: int) -> WorkerProcess:
        """Start worker ``index``; its first frame says whether the model is loaded.

        Raises:
            OSError: no process can be started.
        """
        listening, control = os.pipe()
        threads = settings.threads or max(
            1, ((os.cpu_count() or 1) - 1) // max(1, settings.workers)
        )
        spec = Spec(
            model=settings.model,
            tiny=str((settings.data / "models" / "tiny").absolute()),
            index=index,
            threads=threads,
            **held(settings),
            control=listening,
            log_format=logs.form(),
        )
        try:
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
                env=os.environ | _environment(threads, settings.data),
            )
        except BaseException:
            os.close(control)
            raise
        finally:
            os.close(listening)
        return cls(process, control)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    async def _listen(self) -> None:
        """Sort what the worker says: beats, steps, and answers. In the end there is always an EOFError."""
        try:
            while True:
                header, payload = await wire.receive(self._reader)
                self.heard = time.monotonic()
                if header["kind"] == wire.STEP and self._stepped:
                    self._stepped(header["step"])
                elif header["kind"] not in wire.SIGNS_OF_LIFE:
                    self._frames.put_nowait((header, payload))
        except (OSError, EOFError):
            pass
        except _BABBLE as error:
            self.kill(f"it wrote no frame: {error}")
        finally:
            self._frames.put_nowait(EOFError(self.why or "its pipe closed"))

    async def receive(self) -> tuple[wire.Header, bytes]:
        """Wait for the next answer.

        Raises:
            EOFError: the process is gone.
        """
        frame = await self._frames.get()
        if isinstance(frame, EOFError):
            self._frames.put_nowait(frame)
            raise frame
        return frame

    async def make(
        self, jobs: Sequence[Job], stepped: Callable[[int], None] | None
    ) -> tuple[wire.Header, bytes]:
        """Have a batch made and return the answer to it; ``stepped`` is told of each step done.

        Raises:
            EOFError, OSError: the process died.
        """
        self._batch += 1
        self._stepped = stepped
        header = {
            "batch": self._batch,
            "steps": stepped is not None,
            "jobs": [dataclasses.asdict(job) for job in jobs],
        }
        self._writer.write(wire.pack(header))
        await self._writer.drain()
        return await self.receive()

    @property
    def upcoming(self) -> int:
        """Number of the batch that `make` will be called for next."""
        return self._batch + 1

    def give_up(self, number: int) -> None:
        """Let a batch end after its next step; nothing happens if it has ended already."""
        with contextlib.suppress(OSError):
            os.write(self._control, number.to_bytes(8, "big"))

    async def death(self) -> None:
        """Wait until the process is gone."""
        await self._process.wait()

    def kill(self, why: str) -> None:
        """Kill the process; whoever waits for it is told why."""
        self.why = why
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """Kill the process and wait for it."""
        self.kill(self.why)
        await self._process.wait()
        self._listening.cancel()
        os.close(self._control)
        self._control = _CLOSED


def _environment(threads: int, data: Path) -> dict[str, str]:
    """Keep OpenMP from spinning on cores that others need, libraries from chatting, compiled code.

    Files of a sharded component are read side by side.
    """
    compiled = (data / "compiled").absolute()
    return {
        "TORCHINDUCTOR_CACHE_DIR": str(compiled / "inductor"),
        "TRITON_CACHE_DIR": str(compiled / "triton"),
        "HF_ENABLE_PARALLEL_LOADING": "yes",
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
