"""``lightmeter load``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from inference.load import asks, judge, plot, report, session, trace
from inference.load.arrivals import Window
from inference.load.drive import Done
from inference.load.log import Log
from inference.load.session import Job, Outcome
from lightmeter import secret
from lightmeter.cli.options import as_json, settings_options, settle
from lightmeter.configuration import LOAD_KEY_VARIABLE, environment
from lightmeter.errors import ServerError
from lightmeter.settings_load import Load


Ready = Callable[[Window], None]
Record = Callable[[Done], None]


@click.command("load")
@settings_options(Load)
@click.option(
    "--trace",
    type=click.Path(path_type=Path),
    help="Open loop: replay the arrivals of a usage history, or of a .csv or .jsonl file.",
)
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="WxH[:STEPS][@WEIGHT]",
    help="Size to ask for, like 1024x1024:8@0.2; give several for a mix.  [default: the server's]",
)
@click.option(
    "--prompts",
    type=click.Path(path_type=Path),
    help="Text file with a prompt on each line.  [default: six built in]",
)
@click.option(
    "--check",
    "checks",
    multiple=True,
    metavar="LIMITS",
    help="Limits like p95=2s,errors=1%,rate=0.5; exit code 1 where one is missed.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="JSONL file for a line on every request."
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    help=".png or .svg file for a chart of the latencies.",
)
@as_json
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Drive load at any OpenAI-shaped image endpoint and measure what comes of it.

    Closed loop (--concurrency): clients that wait for their answers. Open loop (--rps, --trace):
    requests leave when they are due. Ctrl-C ends early and still prints the result. Exit code 1: a
    --check says no; 3: the server cannot be reached, or no request was answered with a picture.

    \b
    Examples:
      lightmeter load --concurrency 4 --duration 1m
      lightmeter load --rps 2 --shape 512x512@0.8 --shape 1024x1024@0.2 --check p95=5s,errors=1%
      lightmeter load --trace lightmeter-data/history --speed 10 --gpu H200
    """
    job = _job(settle(ctx, Load, options), options)
    if options["plot"]:
        plot.check(options["plot"])
    outcome = _run(job, options["out"])
    if options["plot"]:
        plot.write(options["plot"], outcome)
    result = outcome.result
    click.echo(
        json.dumps(result, indent=2) if options["as_json"] else report.text(result, outcome.done)
    )
    if result["errors"] and not result["requests"]["ok"]:
        worst = result["errors"][0]
        raise ServerError(
            f"no request was answered with a picture; most often: {worst['status'] or 'no answer'}, {worst['message']}"
        )
    ctx.exit(0 if all(check["holds"] for check in result["checks"]) else 1)


def _job(load: Load, options: dict[str, Any]) -> Job:
    """Read everything that the run needs, so that what is wrong is refused before the first request."""
    arrivals = trace.read(options["trace"]) if options["trace"] else None
    job = session.Job(
        load=load,
        mix=asks.Mix(
            shapes=tuple(asks.parse_shape(text) for text in options["shapes"]),
            prompts=asks.read_prompts(options["prompts"]) if options["prompts"] else asks.PROMPTS,
            model=load.model,
            images=load.n,
            priority=load.priority,
            batch_share=load.batch_share,
            picture_seeds=load.picture_seeds,
        ),
        trace=trace.sped_up(arrivals, load.speed) if arrivals else None,
        limits=[limit for text in options["checks"] for limit in judge.parse(text)],
        key=_key(load.api_key_file),
    )
    session.check(job)
    return job


def _key(path: Path | None) -> str | None:
    """Read the API key from its file, or from the environment.

    Raises:
        SettingError: there is no key in it, or more than a key.
    """
    if path:
        return secret.word(path, "API key")
    text = environment().get(LOAD_KEY_VARIABLE)
    return None if text is None else secret.fit(text, LOAD_KEY_VARIABLE, "API key")


def _run(job: Job, out: Path | None) -> Outcome:
    with Log(out) if out else contextlib.nullcontext() as log, _progress(job) as (ready, shown):

        def record(done: Done) -> None:
            shown(done)
            if log:
                log.write(done)

        return asyncio.run(_until_interrupted(job, record, ready))


async def _until_interrupted(job: Job, record: Record, ready: Ready) -> Outcome:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return await session.run(job, stop, record=record, ready=ready)


@contextlib.contextmanager
def _progress(job: Job) -> Iterator[tuple[Ready, Record]]:
    """Show a bar on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None, lambda _: None
        return
    from lightmeter.cli.bar import Bar

    with Bar(seconds=job.seconds, requests=job.load.requests or len(job.trace or ())) as bar:
        yield bar.ready, bar.record
