"""The result of a run as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from inference.load.drive import Done, End
from inference.load.session import STAND_INS
from inference.load.tally import LATENCIES, Floats, answered, measured
from lightmeter.units import counted, show_latency, show_ratio


BINS, WIDTH = 12, 40
"""Most lines of the histogram, and letters of its longest bar."""


def text(result: dict[str, Any], done: Sequence[Done]) -> str:
    """Tell the whole result."""
    parts = [
        _head(result),
        "\n".join(_made(result)),
        "\n".join(_times(result)),
        "\n".join(histogram(measured(answered(done)))),
        "\n".join(_errors(result)),
        "\n".join(_roofline(result)),
        "\n".join(_checks(result["checks"])),
        "\n".join(f"note: {note}" for note in result["notes"]),
    ]
    return "\n\n".join(part for part in parts if part)


def _head(result: dict[str, Any]) -> str:
    load, warmup = result["load"], result["requests"]["warmup"]
    kinds = {
        "clients": "closed loop of {concurrency} clients",
        "rate": "open loop, {rps:g} requests a second, {arrivals}",
        "trace": "open loop, trace of {requests} requests at {speed:g} times its speed",
    }
    how = (
        "closed loop of 1 client"
        if load.get("concurrency") == 1
        else kinds[load["kind"]].format(**load)
    )
    before = f", after {counted(warmup, 'request')} of warm-up" if warmup else ""
    ended = ", interrupted" if result["interrupted"] else ""
    model = f" ({result['model']})" if result["model"] else ""
    return f"{result['url']}{model}\n{how}, {show_latency(result['seconds'])}{before}{ended}"


def _made(result: dict[str, Any]) -> Iterator[str]:
    requests, rates = result["requests"], result["throughput"]
    others = [
        f"{requests[end]:,} {end}"
        for end in (End.FAILED, End.UNSENT, End.ABANDONED)
        if requests[end]
    ]
    offered = rates["offered_requests_per_second"]
    if result["loop"] == "open" and offered:
        yield f"  due       {requests['due']:>9,}     {_rate(offered)}"
    yield f"  requests  {requests[End.OK]:>9,} ok  {_rate(rates['requests_per_second'])}{''.join(f', {other}' for other in others)}"
    yield f"  pictures  {result['pictures']:>9,}     {_rate(rates['pictures_per_second'])}"
    work = rates["megapixel_forwards_per_second"]
    if work is not None:
        yield f"  work      {'':>9}     {work:.4g} megapixel-forwards a second"


def _rate(per_second: float) -> str:
    return f"{per_second:.4g} a second"


def _times(result: dict[str, Any]) -> Iterator[str]:
    latency = result["latency_seconds"]
    rows = {
        "as measured": latency["measured"],
        "corrected": latency["corrected"],
        "in the queue": result["queue_seconds"],
        "GPU share": result["gpu_seconds"],
    }
    known = {name: values for name, values in rows.items() if values}
    if not known:
        return
    table = [("latency", *LATENCIES)]
    table += [(name, *(show_latency(row[key]) for key in LATENCIES)) for name, row in known.items()]
    wide = [max(map(len, column)) + 2 for column in zip(*table, strict=True)]
    for name, *cells in table:
        numbers = (f"{cell:>{width}}" for cell, width in zip(cells, wide[1:], strict=True))
        yield f"  {name:{wide[0]}}{''.join(numbers)}"
    interval = latency["expected_interval"]
    expected = f", a request expected every {show_latency(interval)}" if interval else ""
    yield f"  corrected for coordinated omission: {latency['correction']}{expected}"


def histogram(seconds: Floats) -> Iterator[str]:
    """Draw how many requests took how long, in geometric steps; nothing where there is none."""
    if not seconds.size:
        return
    low, high = float(seconds.min()), float(seconds.max())
    if high <= low * 1.001:
        yield f"  {show_latency(low):>8}  {'#' * WIDTH} {seconds.size:,}"
        return
    edges = np.geomspace(max(low, 1e-6), high, BINS + 1)
    edges[0], edges[-1] = low, high
    counts = np.histogram(seconds, edges)[0].tolist()
    most = max(counts)
    for start, end, count in zip(edges[:-1], edges[1:], counts, strict=True):
        bar = "#" * round(count / most * WIDTH)
        yield f"  {show_latency(start):>8} to {show_latency(end):>8}  {bar or ('.' if count else '')} {count:,}"


def _errors(result: dict[str, Any]) -> Iterator[str]:
    for error in result["errors"]:
        asked = (
            f", Retry-After with {error['with_retry_after']:,}" if error["with_retry_after"] else ""
        )
        name = f"status {error['status']}" if error["status"] else "no answer"
        yield f"  {name}: {counted(error['count'], 'request')}{asked}: {error['message'] or 'without a reason'}"
    retries = result["retries"]
    if retries and retries["refused"]:
        yield f"  retried once after Retry-After: {counted(retries['refused'], 'request')}, {retries['made_at_first_retry']:,} of them answered ({show_ratio(retries['success_ratio'])})"


def _roofline(result: dict[str, Any]) -> Iterator[str]:
    found = result["roofline"]
    if "skipped" in found:
        if result["model"] not in STAND_INS:
            yield f"physical limit: not computed, {found['skipped']}"
        return
    yield (
        f"measured {found['measured_pictures_per_second']:.3g} pictures/s, physical limit of {found['assumes']} "
        f"{found['limit_pictures_per_second']:.3g} pictures/s on {found['gpus']} x {found['gpu']}, {show_ratio(found['ratio'])}"
    )
    if not found["possible"]:
        reason = found["served"] or "the model, the GPUs or the shapes are not those assumed"
        yield f"impossible: measured above the limit; {reason}"
    elif found["served"]:
        yield f"of no meaning: {found['served']}"


def _checks(checks: Iterable[dict[str, Any]]) -> Iterator[str]:
    for check in checks:
        bound = "at least" if "at_least" in check else "at most"
        limit, found = check.get("at_least", check.get("at_most")), check["found"]
        verdict = "ok" if check["holds"] else "MISSED"
        yield f"check {check['check']}: {_value(check['check'], found)}, {bound} {_value(check['check'], limit)}: {verdict}"


def _value(name: str, value: float | None) -> str:
    if value is None:
        return "not measured"
    if name in LATENCIES:
        return show_latency(value)
    return show_ratio(value) if name == "errors" else _rate(value)
