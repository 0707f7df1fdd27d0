"""Readings written to a file as they come, and shown again in their own time.

A line of the file is ``[at, fleet]``: Unix seconds, and the fleet as `exporter.frames` writes it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from exporter import frames
from exporter.snapshot import Fleet, Source
from lightmeter.errors import InputError, explain


_log = logging.getLogger(__name__)
RECORD_SECONDS = 1.0


class Recorder:
    """A source that writes down once a second what another one knows.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(self, source: Source, path: Path, every: float = RECORD_SECONDS) -> None:
        self._source, self._path, self._every = source, path, every
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise InputError(f"recording {path} {explain(error)}") from error
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def fleet(self) -> Fleet:
        """Tell what the source knows now."""
        return self._source.fleet()

    def close(self) -> None:
        """End the recording, and the source."""
        self._ending.set()
        self._thread.join()
        self._source.close()

    def _work(self) -> None:
        with self._file:
            try:
                while not self._ending.wait(self._every):
                    line = [round(time.time(), 3), frames.from_fleet(self._source.fleet())]
                    self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
                    self._file.flush()
            except OSError as error:
                _log.warning("the recording ends: %s %s", self._path, explain(error))


class Replay:
    """A source that shows a recording, again and again; nothing but the present line is in memory.

    Raises:
        InputError: the file cannot be read, or is no recording.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        try:
            self._file: TextIO = path.open(encoding="utf-8")
            self._now = self._next = self._first = _parse(self._file.readline())
        except OSError as error:
            raise InputError(f"recording {path} {explain(error)}") from error
        except ValueError as error:
            self._file.close()
            raise InputError(f"recording {path} is not understood: line 1 is no reading") from error
        self._begun = clock()
        _log.warning("the GPUs are shown from a recording: %s", path)

    def fleet(self) -> Fleet:
        """Tell what was known at this time of the recording."""
        with self._lock:
            passed = self._clock() - self._begun
            while self._next[0] - self._first[0] <= passed:
                self._now = self._next
                if not self._advance():
                    self._from_the_start()
                    break
            return self._now[1]

    def _advance(self) -> bool:
        """Go to the next line that can be read; tell whether there was one."""
        for line in self._file:
            try:
                self._next = _parse(line)
            except ValueError:
                continue  # torn where the recording was cut off
            return True
        return False

    def _from_the_start(self) -> None:
        _log.info("the recording begins again")
        self._file.seek(0)
        self._begun = self._clock()
        self._next = self._first

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


def _parse(line: str) -> tuple[float, Fleet]:
    """Read a line.

    Raises:
        ValueError: it is no reading.
    """
    try:
        at, plain = json.loads(line)
        return float(at), dataclasses.replace(frames.to_fleet(plain), source="replay")
    except (LookupError, TypeError) as error:
        raise ValueError(str(error)) from error
