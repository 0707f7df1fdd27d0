"""``lightmeter dashboards publish`` against a stand-in that keeps what it is told."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from lightmeter.catalog import Board
from lightmeter.cli.dashboards_publish_ import publish as command
from lightmeter.errors import LightmeterError
from support.cli import Ran, lightmeter
from support.grafana import EDITOR, VIEWER, Grafana


@pytest.fixture(params=[True, False], ids=["api", "apis"])
def grafana(request: pytest.FixtureRequest) -> Iterator[Grafana]:
    """A Grafana with the old paths, and one without."""
    with Grafana(legacy=request.param) as one:
        yield one


@pytest.fixture
def old() -> Iterator[Grafana]:
    """A Grafana with the old paths."""
    with Grafana() as one:
        yield one


def publish(grafana: Grafana, folder: Path, *options: str, token: str = EDITOR) -> Ran:
    """Run the command in this process, which is quicker."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setenv("GRAFANA_TOKEN", token)
        patch.chdir(folder)
        try:
            code = command.main(["--url", grafana.url, *options], standalone_mode=False)
        except LightmeterError as error:
            return Ran(error.exit_code, out.getvalue(), str(error))
    return Ran(code, out.getvalue(), "")


def actions(ran: Ran) -> Counter[str]:
    """Count what was done."""
    return Counter(row["action"] for row in json.loads(ran.out))


def test_twice(grafana: Grafana, tmp_path: Path) -> None:
    """All five boards arrive in their folder with a data source; the second time nothing is written."""
    options = ("--prometheus", "http://prometheus:9090", "--folder", "GPU", "--json")
    first = publish(grafana, tmp_path, *options)
    written = len(grafana.writes)
    second = publish(grafana, tmp_path, *options)

    assert {"create": 7} == actions(first)
    assert {"unchanged": 7} == actions(second)
    assert written == len(grafana.writes)
    assert set(map(str, Board)) == set(grafana.boards)
    assert {"lightmeter": "GPU"} == grafana.folders
    assert {"lightmeter"} == {held["folder"] for held in grafana.boards.values()}
    assert "http://prometheus:9090" == grafana.sources["lightmeter-prometheus"]["url"]
    chosen = grafana.boards[Board.OVERVIEW]["board"]["templating"]["list"][0]["current"]
    assert "lightmeter-prometheus" == chosen["value"]
    assert f"{grafana.url}/d/{Board.COST}" in {row["url"] for row in json.loads(first.out)}


def test_new_version(grafana: Grafana, tmp_path: Path) -> None:
    """A board that nobody touched is updated where it is, though somebody moved it."""
    publish(grafana, tmp_path)
    grafana.boards[Board.COST]["folder"] = "moved"
    ran = publish(grafana, tmp_path, "--runbook", "https://wiki.example/x", "--json")

    assert {"unchanged": 5, "update": 1} == actions(ran)
    assert "https://wiki.example/x" in json.dumps(grafana.boards[Board.OVERVIEW]["board"])
    assert "moved" == grafana.boards[Board.COST]["folder"]


def test_edited(grafana: Grafana, tmp_path: Path) -> None:
    """A board that was edited by hand is shown, kept and told by the exit code; --force takes it."""
    publish(grafana, tmp_path)
    grafana.edit(Board.COST, title="Ours")
    kept = publish(grafana, tmp_path)
    before = grafana.boards[Board.COST]["board"]["title"]
    forced = publish(grafana, tmp_path, "--force", "--json")

    assert 1 == kept.code
    assert "kept: it was edited by hand; --force overwrites it" in kept.out
    assert '- "title": "Ours"' in kept.out
    assert "Ours" == before
    assert {"unchanged": 5, "update": 1} == actions(forced)
    assert "Cost" in grafana.boards[Board.COST]["board"]["title"]
    assert 0 == publish(grafana, tmp_path).code


def test_dry_run(grafana: Grafana, tmp_path: Path) -> None:
    """A dry run writes nothing, and shows what would change."""
    first = publish(grafana, tmp_path, "--dry-run")
    nothing = list(grafana.writes)
    publish(grafana, tmp_path)
    count = len(grafana.writes)
    changed = publish(grafana, tmp_path, "--dry-run", "--runbook", "https://wiki.example/x")

    assert [] == nothing
    assert 6 == first.out.count("would be created")
    assert "https://wiki.example/x" in changed.out
    assert count == len(grafana.writes)


def test_foreign_and_provisioned(grafana: Grafana, tmp_path: Path) -> None:
    """A board under our uid that we did not publish is kept; a provisioned one even with --force."""
    publish(grafana, tmp_path)
    for uid in (Board.COST, Board.FLEET):
        grafana.edit(uid, description="mine", title="Mine")
    grafana.boards[Board.FLEET]["provisioned"] = True
    kept = publish(grafana, tmp_path)
    forced = publish(grafana, tmp_path, "--force")

    assert "it was not published by lightmeter; --force overwrites it" in kept.out
    assert 1 == forced.code
    assert "provisioned from files" in forced.out
    assert "Mine" == grafana.boards[Board.FLEET]["board"]["title"]


def test_race(grafana: Grafana, tmp_path: Path) -> None:
    """Somebody who saves at the same moment is not overwritten."""
    publish(grafana, tmp_path)
    grafana.raced = True
    ran = publish(grafana, tmp_path, "--runbook", "https://wiki.example/x")

    assert 3 == ran.code
    assert "somebody saved it at the same moment; publish again" in ran.err


def test_source(old: Grafana, tmp_path: Path) -> None:
    """A data source that leads elsewhere is kept; --force changes it and keeps the rest of it."""
    publish(old, tmp_path, "--prometheus", "http://one:9090")
    old.sources["lightmeter-prometheus"]["jsonData"]["timeInterval"] = "5s"
    kept = publish(old, tmp_path, "--prometheus", "http://two:9090")
    publish(old, tmp_path, "--prometheus", "http://two:9090", "--force")

    assert 1 == kept.code
    assert "it leads elsewhere; --force overwrites it" in kept.out
    assert "http://two:9090" == old.sources["lightmeter-prometheus"]["url"]
    assert "5s" == old.sources["lightmeter-prometheus"]["jsonData"]["timeInterval"]


@pytest.mark.parametrize(
    ("token", "said"),
    [("wrong", "it does not know this token"), (VIEWER, "the role Editor")],
)
def test_token(old: Grafana, tmp_path: Path, token: str, said: str) -> None:
    """A wrong token and one that may only read are told apart, and never shown."""
    ran = publish(old, tmp_path, token=token)

    assert 3 == ran.code
    assert said in ran.err
    assert 1 == len(ran.err.splitlines())
    assert token not in ran.err


def test_token_file(old: Grafana, tmp_path: Path) -> None:
    """A token from a file wins over the environment's."""
    (tmp_path / "token").write_text(EDITOR + "\n")
    ran = publish(old, tmp_path, "--token-file", "token", "--json", token="wrong")  # noqa: S106  (none)

    assert {"create": 6} == actions(ran)


@pytest.mark.parametrize(
    ("options", "token", "said"),
    [
        ([], "", "there is no token for Grafana"),
        (["--token-file", "nowhere"], "x", "'nowhere' does not exist"),
        (["--url", "grafana:3000"], "x", "grafana.url"),
        (["--url", "http://admin:admin@grafana:3000"], "x", "has a user in it"),
        (["--ca-file", "nowhere"], "x", "is no file"),
    ],
)
def test_refused(tmp_path: Path, options: list[str], token: str, said: str) -> None:
    """What cannot be used is named in one line, before anything is asked."""
    ran = lightmeter("dashboards", "publish", *options, cwd=tmp_path, GRAFANA_TOKEN=token)

    assert said in ran.refusal()
    assert "admin:admin" not in ran.err


def test_nobody_there(tmp_path: Path) -> None:
    """A Grafana that cannot be reached is exit code 3 and one line."""
    ran = lightmeter("dashboards", "publish", "--url", "http://127.0.0.1:9", cwd=tmp_path, GRAFANA_TOKEN="x")  # fmt: skip  # noqa: S106  (none)

    assert "Grafana at http://127.0.0.1:9 cannot be reached" in ran.refusal(3)


@contextlib.contextmanager
def site(to: str | None = None) -> Iterator[tuple[str, list[str | None]]]:
    """A site that sends everybody elsewhere, or answers; its address, and the credentials it was shown."""
    shown: list[str | None] = []

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers.get("authorization"))
            self.send_response(307 if to else 200)
            self.send_header("location", f"{to}{self.path}")
            self.end_headers()
            self.wfile.write(b"{}")

        do_POST = do_GET  # noqa: N815  (the name that the library calls)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with HTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", shown
        server.shutdown()


def test_redirected(tmp_path: Path) -> None:
    """A Grafana that sends us elsewhere does not get our token shown there."""
    with site() as (other, shown), site(other) as (url, first):
        lightmeter("dashboards", "publish", "--url", url, cwd=tmp_path, GRAFANA_TOKEN="glsa_mine")  # noqa: S106  (made up)

    assert "Bearer glsa_mine" in first
    assert not [words for words in shown if words]
