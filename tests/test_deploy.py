"""deploy/: the image, compose and systemd, as far as they can be held against what is there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from lightmeter import cli
from lightmeter.configuration import read_sources, resolve
from lightmeter.settings import SECTIONS
from support.debian import need
from support.promtool import promtool


ROOT = Path(__file__).parents[1]
COMPOSE = ROOT / "deploy" / "compose"
CONTENT: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = CONTENT["services"]
OURS = {name: one for name, one in SERVICES.items() if "lightmeter" in one["image"]}
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.*"))
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def test_image_linted() -> None:
    """A linter of Dockerfiles finds nothing."""
    program = Path(sys.executable).with_name("hadolint")
    ran = subprocess.run([program, ROOT / "deploy" / "Dockerfile"], check=False, capture_output=True, text=True)  # fmt: skip

    assert (0, "") == (ran.returncode, ran.stdout)


def test_image() -> None:
    """The image runs as nobody in particular, from what the context holds, on the ports that we use."""
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    exposed = {int(port) for port in re.findall(r"^EXPOSE (.*)$", final, re.MULTILINE)[0].split()}
    ports = {field.default for section in SECTIONS.values() for key, field in section.model_fields.items() if key.endswith("port") and field.default}  # fmt: skip

    assert "USER 10001:10001" in final
    assert 'ENTRYPOINT ["lightmeter"]' in final
    assert ports <= exposed
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            assert (ROOT / line[1:]).exists(), line


@pytest.mark.parametrize("name", OURS)
def test_settings(name: str) -> None:
    """Every variable of compose is a setting with a value that it takes."""
    one = OURS[name]
    given = {key: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for key, value in one["environment"].items() if key.startswith("LIGHTMETER_")}  # fmt: skip
    resolve(SECTIONS[one["command"][0]], read_sources(given, None), {})


@pytest.mark.parametrize("name", OURS)
def test_confined(name: str) -> None:
    """Our containers write to their volumes alone, and have no capability."""
    one = OURS[name]

    assert one["read_only"]
    assert ["ALL"] == one["cap_drop"]
    assert "privileged" not in one


def test_open_to_nobody() -> None:
    """Every port is this machine's, and no password stands in the file."""
    published = [port for one in SERVICES.values() for port in one.get("ports", ())]
    spoken = [(key, value) for one in SERVICES.values() for key, value in (one.get("environment") or {}).items() if "PASSWORD" in key]  # fmt: skip

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert all(value.startswith("/run/secrets/") for _, value in spoken)


def test_files_are_there() -> None:
    """What is mounted exists; what is secret is made by whoever starts it, and ignored by git."""
    for one in SERVICES.values():
        for source in (volume.partition(":")[0] for volume in one.get("volumes", ())):
            if source.startswith("."):
                assert (COMPOSE / source).exists(), source
            elif not source.startswith(("/", "$")):
                assert source in CONTENT["volumes"]
        assert set(one.get("secrets", ())) <= set(CONTENT["secrets"])
    ignored = subprocess.run(["git", "check-ignore", "-q", COMPOSE / "secrets" / "admin-key"], check=False, cwd=ROOT)  # fmt: skip
    assert 0 == ignored.returncode


def test_prometheus(tmp_path: Path) -> None:
    """Prometheus takes its configuration, and asks every part of ours where it listens."""
    content = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
    pattern = Path(content["rule_files"][0]).name
    content["rule_files"] = [str(ROOT / "alerts/generated/prometheus" / pattern)]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(content))
    code, said = promtool("check", "config", tmp_path / "prometheus.yml")
    asked = {target for job in content["scrape_configs"] for one in job["static_configs"] for target in one["targets"]}  # fmt: skip

    assert 0 == code, said
    assert "SUCCESS" in said
    assert {"server:7861", "exporter:9400", "scaler:9402"} == asked


def test_alertmanager() -> None:
    """Alertmanager takes its configuration."""
    ran = subprocess.run([need("amtool", "prometheus-alertmanager"), "check-config", COMPOSE / "alertmanager.yml"], check=False, capture_output=True, text=True)  # fmt: skip

    assert 0 == ran.returncode, ran.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units(unit: Path, tmp_path: Path) -> None:
    """Systemd understands each unit, and lightmeter each command in it."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not on this machine")
    for one in UNITS:
        text = one.read_text().replace("/opt/lightmeter/bin/lightmeter", "/bin/true")
        (tmp_path / one.name).write_text(text)
    ran = subprocess.run([program, "verify", "--man=no", tmp_path / unit.name], check=False, capture_output=True, text=True)  # fmt: skip

    assert "" == "\n".join(line for line in ran.stderr.splitlines() if str(tmp_path) in line or unit.name in line)  # fmt: skip
    for name, option in _asked(unit.read_text()):
        command = cli.root.get_command(click.Context(cli.root), name)
        assert command is not None
        assert option in {each for parameter in command.params for each in parameter.opts}


def _asked(text: str) -> list[tuple[str, str]]:
    """Return each command with each of its options in a unit."""
    found = []
    for line in re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE):
        words = shlex.split(line.replace("/bin/sh -c ", "").strip("'"))
        start = next(at for at, word in enumerate(words) if word.endswith("/lightmeter"))
        found += [(words[start + 1], word) for word in words if word.startswith("--")]
    return found
