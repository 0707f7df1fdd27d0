"""The worker process: one model, one batch at a time, frames in on stdin and out on stdout.

``python -m inference.worker SPEC`` with SPEC a JSON object of `Spec`'s fields. It ends when stdin
closes or its parent is gone, so it outlives the API process by a second at most, however that dies.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from inference import coldstart, wire
from inference.engine import Engine, Job, Loaded, OutOfMemory, Stopped
from inference.setup import Setup
from lightmeter import logs
from lightmeter.errors import InputError


_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Spec(Setup):
    """What a worker is told at its start. ``tiny`` is the folder of the built-in pipeline."""

    model: str
    tiny: str
    control: int
    """File descriptor on which batches are given up."""
    log_format: logs.Format


def main() -> None:
    """Load the model, say so, then serve jobs until stdin closes."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; the API decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(os.getppid(),), name="follow", daemon=True).start()
    out = _Out()
    spec = Spec(**json.loads(sys.argv[1]))
    logs.configure(spec.log_format)
    try:
        loaded = coldstart.start(spec.model, spec.tiny, spec)
    except Exception as error:  # noqa: BLE001  (process edge: the API logs it and ends)
        out.send({"kind": "failed", "error": _one_line(error)})
        return
    out.send({"kind": "ready", **_facts(loaded)})
    threading.Thread(target=_beat, args=(out,), name="beat", daemon=True).start()
    after_step = _AfterStep(spec.control, out)
    while (header := wire.read(sys.stdin.buffer)) is not None:
        after_step.start(header["batch"], tell=header["steps"])
        _answer(out, loaded.engine, [Job(**job) for job in header["jobs"]], after_step)


def _follow(parent: int) -> None:
    """End with the API process, in mid-batch or mid-load: its successor needs the device's memory."""
    while os.getppid() == parent:
        time.sleep(wire.BEAT_SECONDS)
    os._exit(1)


class _Out:
    """The frames' way out, for the work and for the beats."""

    def __init__(self) -> None:
        """Keep the real stdout for frames; what libraries print goes to stderr."""
        self._file = os.fdopen(os.dup(1), "wb")
        self._lock = threading.Lock()
        os.dup2(2, 1)

    def send(self, header: wire.Header, payload: bytes | memoryview = b"") -> None:
        """Send a frame; where nobody reads any more the API process is gone, and this one ends."""
        try:
            with self._lock:
                self._file.write(wire.pack(header, payload))
                self._file.flush()
        except BrokenPipeError:
            os._exit(1)  # no trace: nothing is wrong with the model


def _beat(out: _Out) -> None:
    """Say every second that the process runs: one that is stopped or starved falls silent."""
    while True:
        time.sleep(wire.BEAT_SECONDS)
        out.send({"kind": wire.BEAT})


class _AfterStep:
    """Called after each step: tells of it, and whether the batch has been given up.

    The API process gives up by writing a batch's number, 8 bytes, to the control pipe; numbers of
    batches that ended before the word came are passed over.
    """

    def __init__(self, control: int, out: _Out) -> None:
        os.set_blocking(control, False)
        self._control = control
        self._out = out
        self._newest = self._current = self._step = 0
        self._tell = False

    def start(self, batch: int, *, tell: bool) -> None:
        self._current, self._step, self._tell = batch, 0, tell

    def __call__(self) -> bool:
        self._step += 1
        if self._tell:
            self._out.send({"kind": wire.STEP, "step": self._step})
        try:
            word = os.read(self._control, 4096)
        except BlockingIOError:
            word = b""
        if word:
            self._newest = int.from_bytes(word[-8:], "big")
        return self._newest == self._current


def _facts(loaded: Loaded) -> wire.Header:
    facts = {field.name: getattr(loaded, field.name) for field in dataclasses.fields(loaded)}
    facts.pop("engine")
    return facts


def _answer(out: _Out, engine: Engine, jobs: list[Job], after_step: Callable[[], bool]) -> None:
    try:
        result = engine.generate(jobs, after_step)
    except Stopped as error:
        return out.send({"kind": "stopped", "gpu_seconds": error.gpu_seconds})
    except OutOfMemory as error:
        return out.send({"kind": "oom", "error": _one_line(error)})
    except InputError as error:
        return out.send({"kind": "refused", "error": " ".join(str(error).split())})
    except Exception as error:  # noqa: BLE001  (process edge: one bad job must not end the worker)
        _log.exception("the model failed")  # the API counts it; the trace is for who mends it
        return out.send({"kind": "error", "error": _one_line(error)})
    header = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    pixels = header.pop("pixels")
    header |= {"kind": "result", "shape": pixels.shape}
    return out.send(header, memoryview(pixels).cast("B"))


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


if __name__ == "__main__":
    main()
