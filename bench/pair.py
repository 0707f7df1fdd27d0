"""What two Alertmanagers of a cluster post about one alert, beside what our webhook makes of it.

Also what one does with each answer. Takes four minutes.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import common


common.support()

from alerts import routes  # noqa: E402  (support comes from the tests)
from alerts.levels import Bounds  # noqa: E402  (support comes from the tests)
from alerts.objectives import Slo  # noqa: E402  (support comes from the tests)
from alerts.routes import Pace, Routing  # noqa: E402  (support comes from the tests)
from lightmeter.catalog import WEBHOOK_ALERTS, AlertResult  # noqa: E402  (support comes from the tests)  # fmt: skip
from support.alerting import Alertmanager, Hook, Taker, every_alert, free_port, told, write  # noqa: E402  (support comes from the tests)  # fmt: skip
from support.debian import need  # noqa: E402  (support comes from the tests)


REPEAT, FIRING_SECONDS, AFTER_SECONDS, ANSWER_SECONDS = "45s", 100.0, 35.0, 6.0
ANSWERS = (200, 400, 401, 408, 413, 429, 500, 503)


def main() -> None:
    """Let a pair tell of one alert with the scaler's paces, and one Alertmanager meet each answer."""
    args = common.arguments(__doc__)
    pair = _pair()
    failures = [] if pair["ours"].count("1 began") == pair["ours"].count("1 ended") == 1 else ["one alert was not one level"]  # fmt: skip
    rows = [pair, *map(_answered, ANSWERS)]
    common.finish(args, common.machine() | {"Alertmanager": _version()}, rows, failures)


def _version() -> str:
    program = need("prometheus-alertmanager", "prometheus-alertmanager")
    return common.run(program, "--version")[1].split()[2]


def _alert() -> dict[str, Any]:
    missing = next(one for one in every_alert() if one.name == "LightmeterMetricsMissing")
    return told(missing) | {"startsAt": _moment()}


def _moment() -> str:
    return datetime.now(UTC).isoformat()


def _written(folder: Path, pace: Pace, scaler: str, pages: str) -> Path:
    (folder / "token").write_text("0123456789abcdef")
    routing = Routing(scaler, str(folder / "token"), pace, pace, pace, pace)
    write(folder / "routes", routes.alertmanager(Slo(), routing), pages=pages)
    return folder / "routes" / "webhook.yaml"


def _pair() -> dict[str, Any]:
    """Tell both of one alert, and then that it is over; the plain receiver gets what ours gets."""
    paces, ports = Routing().scaler, (free_port(), free_port())
    pace = Pace(paces.wait, paces.interval, REPEAT)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "token").write_text("0123456789abcdef")
        hook = stack.enter_context(Hook(Bounds(age_seconds=360.0), folder / "token"))
        taker = stack.enter_context(Taker())
        config = _written(folder, pace, hook.url, f"{taker.url}/pages")
        pair = [stack.enter_context(Alertmanager(folder / str(port), config, port, ports)).ready() for port in ports]  # fmt: skip
        time.sleep(5)  # they find each other
        alert = _alert()
        for more, seconds in ({}, FIRING_SECONDS), ({"endsAt": ""}, AFTER_SECONDS):
            for one in pair:
                one.tell([alert | {key: _moment() for key in more}])
            time.sleep(seconds)
        posted = [message["status"] for _, message in taker.messages]
        counted = {word: hook.count(WEBHOOK_ALERTS, word) for word in AlertResult}
    return {
        "what": "a pair, one alert",
        "posts": len(posted),
        "in order": " ".join(posted),
        "ours": ", ".join(f"{count:.0f} {word}" for word, count in counted.items() if count),
    }


def _answered(status: int) -> dict[str, Any]:
    """Count the posts of one message within some seconds."""
    with tempfile.TemporaryDirectory() as name, Taker(status) as taker:
        config = _written(Path(name), Pace("0s", "30s", "1h"), f"{taker.url}/scaler", f"{taker.url}/pages")  # fmt: skip
        with Alertmanager(Path(name) / "am", config).ready() as alertmanager:
            alertmanager.tell([_alert()])
            time.sleep(ANSWER_SECONDS)
        posts = [path for path, _ in taker.messages if path == "/scaler"]
    return {"what": f"answered {status}", "posts": len(posts), "in order": "", "ours": ""}


if __name__ == "__main__":
    main()
