"""Log lines: for people, or one JSON object each with the ids of the request that they belong to."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lightmeter import logs
from support.cli import lightmeter, python
from support.server import Server, eventually


JSON = "import logging, sys; from lightmeter import logs; logs.configure('json'); log = logging.getLogger('room')\n"


def lines(text: str) -> list[dict[str, Any]]:
    """Parse a log of one JSON object a line."""
    return [json.loads(line) for line in text.splitlines()]


def test_text(tmp_path: Path) -> None:
    """Unless told otherwise, a log line is for people."""
    with Server(tmp_path) as server:
        server.ready()
        assert eventually(lambda: server.log)

    assert re.search(r"^\d{4}-.* INFO inference\.\w+ worker w0 is ready", server.log[0])


@pytest.mark.parametrize("source", ["option", "variable", "file"])
def test_json(source: str, tmp_path: Path) -> None:
    """As JSON each line is an object, whichever way it was asked for."""
    (tmp_path / "json.toml").write_text('[log]\nformat = "json"\n')
    file = ["--config", str(tmp_path / "json.toml")] if source == "file" else []
    option = ["--log-format", "json"] if source == "option" else []
    variable = {"LIGHTMETER_LOG_FORMAT": "json"} if source == "variable" else {}
    with Server(tmp_path, before=[*file, *option], **variable) as server:
        server.ready()
        assert eventually(lambda: server.log)
    line = lines("".join(server.log))[0]

    assert ("info", True) == (line["level"], line["message"].startswith("worker w0 is ready"))
    assert {"time", "level", "logger", "message"} == set(line)
    assert line["time"].endswith("Z")
    assert abs(datetime.fromisoformat(line["time"]) - datetime.now(UTC)) < timedelta(minutes=5)


def test_option_wins(tmp_path: Path) -> None:
    """The command line wins over the environment."""
    before = ["--log-format", "text"]
    with Server(tmp_path, before=before, LIGHTMETER_LOG_FORMAT="json") as server:
        server.ready()
        assert eventually(lambda: server.log)

    assert not server.log[0].startswith("{")


@pytest.mark.parametrize(
    ("command", "word"),
    [("config show", "log.format is 'xml' (from LIGHTMETER_LOG_FORMAT): "), ("--log-format xml config show", "'xml'")],
)  # fmt: skip
def test_refused(command: str, word: str, tmp_path: Path) -> None:
    """A form that there is not is refused, with what is allowed."""
    ran = lightmeter(*command.split(), cwd=tmp_path, LIGHTMETER_LOG_FORMAT="xml")

    assert word in ran.refusal()
    assert "json" in ran.refusal()


def test_help_with_bad_settings(tmp_path: Path) -> None:
    """Help can be had whatever the configuration file says."""
    (tmp_path / "lightmeter.toml").write_text("[serve]\nprot = 1\n")

    assert 0 == lightmeter("serve", "--help", cwd=tmp_path).code
    assert "did you mean" in lightmeter("config", "show", cwd=tmp_path).refusal()


def test_exception() -> None:
    """An exception is a field of its line, traceback and all, and the line stays one line."""
    ran = python(
        JSON
        + "try: 1 / 0\nexcept ZeroDivisionError: log.exception('it\\nfailed %s', 'badly')\n"
        + "log.info('after')"
    )
    failed, after = lines(ran.err)

    assert ("it\nfailed badly", "error") == (failed["message"], failed["level"])
    assert failed["exception"].startswith("Traceback")
    assert "ZeroDivisionError" in failed["exception"]
    assert "exception" not in after


def test_ids() -> None:
    """A request's lines carry its ids, also from its tasks and threads; other lines do not."""
    ran = python(
        JSON
        + "import asyncio\n"
        + "async def one(name):\n"
        + "    with logs.about(request_id=name, trace_id='t' + name):\n"
        + "        await asyncio.sleep(0)\n"
        + "        await asyncio.to_thread(log.info, 'thread')\n"
        + "        await asyncio.create_task(later())\n"
        + "async def later(): log.info('task')\n"
        + "async def main():\n"
        + "    await asyncio.gather(one('a'), one('b'))\n"
        + "    log.info('nobody')\n"
        + "asyncio.run(main())"
    )
    found = lines(ran.err)

    assert [("task", "a"), ("task", "b"), ("thread", "a"), ("thread", "b")] == sorted(
        (line["message"], line["request_id"]) for line in found[:-1]
    )
    assert all(line["trace_id"] == "t" + line["request_id"] for line in found[:-1])
    assert ("nobody", False) == (found[-1]["message"], "request_id" in found[-1])


def test_fields() -> None:
    """A line may have fields of its own; what JSON has no form for is written as text."""
    ran = python(JSON + "log.info('x', extra={'fields': {'seconds': 0.5, 'path': {1, }}})")

    (line,) = lines(ran.err)
    assert (0.5, "{1}") == (line["seconds"], line["path"])


def test_all_that_is_said() -> None:
    """Warnings, foreign letters, a library's own lines and an uncaught exception are objects too."""
    ran = python(
        JSON
        + "import warnings; warnings.warn('old ways')\n"
        + "log.info('雨 \\udc80 \\x1b')\n"
        + "own = logging.getLogger('chatty'); own.addHandler(logging.StreamHandler()); own.propagate = False\n"
        + "logs.adopt('chatty'); logging.getLogger('chatty.part').warning('hello')\n"
        + "raise LookupError('lost')"
    )
    warning, foreign, library, uncaught = lines(ran.err)

    assert ("py.warnings", True) == (warning["logger"], "old ways" in warning["message"])
    assert "雨 \udc80 \x1b" == foreign["message"]
    assert ("chatty.part", "hello") == (library["logger"], library["message"])
    assert ("critical", True) == (uncaught["level"], "LookupError: lost" in uncaught["exception"])
    assert 1 == ran.code


@pytest.mark.parametrize("form", ["text", "json"])
def test_handed_on(form: str) -> None:
    """A process knows the form of its lines, so that those it starts can log alike."""
    ran = python(f"from lightmeter import logs; logs.configure('{form}'); print(logs.form())")

    assert f"{form}\n" == ran.out


def test_verbose() -> None:
    """Debug lines are shown only where asked for, and a library's chatter never."""
    said = "\nlog.debug('d'); log.info('i'); logging.getLogger('httpx').info('chatter')"
    quiet = python(JSON + said)
    loud = python(JSON.replace("'json'", "'json', verbose=True") + said)

    assert ["i"] == [line["message"] for line in lines(quiet.err)]
    assert ["d", "i"] == [line["message"] for line in lines(loud.err)]


def test_text_of_others() -> None:
    """What a client or an alert says can neither begin a line of its own nor move the cursor."""
    record = logging.LogRecord(
        "x", logging.INFO, "", 0, "alert %s", ("a\r\nb\x1b[31m\x85\u2028é",), None
    )
    line = logs.TextFormatter("%(message)s").format(record)

    assert r"alert a\r\nb\x1b[31m\x85\u2028é" == line
