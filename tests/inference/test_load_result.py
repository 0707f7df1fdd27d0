"""What is made of a run: latencies, coordinated omission, limits, the physical limit, the text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.load import facts, judge, log, plot, report, session, tally
from inference.load.asks import Ask, Mix, Shape
from inference.load.drive import Done, End
from inference.load.judge import Limit
from inference.load.session import Job, Outcome
from inference.load.tally import Run
from lightmeter import roofline
from lightmeter.errors import InputError, SettingError
from lightmeter.settings_load import Load
from support import rows


ASK = Ask(at=0.0, body=b"{}", width=512, height=512, steps=8, images=1, priority=None)
CLOSED = Run(loop="closed", clients=1, began=0.0, ended=10.0, interrupted=False, cpu_seconds=1.0)
OPEN = Run(loop="open", clients=1, began=0.0, ended=10.0, interrupted=False, cpu_seconds=1.0)


def done(
    sent: float, seconds: float, *, due: float | None = None, pictures: int = 1, **more: Any
) -> Done:
    """Make a request that was answered after so many seconds."""
    values: dict[str, Any] = {"end": End.OK, "status": 200, "warmup": False} | more
    found = facts.Facts(pictures=pictures, queue_seconds=0.1, gpu_seconds=0.2)
    return Done(ask=ASK, due=sent if due is None else due, sent=sent, ended=sent + seconds, facts=found, **values)  # fmt: skip


def failed(status: int, **more: Any) -> Done:
    return done(0.0, 0.01, pictures=0, status=status, end=End.FAILED, **more)


def outcome(every: Sequence[Done], run: Run = OPEN, **settings: Any) -> Outcome:
    limits = judge.parse(settings.pop("check")) if "check" in settings else []
    load = Load(**settings, rps=float(run.loop == "open"))
    job = Job(load, Mix(shapes=(Shape(512, 512, 8),)), limits=limits)
    result = session.document(job, list(every), run, model=settings.get("model"), at=rows.START)
    return Outcome(result, list(every), run)


def test_back_filled() -> None:
    """The example of HdrHistogram's own tests: 100 s of 1 ms answers, then a pause of 100 s."""
    found = tally.back_filled(np.array([0.001] * 10_000 + [100.0]), 0.010)

    assert 20_000 == len(found)
    ranks = np.quantile(found, [0.30, 0.50, 0.75, 0.90, 0.99], method="inverted_cdf")
    assert pytest.approx([0.001, 0.001, 50.0, 80.0, 98.0], rel=0.01) == list(ranks)


@pytest.mark.parametrize(
    ("expected", "latency"),
    [([1.0], 1.0), ([1.9], 1.9), ([2.0, 1.0], 2.0), ([3.5, 2.5, 1.5], 3.5), ([0.1], 0.1)],
)
def test_back_filled_steps(expected: list[float], latency: float) -> None:
    """A latency brings with it those of the requests that it kept from being sent."""
    assert pytest.approx(expected) == list(tally.back_filled(np.array([latency]), 1.0))


def test_nothing_to_correct() -> None:
    """A client that never waited long omitted nothing."""
    calm = [done(at / 10, 0.1) for at in range(100)]
    latency = outcome(calm, CLOSED).result["latency_seconds"]

    assert latency["measured"] == latency["corrected"]


def test_stall_in_closed_loop() -> None:
    """A server that stalls for a second in ten is seen by one request in a thousand, and corrected to a tenth."""
    stalled = [done(at / 100, 0.01) for at in range(900)] + [done(9.0, 1.0)]
    found = tally.corrected(stalled, CLOSED)

    assert 1 == sum(tally.measured(stalled) > 0.1)
    assert 0.07 < np.mean(found > 0.1) < 0.1
    assert outcome(stalled, CLOSED).result["latency_seconds"]["measured"]["p99"] < 0.02
    assert outcome(stalled, CLOSED).result["latency_seconds"]["corrected"]["p99"] > 0.8


def test_late_in_open_loop() -> None:
    """In the open loop the corrected latency begins when the request was due, the measured one when it left."""
    latency = outcome([done(2.0, 0.5, due=1.0)]).result["latency_seconds"]

    assert (0.5, 1.5) == (latency["measured"]["max"], latency["corrected"]["max"])
    assert "due" in latency["correction"]


def test_counts() -> None:
    """Each request counts once, by how it ended; the warm-up counts nowhere but as warm-up."""
    every = [
        done(0.0, 9.0, warmup=True),
        done(1.0, 1.0, pictures=2),
        done(2.0, 3.0),
        failed(429, retry_after=2.0),
        failed(429),
        failed(0, problem="no connection"),
        done(3.0, 0.0, end=End.UNSENT, status=None, pictures=0),
        done(3.0, 1.0, end=End.ABANDONED, status=None, pictures=0),
    ]
    result = outcome(every).result

    assert {"due": 7, "ok": 2, "failed": 3, "unsent": 1, "abandoned": 1, "warmup": 1} == result["requests"]  # fmt: skip
    assert 3 == result["pictures"]
    assert pytest.approx((0.2, 0.3)) == (
        result["throughput"]["requests_per_second"],
        result["throughput"]["pictures_per_second"],
    )
    assert pytest.approx(3 * 0.512**2 * 8 / 10) == result["throughput"]["megapixel_forwards_per_second"]  # fmt: skip
    assert 3.0 == result["latency_seconds"]["measured"]["max"]
    assert 0.1 == result["queue_seconds"]["p50"]
    refused, broken = result["errors"]
    assert (429, 2, 1) == (refused["status"], refused["count"], refused["with_retry_after"])
    assert (None, "no connection") == (broken["status"], broken["message"])
    assert ["not sent", "given up"] == [
        word for note in result["notes"] for word in ("not sent", "given up") if word in note
    ]


def test_offered() -> None:
    """The offered rate is that of the time in which requests were due, however long the answers took."""
    every = [done(at / 4, 60.0) for at in range(9)]
    found = outcome(every).result

    assert 4.0 == found["throughput"]["offered_requests_per_second"]
    assert "9     4 a second" in report.text(found, every)
    assert outcome(every[:1]).result["throughput"]["offered_requests_per_second"] is None


def test_long_latencies() -> None:
    """Minutes stay apart from their neighbours in the table."""
    every = [done(0.0, seconds) for seconds in (0.01, 125.0, 130.0)]
    row = next(line for line in report.text(outcome(every).result, every).splitlines() if "as measured" in line)  # fmt: skip

    assert 7 == len(re.split(r"  +", row.strip()))


def test_unknown_is_null() -> None:
    """What no answer tells is null, never zero."""
    bare = done(0.0, 1.0)
    bare.ask = Ask(at=0.0, body=b"", width=None, height=None, steps=None, images=1, priority=None)
    bare.facts = facts.Facts(pictures=1)
    result = outcome([bare], gpu="T4").result

    assert result["throughput"]["megapixel_forwards_per_second"] is None
    assert result["queue_seconds"] is result["gpu_seconds"] is result["retries"] is None
    assert "neither the answers" in result["roofline"]["skipped"]


def test_nothing_answered() -> None:
    """A run without an answer has a result all the same."""
    result = outcome([failed(503)], check="p95=1s,errors=1%,rate=1").result

    assert result["latency_seconds"]["measured"] is None
    assert [False] * 3 == [check["holds"] for check in result["checks"]]
    assert "status 503" in report.text(result, [])
    assert outcome([]).result["requests"]["due"] == 0


def test_retries() -> None:
    """Of the refused requests, the share is told that was made at the first retry."""
    every = [done(0, 1, first_status=429), done(0, 1, first_status=503), failed(429, first_status=429), done(0, 1)]  # fmt: skip
    found = outcome(every, retry=True)

    assert {"refused": 3, "made_at_first_retry": 2, "success_ratio": 2 / 3} == found.result["retries"]  # fmt: skip
    assert "3 requests, 2 of them answered (66.7 %)" in report.text(found.result, found.done)
    assert None is outcome([done(0, 1)], retry=True).result["retries"]["success_ratio"]


def test_checks() -> None:
    """Latencies and errors have an upper limit, the rate a lower one; each tells what was found."""
    every = [done(at, 0.5) for at in range(9)] + [failed(500)]
    found = outcome(every, check="p95=1s,mean=400ms,errors=10%,errors=0.05,rate=0.5,rate=2")

    assert [True, False, True, False, True, False] == [c["holds"] for c in found.result["checks"]]
    assert {"check": "errors", "at_most": 0.05, "found": pytest.approx(0.1), "holds": False} == found.result["checks"][3]  # fmt: skip
    text = report.text(found.result, found.done)
    assert "check p95: 500 ms, at most 1 s: ok" in text
    assert "check rate: 0.9 a second, at least 2 a second: MISSED" in text


def test_check_of_omitted() -> None:
    """A limit in the open loop is held against the latency from the due time."""
    late = [done(2.0, 0.5, due=1.0)]

    assert [False] == [check["holds"] for check in outcome(late, check="p50=1s").result["checks"]]
    assert [True] == [check["holds"] for check in outcome(late, CLOSED, check="p50=1s").result["checks"]]  # fmt: skip


def test_unsent_is_an_error() -> None:
    """A request that could not be sent counts as not answered; one given up by Ctrl-C does not."""
    every = [done(0, 1), done(1, 0, end=End.UNSENT), done(1, 0, end=End.ABANDONED)]

    assert pytest.approx(0.5) == outcome(every, check="errors=1").result["checks"][0]["found"]


@pytest.mark.parametrize("text", ["", "p95", "p95=", "p96=1s", "p95=soon", "errors=2", "errors=x", "rate=-1", "rate=nan", "p95=1s;errors=1%"])  # fmt: skip
def test_check_refused(text: str) -> None:
    """A limit that is none is refused with what can be checked, before anything is sent."""
    with pytest.raises(SettingError, match=r"write it like"):
        judge.parse(text)


def test_check_parsed() -> None:
    """Limits are separated by commas; per cent and ratios are the same."""
    assert [Limit("p99", 0.25), Limit("errors", 0.01), Limit("errors", 0.01)] == judge.parse("p99=250ms, errors=1%,errors=0.01")  # fmt: skip


def test_physical_limit() -> None:
    """Thirty pictures a second on two RTX 3090 are called impossible; a tenth of one is not."""
    many = [done(at / 30, 0.1) for at in range(300)]
    claim = outcome(many, gpu="RTX 3090", gpus=2)
    modest = outcome(many[:1], gpu="RTX 3090", gpus=2)

    assert not claim.result["roofline"]["possible"]
    limit = 2 * 71e12 / roofline.picture_flop(512, 512, 8)
    assert pytest.approx(limit) == claim.result["roofline"]["limit_pictures_per_second"]
    text = report.text(claim.result, claim.done)
    assert "measured 30 pictures/s, physical limit of Z-Image 1.33 pictures/s on 2 x RTX 3090" in text  # fmt: skip
    assert "impossible: measured above the limit" in text
    assert modest.result["roofline"]["possible"]
    assert "impossible" not in report.text(modest.result, modest.done)


def test_physical_limit_of_a_stand_in() -> None:
    """That the served model is no Z-Image is said; without a GPU it is not even mentioned."""
    still = outcome([done(0, 1)], gpu="T4", model="still")
    quiet = outcome([done(0, 1)], model="still")
    other = outcome([done(0, 1)], model="Z-Image-Turbo")

    assert "of no meaning: the served model is 'still', not Z-Image" in report.text(still.result, still.done)  # fmt: skip
    assert "physical limit" not in report.text(quiet.result, quiet.done)
    assert "physical limit: not computed, no --gpu is named" in report.text(other.result, other.done)  # fmt: skip


def test_busy_client() -> None:
    """A client that may have measured itself says so; a light one does not."""
    busy = Run(loop="closed", clients=1, began=0, ended=10, interrupted=False, cpu_seconds=9.5)

    assert "95% of a core" in outcome([done(0, 1)], busy).result["notes"][0]
    assert [] == outcome([done(0, 1)], CLOSED).result["notes"]


def test_histogram() -> None:
    """The histogram holds every request once, however they are spread."""
    for seconds in ([0.01], [0.5] * 7, [0.01, 0.02, 5.0], list(np.geomspace(1e-3, 100, 500))):
        lines = list(report.histogram(np.array(seconds)))
        assert len(seconds) == sum(int(line.split()[-1].replace(",", "")) for line in lines)
        assert len(lines) <= report.BINS
    assert [] == list(report.histogram(np.array([])))


def test_text() -> None:
    """The text tells which latency is which, and the histogram."""
    found = outcome([done(at / 10, 0.1 + at / 1000) for at in range(50)])
    text = report.text(found.result, found.done)

    assert "open loop, 1 requests a second, poisson" in text
    assert re.search(r"as measured +12[45] ms +12[45] ms", text)
    assert "corrected for coordinated omission: from the moment that the request was due" in text
    assert "#" in text


def test_log_line() -> None:
    """A line of the log is flat JSON with the same fields for every request."""
    good, bad = log.line(done(1.0, 0.5)), log.line(failed(429, retry_after=3.0))

    assert list(good) == list(bad)
    assert ("ok", 0.5, None) == (good["end"], good["latency_seconds"], good["problem"])
    assert (429, 3.0) == (bad["status"], bad["retry_after_seconds"])
    assert good == json.loads(json.dumps(good))


@pytest.mark.parametrize("kind", plot.KINDS)
def test_plot(kind: str, tmp_path: Path) -> None:
    """The chart is drawn, with failures and without any answer too."""
    for name, every in (("a", [done(0, 1), done(1, 2), failed(500)]), ("b", [failed(500)])):
        path = tmp_path / f"{name}{kind}"
        plot.check(path)
        plot.write(path, outcome(every))
        assert path.stat().st_size > 1000


@pytest.mark.parametrize("name", ["chart.pdf", "chart", "absent/chart.png"])
def test_plot_refused(name: str, tmp_path: Path) -> None:
    """A chart that could not be written is refused before the load."""
    with pytest.raises(InputError, match="plot"):
        plot.check(tmp_path / name)


@pytest.mark.parametrize(
    ("expected", "body"),
    [
        (0, b""),
        (0, b"[]"),
        (0, b"not json"),
        (0, b"[" * 100_000),
        (0, b'{"data": {"b64_json": "x"}}'),
        (0, b'{"data": [7, null, {}, {"b64_json": ""}]}'),
        (1, b'{"data": [{"url": "http://x/y.png"}]}'),
        (2, b'{"data": [{"b64_json": "x"}, {"b64_json": "y"}], "usage": 5, "timings": "soon"}'),
        (1, b'{"data": [{"b64_json": "x"}], "usage": {"gpu_seconds": true, "forwards": -1}, "size": 9}'),
    ],
)  # fmt: skip
def test_odd_answers(expected: int, body: bytes) -> None:
    """An answer of any form is read without an error; only real pictures count."""
    found = facts.read(body)

    assert expected == found.pictures
    assert (None, None, None) == (found.queue_seconds, found.gpu_seconds, found.forwards)


def test_answer() -> None:
    """What a lightmeter server tells of a request is taken over."""
    body = {
        "id": "img_1",
        "size": "64x32",
        "data": [{"b64_json": "x"}],
        "usage": {"gpu_seconds": 0.5, "forwards": 8, "batch_size": 4},
        "timings": {"queue": 0.25},
    }

    assert facts.Facts(1, "img_1", 64, 32, 8, 4, 0.25, 0.5) == facts.read(json.dumps(body).encode())
    refused = facts.read(b'{"error": {"message": "the queue is full"}}')
    assert "the queue is full" == refused.message
