"""Where readings come from: the driver, another exporter's text, made-up GPUs, or a recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from exporter import bus
from exporter.options import Options
from exporter.snapshot import Owner, Source
from lightmeter.errors import InputError


@dataclass(frozen=True)
class Chosen:
    """A source, and what only another exporter's text can tell beside."""

    source: Source
    exclusive: Callable[[], Mapping[str, Owner]] = dict
    lines_skipped: Callable[[], int | None] = lambda: None

    def close(self) -> None:
        """End the source."""
        self.source.close()


def choose(settings: Options) -> Chosen:
    """Make the source that the settings name, and record it where they say so.

    Call it before the process has another thread, and before it imports more than it must: samplers
    are forked off, and share its memory.

    Raises:
        InputError: they name several, or a file cannot be used.
    """
    named = {"--demo": settings.demo, "--replay": settings.replay, "--dcgm": settings.dcgm}
    given = [option for option, value in named.items() if value]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} exclude each other; give one")
    chosen = _dcgm(settings) if settings.dcgm else Chosen(_here(settings))
    return _recorded(chosen, settings.record) if settings.record else chosen


def _here(settings: Options) -> Source:
    """Each imports what it alone needs: the samplers share this process's memory."""
    if settings.demo:
        from exporter.demo import Demo

        return Demo(settings.gpus or 8, settings.window)
    if settings.replay:
        from exporter.replay import Replay

        return Replay(settings.replay)
    from exporter import supervisor

    return supervisor.Supervisor(
        supervisor.Options(
            hz=settings.hz,
            peak_window=settings.window,
            expected=settings.gpus or None,
            root=_machine(settings.host_root),
        )
    )


def _machine(root: Path) -> str:
    """Where the machine's bus is seen: a container sees it in its own /sys, too."""
    return str(root) if (root / bus.DEVICES).is_dir() else "/"


def _dcgm(settings: Options) -> Chosen:
    from exporter.dcgmsource import DcgmSource

    source = DcgmSource(settings.dcgm, window=settings.window, expected=settings.gpus or None)
    return Chosen(source, source.exclusive, lambda: source.lines_skipped)


def _recorded(chosen: Chosen, path: Path) -> Chosen:
    from exporter.replay import Recorder

    try:
        return replace(chosen, source=Recorder(chosen.source, path))
    except InputError:
        chosen.source.close()
        raise
