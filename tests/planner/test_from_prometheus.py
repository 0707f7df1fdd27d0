"""Importing from a Prometheus: what becomes of its counters, and what is said of what it lacks."""

from __future__ import annotations

import http.server
import itertools
import json
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from lightmeter import cli
from lightmeter.catalog import GPU_SECONDS, REQUESTS, STAGE_DURATION
from lightmeter.errors import HistoryError, ServerError
from lightmeter.history import History
from planner import counters, from_prometheus, promql
from planner.promql import Floats, Grid, Series
from support.debian import need


sys.path.append(str(Path(__file__).parents[2]))
from bench import series as past


FIRST = datetime(2026, 11, 3, tzinfo=UTC)
STEP = 60.0


def series(*values: float, first: float = 0.0) -> Series:
    """Make a counter of these values, a minute apart; NaN is no sample."""
    times: Floats = first + STEP * np.arange(len(values), dtype=np.float64)
    known = ~np.isnan(values)
    return Series({"outcome": "ok"}, times[known], np.array(values, dtype=np.float64)[known])


NONE = float("nan")


@pytest.mark.parametrize(
    ("counter", "spans"),
    [
        (series(5, 5, 7, 7, 8), [(60, 120, 2), (180, 240, 1)]),
        (series(5, 6, 2, 3), [(0, 60, 1), (60, 120, 2), (120, 180, 1)]),
        (series(5, NONE, NONE, 9), [(0, 180, 4)]),
        (series(5), []),
        (series(3, 4, first=120), [(60, 120, 3), (120, 180, 1)]),
        (series(0, 4, first=120), [(120, 180, 4)]),
    ],
    ids=["grows", "reset", "gap", "one sample", "begins later", "begins at zero"],
)
def test_grown(counter: Series, spans: list[tuple[float, float, int]]) -> None:
    """A reset, a gap and a process that began later cost no request and make none up."""
    assert spans == list(zip(*counters.grown(counter, 0.0, STEP), strict=True))


def test_events() -> None:
    """Events lie within their span, are spread over it, and are the same when made again."""
    counter = series(0, 1000, 1000, 1010)
    made = counters.events(counter, 0.0, STEP)
    part = counters.events(series(1000, 1010, first=120), 120.0, STEP)

    assert 1010 == len(made.when) == len(set(made.names))
    assert (True, True) == (0 < made.when[:1000].min(), made.when[:1000].max() < 60)
    assert 28 < made.when[:1000].mean() < 32
    assert 120 < made.when[1000:].min()
    assert made.when[1000:].tolist() == part.when.tolist()
    assert made.names[1000:] == part.names


def test_shape() -> None:
    """Times drawn from a histogram follow its buckets; above the last bound they lie on it."""
    shape = counters.shape([(1.0, 50.0), (4.0, 100.0), (float("inf"), 100.0)])
    assert shape is not None
    drawn = shape.drawn(np.array([0.25, 0.5, 0.75]))
    above = counters.shape([(1.0, 0.0), (float("inf"), 10.0)])
    assert above is not None

    assert [0.5, 1.0, 2.5] == drawn.tolist()
    assert 1.5 == shape.mean
    assert [1.0] == above.drawn(np.array([0.5])).tolist()
    assert counters.shape([(1.0, 0.0), (float("inf"), 0.0)]) is None


def test_gaps() -> None:
    """Times without any series are gaps; a sample that is late by one step is none."""
    whole = series(*[1.0] * 11)
    torn = series(1, NONE, 1, NONE, NONE, NONE, 1, 1, 1, NONE, NONE)

    assert [] == counters.gaps([whole], 0.0, 600.0, STEP)
    assert [(120, 360), (480, 600)] == counters.gaps([torn], 0.0, 600.0, STEP)
    assert [] == counters.gaps([torn, whole], 0.0, 600.0, STEP)


def test_parts() -> None:
    """No part of a long range holds more points than an answer may, and none is asked for twice."""
    parts = list(Grid(0.0, 30 * 86_400.0, STEP).parts())
    points = [round((part.last - part.first) / STEP) + 1 for part in parts]

    assert 43_201 == sum(points)
    assert promql.MOST_POINTS == max(points)
    assert all(b.first - a.last == STEP for a, b in itertools.pairwise(parts))


def test_moments() -> None:
    """Times are dates, instants, or durations back from now; ranges begin with a whole day."""
    now = datetime(2026, 11, 20, 12, 30, 45, tzinfo=UTC)
    span = from_prometheus.days(from_prometheus.moment("2d", now), now, STEP)

    assert datetime(2026, 11, 1, tzinfo=UTC) == from_prometheus.moment("2026-11-01", now)
    assert datetime(2026, 11, 18, tzinfo=UTC).timestamp() == span.since
    assert (now - timedelta(seconds=45)).timestamp() == span.until
    for text in ("soon", "2026-13-01", "1e400d"):
        with pytest.raises(HistoryError, match="is not understood; write it like 2026-11-01"):
            from_prometheus.moment(text, now)
    with pytest.raises(HistoryError, match="does not divide a day"):
        from_prometheus.days(now, now, 7.0)
    with pytest.raises(HistoryError, match="nothing lies between"):
        from_prometheus.days(now, now - timedelta(days=2), STEP)


def labels(name: str, **more: str) -> str:
    """Write a series as text."""
    inner = {"service": "fox", "model": "z", "instance": "a:1"} | more
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in inner.items()) + "}"


def recorded() -> tuple[Floats, dict[str, Floats]]:
    """Make up six hours of a server: a request a minute, a restart, an outage, an error late."""
    times = FIRST.timestamp() + 22 * 3600 + STEP * np.arange(360, dtype=np.float64)
    ok = np.arange(len(times), dtype=np.float64)
    ok[60:] -= 60  # began again, and counted one request since
    error = np.where(np.arange(len(times)) < 240, np.nan, 3.0)  # a new process's, from zero
    out = slice(150, 180)
    ok[out] = np.nan
    stage = STAGE_DURATION.name
    served = np.maximum(np.nan_to_num(ok), 0)
    served[out] = np.nan
    found = {
        labels(REQUESTS.name, outcome="ok"): ok,
        labels(REQUESTS.name, outcome="error", instance="b:1"): error,
        labels(f"{stage}_count", stage="denoise"): served,
        labels(f"{stage}_sum", stage="denoise"): served * 3.0,
        labels(f"{stage}_sum", stage="vae_decode"): served * 1.0,
        labels(f"{stage}_sum", stage="queue"): served * 50.0,
        labels(GPU_SECONDS.name, kind="useful"): served * 2.0,
    }
    for bound, share in (("2.0", 0.25), ("4.0", 1.0), ("+Inf", 1.0)):
        found[labels(f"{stage}_bucket", stage="denoise", le=bound)] = served * share
    return times, found


@pytest.fixture(scope="module")
def prometheus() -> Iterator[str]:
    """Run a Prometheus that has `recorded` as its past."""
    need("prometheus", "prometheus")
    need("promtool", "prometheus")
    times, found = recorded()
    with past.prometheus(times, found, STEP) as running:
        yield running.url


def imported(
    capsys: pytest.CaptureFixture[str], url: str, out: Path, *more: str
) -> tuple[Any, str, str]:
    """Import from there; return the exit code and what was printed and said."""
    with pytest.raises(SystemExit) as end:
        cli.main(["history", "import", "prometheus", url, "--out", str(out), *more])
    return end.value.code, *capsys.readouterr()


RANGE = ("--since", "2026-11-02", "--until", "2026-11-05")


def rows(out: Path) -> pd.DataFrame:
    return History(out).frame(["service", "model", "outcome", "service_seconds", "gpu_seconds"])


def test_real(tmp_path: Path, prometheus: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each counted request is a row, through a restart and an outage; gaps and grade are said."""
    code, out, err = imported(capsys, prometheus, tmp_path / "h", *RANGE)
    found = rows(tmp_path / "h")
    counted = 59 + (359 - 60)

    assert 0 == code, err
    assert {"ok": counted, "error": 3} == Counter(found["outcome"])
    assert {("fox", "z")} == set(zip(found["service"], found["model"], strict=True))
    assert f"{counted + 3} rows imported" in out
    assert "holds nothing before 2026-11-03 22:00 UTC, asked from 2026-11-02 00:00 UTC" in err
    assert "no samples from 2026-11-04 00:3" in err
    assert "a lower grade than measured ones" in err
    served = found[found["outcome"] == "ok"]
    assert 3.75 < served["service_seconds"].mean() < 4.25
    assert 1.87 < served["gpu_seconds"].mean() < 2.13
    assert found["service_seconds"][found["outcome"] == "error"].isna().all()


def test_twice(tmp_path: Path, prometheus: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A range imported again, whole or in part, changes nothing."""
    imported(capsys, prometheus, tmp_path / "h", *RANGE)
    first = rows(tmp_path / "h")
    imported(capsys, f"{prometheus}/", tmp_path / "h", *RANGE)
    imported(capsys, prometheus, tmp_path / "h", "--since", "2026-11-04", "--until", "2026-11-05")

    pd.testing.assert_frame_equal(first, rows(tmp_path / "h"))


def test_part_gone(tmp_path: Path, prometheus: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A day of which less is left than was imported stays as it was, and that is said."""
    imported(capsys, prometheus, tmp_path / "h", *RANGE)
    before = len(rows(tmp_path / "h"))
    _, out, _ = imported(capsys, prometheus, tmp_path / "h", "--since", "2026-11-04", "--until", "2026-11-04T01:00", "--json")  # fmt: skip

    assert before == len(rows(tmp_path / "h"))
    assert any("2026-11-04 stays as it was" in note for note in json.loads(out)["notes"])


def test_nothing_there(tmp_path: Path, prometheus: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A range without requests is bad input, and nothing is written."""
    code, _, err = imported(capsys, prometheus, tmp_path / "h", "--since", "2025-01-01", "--until", "2025-01-03")  # fmt: skip

    assert (2, 1) == (code, err.count("\n"))
    assert f"has no {REQUESTS.name} between 2025-01-01 00:00 UTC and 2025-01-03 00:00 UTC" in err
    assert not (tmp_path / "h").exists()


def test_unreachable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Prometheus that is not there is an outside failure: exit code 3 and one line."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code, _, err = imported(capsys, f"http://127.0.0.1:{port}", tmp_path / "h")

    assert (3, 1) == (code, err.count("\n"))
    assert "cannot be reached" in err


BAD = {
    "localhost:9090": "URL 'localhost:9090' is no address; write it like http://",
    "http://x --step 7s": "step 7 s does not divide a day",
    "http://x --step soon": "duration 'soon' is not understood",
    "http://x --since soon": "time 'soon' is not understood",
    "http://x --bearer-token-file /nowhere": "bearer token file '/nowhere' does not exist",
    "http://x --service fox": "--service is for files",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    """What cannot be asked is refused before anybody is asked: exit code 2 and one line."""
    url, *options = words.split()
    code, _, err = imported(capsys, url, tmp_path / "h", *options)

    assert (2, 1) == (code, err.count("\n"))
    assert BAD[words] in err


class Guarded(http.server.BaseHTTPRequestHandler):
    """Stands below a path and asks for a token, as gateways do."""

    def do_GET(self) -> None:
        """Answer with no series, where the token is right."""
        known = self.headers["Authorization"] == "Bearer sesame"
        there = self.path.startswith("/select/0/prometheus/api/v1/query_range?")
        body = json.dumps({"status": "success", "data": {"result": []}}).encode()
        self.send_response(200 if known and there else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize(("token", "code", "said"), [("sesame\n", 2, "has no "), ("x", 3, "give --bearer-token-file")])  # fmt: skip
def test_token(  # noqa: PLR0917  (fixtures)
    tmp_path: Path, capsys: pytest.CaptureFixture[str], token: str, code: int, said: str
) -> None:
    """The token of the file is sent, and an address may have a path."""
    (tmp_path / "token").write_text(token)
    with http.server.HTTPServer(("127.0.0.1", 0), Guarded) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/select/0/prometheus"
        ended, _, err = imported(capsys, url, tmp_path / "h", "--bearer-token-file", str(tmp_path / "token"))  # fmt: skip
        server.shutdown()

    assert code == ended
    assert said in err


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(401), "wants to know who asks (status 401); give --bearer-token-file"),
        (httpx.Response(422, json={"status": "error", "error": "too many points"}), "refuses the query: too many points"),
        (httpx.Response(404, text="<html>"), "is no Prometheus API: status 404"),
        (httpx.Response(200, json={"data": []}), "is no Prometheus API: status 200"),
        (httpx.Response(200, json=[1]), "is no Prometheus API: status 200"),
        (httpx.Response(302, headers={"location": "https://y/"}), "has moved to https://y/; give that"),
    ],
)  # fmt: skip
def test_answers(answer: httpx.Response, said: str) -> None:
    """What an API answers instead of data is put in words."""
    api = promql.Api("http://user:secret@x/select/0/prometheus", "token")
    with pytest.raises(ServerError) as failure:
        api.result(answer)

    assert said in str(failure.value)
    assert "secret" not in str(failure.value)
