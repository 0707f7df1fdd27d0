"""``python -m exporter FD``: the exporter's process, which ``lightmeter export`` turns into.

What it is to do stands in the file descriptor, as JSON: version, log form, verbose, the number of the
socket on which it listens, options.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import sys

from exporter import options, sources
from lightmeter import logs
from lightmeter.errors import LightmeterError


_M_ARENA_MAX = -8


def run(fd: int) -> int:
    """Serve until told to end; return the exit code."""
    with os.fdopen(fd, encoding="utf-8") as file:
        given = json.load(file)
    logs.configure(given["log"], verbose=given["verbose"])
    settings = options.loads(given["options"])
    _libc("mallopt", _M_ARENA_MAX, 1)
    try:
        with contextlib.closing(sources.choose(settings)) as chosen:
            from exporter import main  # only now: what is here already is in every sampler too

            _libc("malloc_trim", 0)
            listener = socket.socket(fileno=given["listener"])
            main.run(settings, chosen, listener, version=given["version"], tell=_tell)
    except LightmeterError as error:
        sys.stderr.write(f"lightmeter: {' '.join(str(error).split())}\n")
        return error.exit_code
    except KeyboardInterrupt:  # while it starts; later on it is a signal that is waited for
        return 130
    return 0


def _libc(name: str, *arguments: int) -> None:
    """Save memory by glibc's means, about 1 MiB (measured 2026-11); another libc has none."""
    with contextlib.suppress(AttributeError):
        getattr(ctypes.CDLL(None), name)(*arguments)


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1])))
