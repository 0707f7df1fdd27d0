"""A bar for work of known length, on a terminal; nothing elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator


Tell = Callable[[int, int, str], None]
"""Takes how much is done, how much there is, and what is being done."""


@contextlib.contextmanager
def steps() -> Iterator[Tell]:
    """Show how far it is, as it is told."""
    if not sys.stderr.isatty():
        yield lambda _done, _total, _words: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def tell(done: int, total: int, words: str) -> None:
            bar.update(task, completed=done, total=total, description=words)

        yield tell
