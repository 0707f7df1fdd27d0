"""A month's report reaches its folder, its store and its webhook: once, whole, signed."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import fsspec
import pytest
import yaml

from lightmeter.cli.deliver import check_over, settled_month
from lightmeter.cli.plan_ import command
from lightmeter.configuration import variable
from lightmeter.errors import PlanError, ServerError, StoreError
from planner import deliver, report
from planner.deliver import Parcel
from support import rows
from support.cli import inside
from support.rows import DAY, every


PARCEL = Parcel("2026-10", {"plan.json": b"{}", "report.html": b"<p>"})


@pytest.fixture
def hook() -> Iterator[http.server.ThreadingHTTPServer]:
    """Keep what is posted; answer with the codes in ``codes``, then 200."""

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((dict(self.headers), body))
            self.send_response(codes.pop(0) if codes else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    heard: list[tuple[dict[str, str], bytes]] = []
    codes: list[int] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.heard, server.codes = heard, codes  # type: ignore[attr-defined]  # for the tests
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url(server: Any) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/secret-path"


def test_folder(tmp_path: Path) -> None:
    """The files lie in the month's folder with their checksums; nothing half written is left."""
    said = deliver.to_store(str(tmp_path), PARCEL)
    found = {path.name: path.read_bytes() for path in (tmp_path / "2026-10").iterdir()}

    assert said.endswith("2026-10 written")
    assert {"plan.json", "report.html", "manifest.json"} == found.keys()
    manifest = json.loads(found["manifest.json"])
    assert hashlib.sha256(b"{}").hexdigest() == manifest["files"]["plan.json"]
    assert PARCEL.id == manifest["id"]


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_again(scheme: str, tmp_path: Path) -> None:
    """The same report is recognised and left alone; another takes its place; a lost file comes back."""
    target = f"{scheme}://{tmp_path}"
    files, _ = fsspec.core.url_to_fs(target)
    other = Parcel("2026-10", {"plan.json": b"[]"})

    assert deliver.to_store(target, PARCEL).endswith("written")
    assert deliver.to_store(target, PARCEL).endswith("has this report already")
    assert deliver.to_store(target, other).endswith("replaced")
    assert b"[]" == files.cat_file(f"{tmp_path}/2026-10/plan.json")
    files.rm(f"{tmp_path}/2026-10/plan.json")
    assert deliver.to_store(target, other).endswith("replaced")
    files.pipe_file(f"{tmp_path}/2026-10/manifest.json", b"torn")
    assert deliver.to_store(target, other).endswith("written")
    assert deliver.to_store(target, other).endswith("already")


def test_refused_stores(tmp_path: Path) -> None:
    """A store that refuses is exit code 3, a URL that means nothing exit code 2; both in one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is not delivered to"):
        deliver.to_store(str(tmp_path / "file"), PARCEL)
    with pytest.raises(PlanError, match="nowhere"):
        deliver.to_store("nowhere://x", PARCEL)


def test_webhook(hook: Any) -> None:
    """The summary is signed over its very bytes and carries the report's id."""
    said = {"id": "abc", "kind": "lightmeter.plan"}
    assert "/... told" in deliver.to_webhook(url(hook), said, b"key")
    ((headers, body),) = hook.heard

    assert said == json.loads(body)
    assert "sha256=" + hmac.new(b"key", body, hashlib.sha256).hexdigest() == headers[deliver.SIGNATURE]  # fmt: skip
    assert "abc" == headers[deliver.KEY]


def test_webhook_away(hook: Any) -> None:
    """A receiver that is away is tried again; one that refuses is not, and its path is not shown."""
    hook.codes[:] = [503, 429]
    assert "told" in deliver.to_webhook(url(hook), {"id": "a"}, None, pause=0.01)
    assert 3 == len(hook.heard)
    assert deliver.SIGNATURE not in hook.heard[0][0]
    hook.codes[:] = [403]
    with pytest.raises(ServerError, match="answers 403") as caught:
        deliver.to_webhook(url(hook), {"id": "a"}, None, pause=0.01)
    assert 4 == len(hook.heard)
    assert "secret-path" not in str(caught.value)


def test_months() -> None:
    """The last month is the last that is over, also on New Year's Day; one that is not over waits."""
    assert "2025-12" == settled_month("last", datetime(2026, 1, 1, tzinfo=UTC))
    assert "2026-02" == settled_month("last", datetime(2026, 3, 31, 23, tzinfo=UTC))
    assert settled_month(None, datetime(2026, 3, 31, tzinfo=UTC)) is None
    check_over("2026-10", ("x",), datetime(2026, 11, 1, tzinfo=UTC))
    check_over("2026-10", (), datetime(2026, 10, 1, tzinfo=UTC))
    with pytest.raises(PlanError, match="not over before 2026-11-01"):
        check_over("2026-10", ("x",), datetime(2026, 10, 31, 23, tzinfo=UTC))


def test_command(tmp_path: Path, hook: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A monthly job that runs twice makes the same bytes, delivers once, and says so."""
    folder = rows.folder(tmp_path / "h", every(600.0, 400) + every(DAY, 5, service="b", first=7.0))
    args = ("plan", "--history", folder, "--month", "2026-10", "--held-gpus", "2", "--sweep-points", "0", "--resamples", "50")  # fmt: skip
    more = ("--deliver", tmp_path / "to", "--deliver", url(hook), "--focus", tmp_path / "f.csv", "--out", tmp_path / "r")  # fmt: skip

    assert 0 == inside(*args, *more)
    first = {path.name: path.read_bytes() for path in (tmp_path / "to" / "2026-10").iterdir()}
    assert "written" in capsys.readouterr().err
    assert 0 == inside(*args, *more)
    said = capsys.readouterr().err
    assert "has this report already" in said
    assert "was told of this report already" in said
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "to" / "2026-10").iterdir()}  # fmt: skip
    assert {*report.FILES, "focus.csv", "manifest.json"} == first.keys()
    ((_, body),) = hook.heard
    plan, said_to_hook = json.loads(first["plan.json"]), json.loads(body)
    assert ("2026-10", plan["actual"]["cost"]) == (said_to_hook["month"], said_to_hook["actual"]["cost"])  # fmt: skip
    assert 2 == inside(*args[:3], "--month", "2026-01", "--out", tmp_path / "r")
    assert "name another --month" in capsys.readouterr().err


def test_cron_job() -> None:
    """The CronJob in the docs parses, and all of its options exist."""
    page = (Path(__file__).parents[2] / "docs" / "planner.md").read_text()
    job = next(found for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if (found := yaml.safe_load(text)).get("kind") == "CronJob")  # fmt: skip
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    mounted = {one["name"] for one in container["volumeMounts"]}
    known = {name for option in command.params if isinstance(option, click.Option) for name in option.opts}  # fmt: skip

    assert ["lightmeter", "plan"] == container["command"]
    assert [variable("plan", "held_gpus")] == [one["name"] for one in container["env"]]
    assert {arg for arg in container["args"] if arg.startswith("--")} <= known
    assert mounted == {one["name"] for one in job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]}  # fmt: skip
    assert 5 == len(job["spec"]["schedule"].split())
