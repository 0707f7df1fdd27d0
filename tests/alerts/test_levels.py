"""What a message of Alertmanager means: levels that hold, told once or ten times."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.levels import Bounds, Known, Taken, parse, take
from lightmeter.catalog import AlertResult
from lightmeter.errors import WebhookError


BOUNDS = Bounds(age_seconds=360.0)
MEASURED: dict[str, Any] = {
    "receiver": "scaler", "status": "firing",
    "alerts": [{
        "status": "firing",
        "labels": {"alertname": "Backlog", "service": "shop", "scaling": "raise", "severity": "page"},
        "annotations": {"summary": "backlog exceeds drain time"},
        "startsAt": "2026-11-20T13:43:38.75621Z", "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prom.example/graph?g0.expr=x", "fingerprint": "802b9407ed51f235",
    }],
    "groupLabels": {"alertname": "Backlog", "service": "shop"}, "commonLabels": {}, "commonAnnotations": {},
    "externalURL": "http://alertmanager.example:9093", "version": "4",
    "groupKey": '{}/{scaling="raise"}:{alertname="Backlog", service="shop"}', "truncatedAlerts": 0,
}  # fmt: skip
"""As Alertmanager 0.25 sends it (measured 2026-11)."""
BEGIN = 1_795_182_218.75621
"""Its startsAt."""


def at(seconds: float) -> str:
    return datetime.fromtimestamp(BEGIN + seconds, UTC).isoformat()


def alert(status: str = "firing", since: float = 0, over: float | None = None, key: int = 1) -> dict[str, Any]:  # fmt: skip
    end = {} if over is None else {"endsAt": at(over)}
    return {"status": status, "labels": {"alertname": f"a{key}"}, "fingerprint": f"{key:016x}", "startsAt": at(since), **end}  # fmt: skip


def numbered(key: int) -> dict[str, Any]:
    return alert(key=key)


class Told:
    """What is known after some messages, at seconds after the first alert's begin."""

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self.known, self.bounds = Known(), bounds

    def tell(self, seconds: float, *alerts: dict[str, Any], **more: Any) -> Taken:
        """Tell a message."""
        message = parse(json.dumps({"alerts": alerts, **more}).encode())
        taken = take(self.known, message, now=BEGIN + seconds, bounds=self.bounds)
        self.known = taken.known
        return taken

    def holding(self, seconds: float) -> list[str]:
        """List what holds."""
        return [level.labels["alertname"] for level in self.known.at(BEGIN + seconds)]


def results(taken: Taken) -> dict[AlertResult, int]:
    return {word: count for word, count in taken.results.items() if count}


def result(taken: Taken) -> AlertResult:
    (word,) = results(taken)
    return word


def test_measured() -> None:
    """A real message is one level, with its labels, since its begin and not since it came."""
    taken = take(Known(), parse(json.dumps(MEASURED).encode()), now=BEGIN + 9, bounds=BOUNDS)
    (level,) = taken.known.at(BEGIN + 9)

    assert "802b9407ed51f235" == level.fingerprint
    assert "raise" == level.labels["scaling"]
    assert pytest.approx(BEGIN, abs=1e-5) == level.since
    assert (BEGIN + 9, BEGIN + 369) == (level.seen, level.until)
    assert (level,) == taken.began


def test_newer_alertmanager() -> None:
    """Fields that later versions add are not looked at; those that are missing do no harm."""
    newer = MEASURED | {"notification_reason": "x", "routeLabels": {}}
    bare = {"alerts": [{key: MEASURED["alerts"][0][key] for key in ("status", "labels", "startsAt", "fingerprint")}]}  # fmt: skip

    assert parse(json.dumps(newer).encode()).alerts[0].labels == parse(json.dumps(bare).encode()).alerts[0].labels  # fmt: skip
    assert () == parse(b'{"alerts": []}').alerts


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alerts": None}, "alerts is 'None': input should be a valid"),
        ({"version": "5"}, "version is '5': input should be '4'"),
        ({"alerts": [alert() | {"status": "suppressed"}]}, "alerts.0.status is 'suppressed': input should be 'firing' or 'resolved'"),
        ({"alerts": [alert(), alert() | {"fingerprint": "x"}]}, "alerts.1.fingerprint is 'x'"),
        ({"alerts": [alert() | {"startsAt": "now"}]}, "alerts.0.startsAt is 'now'"),
        ({"alerts": [alert() | {"startsAt": "2026-11-20T13:43:38"}]}, "should have timezone"),
        ({"alerts": [alert() | {"labels": {"a": 1}}]}, "alerts.0.labels.a is '1': input should be a valid string"),
        ({"truncatedAlerts": -1}, "truncatedAlerts is '-1'"),
    ],
)  # fmt: skip
def test_wrong(change: dict[str, Any], said: str) -> None:
    """What is needed and wrong is named, on one line."""
    with pytest.raises(WebhookError) as error:
        parse(json.dumps(MEASURED | change).encode())

    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"null", b"[" * 100_000, b'{"alerts": [{"labels": {"a": "\\ud800"}}]}'])  # fmt: skip
def test_no_message(body: bytes) -> None:
    """Anything at all is refused in words, and breaks nothing."""
    with pytest.raises(WebhookError, match="the body is no message of Alertmanager: "):
        parse(body)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["alerts", "status", "labels", "x"]), inner)).map(lambda value: json.dumps(value).encode()))  # fmt: skip
@settings(max_examples=50)
def test_any_body(body: bytes) -> None:
    """A body is a message or a WebhookError."""
    with contextlib.suppress(WebhookError):
        assert "4" == parse(body).version


def test_repeated() -> None:
    """Repetitions, and what each of a pair says for itself, refresh a level and are counted."""
    told = Told()
    told.tell(5, alert())

    assert {AlertResult.REPEATED: 1} == results(told.tell(300, alert()))
    assert {AlertResult.REPEATED: 2} == results(told.tell(600, alert(), alert()))
    assert ["a1"] == told.holding(900)
    assert [] == told.holding(961)


def test_own_status() -> None:
    """Each alert's own status counts, whatever the group's says."""
    told = Told()
    told.tell(5, alert(), alert(key=2), status="resolved")
    taken = told.tell(60, alert(), alert("resolved", over=50, key=2), status="firing")

    assert ["a1"] == told.holding(60)
    assert ["a2"] == [level.labels["alertname"] for level in taken.ended]


def test_resolved_is_final() -> None:
    """A firing that comes after the end does not bring an alert back; a new one does."""
    told = Told()
    told.tell(5, alert())
    assert AlertResult.ENDED is result(told.tell(30, alert("resolved", over=20)))

    assert AlertResult.OVER is result(told.tell(30.01, alert()))
    assert AlertResult.OVER is result(told.tell(30.02, alert("resolved", over=20)))
    assert [] == told.holding(31)
    assert AlertResult.BEGAN is result(told.tell(60, alert(since=50)))
    assert ["a1"] == told.holding(61)


def test_end_before_beginning() -> None:
    """An end that overtakes its beginning wins as well."""
    told = Told()

    assert AlertResult.OVER is result(told.tell(30, alert("resolved", over=20)))
    assert AlertResult.OVER is result(told.tell(30.01, alert()))
    assert [] == told.holding(31)


def test_old_end() -> None:
    """An end that comes late does not end what has begun since."""
    told = Told()
    told.tell(5, alert())
    told.tell(60, alert(since=50))

    assert AlertResult.OVER is result(told.tell(61, alert("resolved", over=20)))
    assert ["a1"] == told.holding(62)


def test_moved_begin() -> None:
    """Two Prometheuses see the begin at different moments; it is one level, and one end ends it."""
    told = Told()
    told.tell(8, alert(since=5))

    assert AlertResult.REPEATED is result(told.tell(20, alert(since=3)))
    assert AlertResult.ENDED is result(told.tell(60, alert("resolved", since=3, over=50)))
    assert AlertResult.OVER is result(told.tell(61, alert(since=5)))


def test_missed_end() -> None:
    """Where an end was lost, the next begin replaces the level."""
    told = Told()
    told.tell(5, alert())
    taken = told.tell(60, alert(since=50))

    assert ["a1"] == told.holding(60)
    assert (1, 1) == (len(taken.began), len(taken.ended))


def test_fast_clock() -> None:
    """An end in the future of our clock counts as now: another clock is fast."""
    told = Told()
    told.tell(5, alert())
    told.tell(30, alert("resolved", over=3000))

    assert AlertResult.BEGAN is result(told.tell(60, alert(since=40)))


def test_lapsed() -> None:
    """A level that is told of no more lapses, which is said with the next message."""
    told = Told()
    told.tell(5, alert())

    assert ["a1"] == told.holding(364)
    assert [] == told.holding(365)
    taken = told.tell(400, alert(key=2))
    assert ["a1"] == [level.labels["alertname"] for level in taken.lapsed]
    assert ["a2"] == told.holding(400)


def test_end_is_forgotten() -> None:
    """An alert that Alertmanager had given up itself counts again once its end is long past."""
    told = Told()
    told.tell(5, alert())
    told.tell(30, alert("resolved", over=20))

    assert AlertResult.OVER is result(told.tell(389, alert()))
    assert AlertResult.BEGAN is result(told.tell(391, alert()))


def test_truncated() -> None:
    """Alerts that Alertmanager left out are counted."""
    assert 7 == Told().tell(5, alert(), truncatedAlerts=7).results[AlertResult.TRUNCATED]


def test_bounded() -> None:
    """However many alerts come, with however many labels, memory is bounded; what holds stays."""
    told = Told(Bounds(age_seconds=360, levels=3, label_characters=100))
    taken = told.tell(5, *(alert(key=key) for key in range(10)))

    assert {AlertResult.BEGAN: 3, AlertResult.DROPPED: 7} == results(taken)
    assert {AlertResult.REPEATED: 3} == results(told.tell(6, *map(numbered, range(3))))
    long = alert(key=77) | {"labels": {"alertname": "x" * 100}}
    told.tell(7, alert("resolved", over=6, key=0))
    assert AlertResult.DROPPED is result(told.tell(8, long))
    told.tell(9, *(alert("resolved", over=8, key=key) for key in range(100, 200)))
    assert 3 == len(told.known.ends)
