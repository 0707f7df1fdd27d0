"""``/v1/jobs``: the same requests, asked now and looked at later."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from functools import partial

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from inference.contract import MAKING, JobAnswer, route
from inference.job import UNFINISHED, Job, State
from inference.jobs import Jobs, Work
from inference.orders import ImageRequest
from inference.passing import end
from inference.routes_images import CLIENT_LEFT, Problem, caller_of, read_body
from inference.service import ImageService
from inference.tracing import HEADER, Tracer
from inference.visit import Caller, Passage
from lightmeter import logs
from lightmeter.errors import LightmeterError


JOBS = "/v1/jobs"


def add(
    app: FastAPI, service: ImageService, jobs: Jobs, *, tracer: Tracer, problem: Problem
) -> None:
    """Add the routes; ``problem`` says with which status a failure is answered."""
    describe = route(
        "Make pictures while the client is away.",
        *MAKING,
        ok=JobAnswer,
        status=202,
        takes=ImageRequest,
    )

    finished = partial(end, tracer=tracer, access_log=service.settings.access_log)

    @app.post(JOBS, **describe)
    async def submit(request: Request) -> Response:
        trace = tracer.begin(request.scope["headers"])
        passage = Passage(trace, request.method, JOBS, status=202)
        try:
            caller = dataclasses.replace(caller_of(request, service), passage=passage)
            body = await read_body(request, service, caller)
        except (ClientDisconnect, LightmeterError) as error:
            left = isinstance(error, ClientDisconnect)
            passage.status = CLIENT_LEFT if left else problem(error)[0]
            finished(passage)
            if left:
                return Response(status_code=CLIENT_LEFT)
            raise
        work = _told(_work(service, body, caller), passage, finished, problem)
        job = await jobs.submit(work, caller.tenant.name)
        answer = _answer(job, _facts(job), 202)
        answer.headers[HEADER] = trace.traceparent
        return answer

    @app.get(
        JOBS + "/{name}", **route("How a job is, and its result.", 401, 403, 404, ok=JobAnswer)
    )
    async def look(request: Request, name: str) -> Response:
        job = _find(request, name)
        return _answer(job, await jobs.answer(job), 200)

    @app.delete(
        JOBS + "/{name}",
        **route("Cancel a job, or forget a finished one.", 401, 403, 404, ok=JobAnswer),
    )
    async def cancel(request: Request, name: str) -> Response:
        job = _find(request, name)
        await jobs.cancel(job)
        return _answer(job, _facts(job), 200)

    def _find(request: Request, name: str) -> Job:
        return jobs.find(name, caller_of(request, service).tenant.name)


def _work(service: ImageService, body: bytes, caller: Caller) -> Work:
    """Make the answer as a connected client's, and let the job hear how it goes."""

    async def work(job: Job) -> bytes:
        wait = service.pool.predicted_wait

        def hear(step: int, steps: int) -> None:
            if step:
                job.progress(step, steps)
            else:
                job.accepted(wait)

        made = await service.generate(body, dataclasses.replace(caller, progress=hear))
        service.sent(made, 0.0)
        return made.body

    return work


def _told(
    work: Work, passage: Passage, finished: Callable[[Passage], None], problem: Problem
) -> Work:
    """Give the work, and not only the request that asked for it, its place in traces and logs."""

    async def told(job: Job) -> bytes:
        try:
            with logs.about(**passage.trace.ids):
                return await work(job)
        except Exception as error:
            passage.status = problem(error)[0]
            raise
        finally:
            finished(passage)

    return told


def _facts(job: Job) -> bytes:
    return json.dumps(job.facts()).encode()


def _answer(job: Job, body: bytes, status: int) -> Response:
    headers = {"Cache-Control": "no-store"}
    if status == 202:  # noqa: PLR2004  (Accepted)
        headers["Location"] = f"{JOBS}/{job.id}"
    if job.state in UNFINISHED:
        wait = job.predicted_wait if job.state is State.QUEUED else 0.0
        headers["Retry-After"] = str(max(1, math.ceil(wait)))
    return Response(body, status, headers, media_type="application/json")
