"""Arithmetic and roofline checks of claims: which hold, which contradict themselves, which cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from lightmeter import roofline
from lightmeter.errors import PlanError, SettingError
from planner import claims
from planner.claims import Claim, Form


class Verdict(StrEnum):
    """What the arithmetic says of a claim."""

    HOLDS = "holds"
    INCONSISTENT = "inconsistent"
    """Its figures contradict each other."""
    IMPOSSIBLE = "impossible"
    """No machine of the kind named can do it."""


@dataclass(frozen=True)
class Found:
    """The verdict with the figure computed, its unit ('' for a ratio), and the sum in words."""

    verdict: Verdict
    computed: float
    unit: str
    because: str


Figures = Mapping[str, float]
Check = Callable[[Claim], Found]
_SHAPE = ("gpu", "width", "height", "forwards")
_MODEL = {"parameters": float(roofline.PARAMETERS), "caption_tokens": float(roofline.CAPTION_TOKENS)}  # fmt: skip
_DAYS = {"days": 30.0}


def builtin() -> list[dict[str, Any]]:
    """Check the founding articles' claims."""
    return [_row(table, f"built-in claim {n}") for n, table in enumerate(claims.builtin(), 1)]


def of_file(path: Path) -> list[dict[str, Any]]:
    """Check the claims of a user's file.

    Raises:
        PlanError: naming the file, the claim and what is wrong with it.
    """
    return [_row(table, f"{path} claim {n}") for n, table in enumerate(claims.load(path), 1)]


def _row(table: object, where: str) -> dict[str, Any]:
    claim, form = claims.parse(table, where, KINDS)
    found = next(check for known, check in _FORMS if known is form)(claim)
    return {
        "claim": claim.claim,
        "source": claim.source,
        "kind": claim.kind,
        "verdict": str(found.verdict),
        "stated": claim.figures[form.stated],
        "computed": float(f"{found.computed:.6g}"),
        "unit": found.unit,
        "because": found.because,
    }


def _agree(claim: Claim, stated: float, computed: float) -> Verdict:
    close = abs(stated - computed) <= claim.tolerance * abs(computed)
    return Verdict.HOLDS if close else Verdict.INCONSISTENT


def _unless(wrong: object, verdict: Verdict) -> Verdict:
    return verdict if wrong else Verdict.HOLDS


def _hours_cost(claim: Claim) -> Found:
    f = claim.figures
    cost = f["hours"] * f["rate"]
    because = f"{f['hours']:g} h at {f['rate']:g} an hour is {cost:g}"
    return Found(_agree(claim, f["cost"], cost), cost, "currency", because)


def _saving(claim: Claim) -> Found:
    f = claim.figures
    saving = 1 - f["cost_after"] / f["cost_before"]
    because = f"{f['cost_after']:g} instead of {f['cost_before']:g} saves {saving:.1%}"
    return Found(_agree(claim, f["saving"], saving), saving, "", because)


def _picture_cost(claim: Claim) -> Found:
    f = claim.figures
    pictures = 3600 / f["seconds_per_image"] * f["utilization"]
    cost = 1000 / pictures * f["rate"]
    because = f"{pictures:.4g} pictures an hour at {f['rate']:g} an hour make {cost:.4g} for 1,000; the stated cost needs {f['cost_per_1000_images'] * pictures / 1000:.3g} an hour"  # fmt: skip
    return Found(_agree(claim, f["cost_per_1000_images"], cost), cost, "currency", because)


def _fuller_cost(claim: Claim) -> Found:
    f = claim.figures
    gain = f["utilization_after"] / f["utilization_before"]
    slower = f["seconds_after"] / f["seconds_before"]
    cost = f["cost_before"] / gain * slower
    because = f"a GPU {gain:.3g} times as full, a picture taking {slower:.3g} times as long, brings {f['cost_before']:g} to {cost:.3g}"  # fmt: skip
    return Found(_agree(claim, f["cost_after"], cost), cost, "currency", because)


def _rent(claim: Claim) -> Found:
    f = claim.figures
    cost = f["rate"] * 24 * f["days"]
    dear = f["rent"] > cost * (1 + claim.tolerance)
    because = f"on demand around the clock costs {cost:g}" + (
        ": renting would never pay, however busy the GPU"
        if dear
        else f"; renting pays from {f['rent'] / f['rate']:.4g} h a month"
    )
    return Found(_unless(dear, Verdict.INCONSISTENT), cost, "currency", because)


def _on_fraction(f: Figures) -> tuple[float, float]:
    """Busy and billed share of one on-demand GPU: M/G/1 with set-up time and idle timeout.

    The closed form stands in docs/planner.md. Both are shares of the hours in which requests come.
    """
    rate = f["requests_per_day"] / (f["hours_per_day"] * 3600)
    load = rate * f["seconds"]
    stopped = math.exp(-rate * f["idle_timeout_seconds"])
    busy = (stopped * f["cold_start_seconds"] + f["seconds"]) / max(1 - load, 1e-9)
    on = ((1 - stopped) / rate + busy) / (1 / rate + busy)
    return load, on


def _too_much(load: float) -> Found:
    because = f"the requests take {load:.3g} times the hours there are; one GPU cannot serve them"
    return Found(Verdict.IMPOSSIBLE, load, "", because)


def _started_cost(claim: Claim) -> Found:
    f = claim.figures
    load, on = _on_fraction(f)
    if load >= 1:
        return _too_much(load)
    hours = on * f["hours_per_day"] * f["days"]
    cost = hours * f["rate"]
    because = f"requests at random over {f['hours_per_day']:g} h a day, each start {f['cold_start_seconds']:g} s: {hours:.4g} h are billed for {load * f['hours_per_day'] * f['days']:.4g} h of work"  # fmt: skip
    return Found(_agree(claim, f["cost"], cost), cost, "currency", because)


def _started_utilization(claim: Claim) -> Found:
    f = claim.figures
    load, on = _on_fraction(f)
    if load >= 1:
        return _too_much(load)
    most = load / on
    above = f["utilization"] > most * (1 + claim.tolerance)
    because = f"requests at random over {f['hours_per_day']:g} h a day, each start {f['cold_start_seconds']:g} s: {most:.1%} of what is billed is work; only one batch a day comes near 100 %"  # fmt: skip
    return Found(_unless(above, Verdict.INCONSISTENT), most, "", because)


def _roofline(claim: Claim) -> tuple[roofline.Gpu, float]:
    f = claim.figures
    try:
        gpu = roofline.gpu(claim.gpu)
    except SettingError as error:
        raise PlanError(f"{claim.where}: {error}") from error
    flop = roofline.picture_flop(
        math.ceil(f["width"]),
        math.ceil(f["height"]),
        math.ceil(f["forwards"]),
        parameters=math.ceil(f["parameters"]),
        caption_tokens=math.ceil(f["caption_tokens"]),
    )
    return gpu, flop


def _rate(claim: Claim) -> Found:
    f = claim.figures
    gpu, flop = _roofline(claim)
    line = roofline.against(f["images_per_second"], flop, gpu, math.ceil(f["gpus"]))
    because = f"{flop / 1e12:.3g} TFLOP a picture, {line.gpus} x {gpu.peak / 1e12:g} TFLOP/s ({gpu.name}; {gpu.source}): at most {line.limit:.3g} a second, and {line.ratio:.3g} times that is stated"  # fmt: skip
    return Found(_unless(not line.possible, Verdict.IMPOSSIBLE), line.limit, "images/s", because)


def _picture_seconds(claim: Claim) -> Found:
    gpu, flop = _roofline(claim)
    least = flop / gpu.peak
    because = f"{flop / 1e12:.3g} TFLOP at {gpu.peak / 1e12:g} TFLOP/s ({gpu.name}; {gpu.source}) take at least {least:.3g} s"  # fmt: skip
    below = claim.figures["seconds"] < least
    return Found(_unless(below, Verdict.IMPOSSIBLE), least, "s", because)


def _speedup(claim: Claim) -> Found:
    f = claim.figures
    least = f["seconds_before"] / f["gpus"]
    because = f"{f['gpus']:g} GPUs bring {f['seconds_before']:g} s to {least:.3g} s at best"
    below = f["seconds_after"] < least * (1 - claim.tolerance)
    return Found(_unless(below, Verdict.INCONSISTENT), least, "s", because)


def _side_by_side(claim: Claim) -> Found:
    f = claim.figures
    least = f["concurrency"] * f["seconds_alone"]
    because = f"a GPU that takes {f['seconds_alone']:g} s for one picture takes {least:.4g} s for {f['concurrency']:g} at once, unless one alone leaves most of it idle: {f['concurrency'] * 3600 / f['seconds']:.0f} an hour are stated, {3600 / f['seconds_alone']:.0f} is what it makes"  # fmt: skip
    below = f["seconds"] < least * (1 - claim.tolerance)
    return Found(_unless(below, Verdict.INCONSISTENT), least, "s", because)


def _little(claim: Claim) -> Found:
    f = claim.figures
    rate = f["concurrency"] / f["seconds"]
    because = f"{f['concurrency']:g} at once, {f['seconds']:g} s each, are {rate:.3g} a second (Little's law)"  # fmt: skip
    return Found(_agree(claim, f["images_per_second"], rate), rate, "images/s", because)


def _queued(claim: Claim) -> Found:
    f = claim.figures
    alone, load = f["seconds_alone"], f["utilization"]
    if load >= 1:
        return Found(Verdict.IMPOSSIBLE, load, "", "at 100 % utilization a queue grows without end")
    fixed, shared = alone * (1 + load / (2 * (1 - load))), alone / (1 - load)
    fits = 1 - alone / f["seconds"] if f["seconds"] > alone else 0.0
    because = f"with random arrivals at {load:.0%} a request takes {fixed:.3g} s one after the other (M/D/1) and {shared:.3g} s side by side (M/G/1-PS); the stated time fits {fits:.1%}"  # fmt: skip
    below = f["seconds"] < fixed * (1 - claim.tolerance)
    return Found(_unless(below, Verdict.INCONSISTENT), fixed, "s", because)


def _busy_share(claim: Claim) -> Found:
    f = claim.figures
    share = f["busy_hours"] / f["hours"]
    if share > 1:
        because = f"{f['busy_hours']:g} h of work do not fit in {f['hours']:g} h"
        return Found(Verdict.IMPOSSIBLE, share, "", because)
    because = f"{f['busy_hours']:g} h of {f['hours']:g} h are {share:.1%}"
    return Found(_agree(claim, f["utilization"], share), share, "", because)


def _busy_hours(claim: Claim) -> Found:
    f = claim.figures
    hours = f["requests_per_day"] * f["seconds"] * f["days"] / 3600
    because = f"{f['requests_per_day']:g} requests of {f['seconds']:g} s on {f['days']:g} days are {hours:.4g} h"  # fmt: skip
    return Found(_agree(claim, f["busy_hours"], hours), hours, "h", because)


def _fit(claim: Claim) -> Found:
    f = claim.figures
    share = f["copies"] * f["used"] / f["available"]
    because = f"{f['copies']:g} x {f['used']:g} is {share:.0%} of {f['available']:g}; {math.floor(f['available'] / f['used'])} fit"  # fmt: skip
    return Found(_unless(share > 1, Verdict.IMPOSSIBLE), share, "", because)


def _weights(claim: Claim) -> Found:
    f = claim.figures
    gib = f["parameters"] * f["bytes_per_parameter"] / 1024**3
    because = f"{f['parameters'] / 1e9:.3g} billion weights of {f['bytes_per_parameter']:g} bytes take {gib:.3g} GiB before anything is computed"  # fmt: skip
    return Found(_unless(gib > f["memory_gib"], Verdict.IMPOSSIBLE), gib, "GiB", because)


_COLD = ("requests_per_day", "seconds", "hours_per_day", "cold_start_seconds")
_ALWAYS = {"idle_timeout_seconds": 0.0}
_FULLER = ("cost_before", "utilization_before", "utilization_after")
# fmt: off
_FORMS: tuple[tuple[Form, Check], ...] = (
    (Form("cost", "cost", ("hours", "rate"), {}), _hours_cost),
    (Form("cost", "saving", ("cost_before", "cost_after"), {}), _saving),
    (Form("cost", "cost_per_1000_images", ("seconds_per_image", "utilization", "rate"), {}), _picture_cost),
    (Form("cost", "cost_after", _FULLER, {"seconds_before": 1.0, "seconds_after": 1.0}), _fuller_cost),
    (Form("cost", "rent", ("rate",), _DAYS), _rent),
    (Form("cost", "cost", (*_COLD, "rate"), _DAYS | _ALWAYS), _started_cost),
    (Form("throughput", "images_per_second", _SHAPE, {"gpus": 1.0, **_MODEL}), _rate),
    (Form("throughput", "seconds_after", ("seconds_before", "gpus"), {}), _speedup),
    (Form("throughput", "seconds", ("concurrency", "seconds_alone"), {}), _side_by_side),
    (Form("throughput", "images_per_second", ("concurrency", "seconds"), {}), _little),
    (Form("latency", "seconds", _SHAPE, _MODEL), _picture_seconds),
    (Form("latency", "seconds", ("seconds_alone", "utilization"), {}), _queued),
    (Form("utilization", "utilization", ("busy_hours", "hours"), {}), _busy_share),
    (Form("utilization", "busy_hours", ("requests_per_day", "seconds"), {"days": 1.0}), _busy_hours),
    (Form("utilization", "utilization", _COLD, _ALWAYS), _started_utilization),
    (Form("utilization", "used", ("available",), {"copies": 1.0}), _fit),
    (Form("utilization", "memory_gib", ("parameters",), {"bytes_per_parameter": 2.0}), _weights),
)
# fmt: on
KINDS: dict[str, tuple[Form, ...]] = {
    kind: tuple(form for form, _ in _FORMS if form.kind == kind)
    for kind in dict.fromkeys(form.kind for form, _ in _FORMS)
}
