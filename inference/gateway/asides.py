"""What is asked beside pictures: it goes to the replica that has it, and wakes nobody."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from inference.gateway.answering import Answering, Broken
from inference.gateway.door import caller_of, sending
from inference.gateway.finding import Finder
from inference.gateway.fleet import Fleet
from inference.gateway.hop import Died, Unreachable
from inference.gateway.replica import Replica
from inference.jobs import UnknownJob
from inference.keys import Keys
from inference.store import UnknownPicture
from inference.tickets import Refused
from inference.tracing import NoTracer, parent_of
from lightmeter import bodies
from lightmeter.catalog import ShedReason
from lightmeter.settings_gateway import Gateway


_log = logging.getLogger(__name__)
NOT_FOUND = 404
SECONDS = 60.0
"""For one replica's answer."""
RETRY_SECONDS = 5.0


class Asides:
    """Passes requests on; ``keys`` are asked for where the servers would ask."""

    def __init__(self, settings: Gateway, fleet: Fleet, finder: Finder, keys: Keys) -> None:
        self._settings, self._fleet, self._finder, self._keys = settings, fleet, finder, keys

    async def job(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask the replica whose name the job's id carries."""
        name = scope["path_params"]["name"]
        to = self._finder.job(name)
        if to is None:
            raise UnknownJob(f"{name[:80]!r} is no job id")
        if not to and not self._finder.incomplete:
            raise UnknownJob(f"job {name!r} is not here: its replica is gone, and its jobs with it; ask again")  # fmt: skip
        await self._first(scope, receive, send, to=to)

    async def picture(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask for a stored picture, the replica that made it first."""
        to = self._finder.holders(scope["path"])
        if not to and not self._finder.incomplete:
            raise UnknownPicture("the picture is not here: no replica is there")
        await self._first(scope, receive, send, to=to, keys=Keys({}))

    async def feedback(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give a rating to the replica that has the request in its history."""
        body = await bodies.read(Request(scope, receive))
        to = self._finder.holders(body.decode("latin-1"))
        await self._first(scope, receive, send, to=to, body=body)

    async def any(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask any replica: they say the same.

        Raises:
            HTTPException: the path climbs; a proxy in front of a replica might follow it to its admin routes.
        """
        if {".", ".."} & set(re.split(r"[/\\]", scope["path"])):
            raise HTTPException(NOT_FOUND, "a path with '.' or '..' in it leads nowhere here")
        await self._first(scope, receive, send, to=self._fleet.alive()[:1], keys=Keys({}))

    async def _first(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        to: Sequence[Replica],
        body: bytes = b"",
        keys: Keys | None = None,
    ) -> None:
        """Pass a request on to the first replica that knows of it; if none does, the last says so.

        Raises:
            Refused: none answers. Unauthorized, Forbidden: whoever asks may not.
            Broken: an answer broke off.
        """
        del receive
        caller = caller_of(scope, keys or self._keys, self._settings.trusted_proxy)
        trace = NoTracer().begin(scope["headers"])
        traced = parent_of(scope["headers"]) is not None
        on, answering = sending(scope, caller, trace, body, parent=traced), Answering(send, [])
        for replica in to:
            try:
                async with asyncio.timeout(SECONDS), replica.line.ask(on) as reply:
                    if reply.status == NOT_FOUND and replica is not to[-1]:
                        await reply.read()
                        continue
                    await answering.pass_on(reply)
                    return
            except (Unreachable, Died, TimeoutError) as error:
                _log.info("replica %s: %s", replica.address, str(error) or "no answer")
                if answering.begun:
                    raise Broken from error
        raise Refused(ShedReason.NO_WORKER, "no replica answers; try again", RETRY_SECONDS)


def own_routes_only(path: str) -> HTTPException:
    """Say that a route is a replica's own business."""
    return HTTPException(NOT_FOUND, f"{path} is about one server; ask that one, not the gateway")
