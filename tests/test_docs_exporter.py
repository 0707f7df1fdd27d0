"""The exporter's page is held against the exporter: commands, names, groups, the web configuration."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from exporter import webconfig
from lightmeter import catalog, cli
from lightmeter.catalog import CATALOG
from lightmeter.configuration import known_keys, variable
from support.exporter import Exporter, Served
from support.server import fetch


PAGE = (Path(__file__).parents[1] / "docs" / "exporter.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, flags=re.DOTALL)


COMMANDS = [line for block in blocks("console") for line in block.splitlines() if line.startswith("lightmeter")]  # fmt: skip


def test_found() -> None:
    """The page has what the other tests look at."""
    assert len(COMMANDS) >= 2
    assert len(blocks("yaml")) == 2
    assert len(blocks("promql")) >= 3


@pytest.mark.parametrize("line", COMMANDS)
def test_commands(line: str) -> None:
    """Each command of the page runs as printed, but for its ports, and serves."""
    words = shlex.split(line)[2:]
    with Served("") as other:
        told = [other.url if word.startswith("http") else word for word in words]
        with Exporter(*told, "--port", "0") as running:
            assert 200 == fetch(running.url).status_code


def test_metrics() -> None:
    """Every metric that the page names is one that there is."""
    known = {metric.name for metric in CATALOG} | {catalog.DCGM_DRIVER}
    named = re.findall(r"\b(?:lightmeter|DCGM|node)_[a-zA-Z0-9_]+\b(?![*{])", PAGE)

    assert len(named) > 20
    assert {"node_exporter"} == {name for name in named if name not in known and name[-1] != "_"}


def test_settings() -> None:
    """Every setting that the page names is one that there is."""
    names = set(known_keys())
    variables = {variable(*pair) for pair in known_keys().values()}
    named = re.findall(r"`(export\.\w+)`", PAGE)

    assert len(named) > 6
    assert [] == [name for name in named if name not in names]
    assert set(re.findall(r"\bLIGHTMETER_\w+", PAGE)) <= variables


def test_groups() -> None:
    """Every group of host metrics has a row, and no other."""
    table = PAGE.split("### Host groups")[1].split("##")[0]

    assert list(catalog.HOST_GROUPS) == re.findall(r"^\| `(\w+)`", table, flags=re.MULTILINE)


def test_daemonset() -> None:
    """The manifest is YAML, and its command line is understood."""
    (manifest,) = (yaml.safe_load(block) for block in blocks("yaml") if "DaemonSet" in block)
    arguments = manifest["spec"]["template"]["spec"]["containers"][0]["args"]
    command = cli.root.get_command(click.Context(cli.root), arguments[1])
    assert command is not None

    command.make_context("export", arguments[2:])


def test_web_config(tmp_path: Path) -> None:
    """The web configuration of the page is one."""
    path = tmp_path / "web.yml"
    path.write_text(next(block for block in blocks("yaml") if "tls_server_config" in block))
    content = webconfig.read(path)

    assert content.tls is not None
    assert "RequireAndVerifyClientCert" == content.tls.client_auth_type
    assert ["prometheus"] == list(content.users)
