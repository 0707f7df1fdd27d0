"""Work beside the requests, for as long as the server lives: none of it ends in silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any


_log = logging.getLogger(__name__)
PAUSE_SECONDS = 5.0
"""Rest after a fault, so that one that comes back at once does not fill the log."""


def keep_up(what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
    """Do work in the background; where it fails, log that and begin again after a pause.

    It ends when the work is done, or with its cancellation.
    """
    return asyncio.create_task(_keep_up(what, work), name=what)


async def give_up(task: asyncio.Future[Any]) -> None:
    """Cancel a task and wait for its end; what it raises in the end is for nobody any more.

    To wait alone would leave that unheard, and asyncio would log it with a traceback.
    """
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _keep_up(what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        try:
            return await work()
        except Exception:  # noqa: BLE001  (nobody above it: a task that fails is never heard of again)
            _log.exception("%s failed; it begins again in %g s", what, PAUSE_SECONDS)
            await asyncio.sleep(PAUSE_SECONDS)
