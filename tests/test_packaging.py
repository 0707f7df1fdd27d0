"""The distribution: its version, its names, what the wheel holds, what the constraints pin."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from support.cli import clean_environment


ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("lightmeter", "inference", "exporter", "dashboards", "alerts", "planner")
OWNERS = f"""
import json, sys
sys.path.insert(0, sys.argv[1])
from importlib import metadata
from lightmeter import doctor
owners, found = metadata.packages_distributions(), doctor.check_names()
said = [found.verdict] if found.verdict == "ok" else [found.verdict, found.found]
print(json.dumps({{name: owners[name] for name in {PACKAGES}}} | {{"doctor": said}}))
"""


def pip(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run pip in this environment."""
    return subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)],
        capture_output=True,
        check=False,
        env=clean_environment(),
        text=True,
    )


def wanted() -> dict[str, Requirement]:
    """Read every direct requirement: runtime, extras and groups."""
    project = PROJECT["project"]
    texts = list(project["dependencies"])
    for group in (
        *project["optional-dependencies"].values(),
        *PROJECT["dependency-groups"].values(),
    ):
        texts += [text for text in group if isinstance(text, str)]
    return {text: Requirement(text) for text in texts}


def pinned() -> dict[str, Version]:
    """Read the constraints, by canonical name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.partition("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, _, version in pairs}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as pip does, with the build backend that pyproject.toml names."""
    folder = tmp_path_factory.mktemp("wheel")
    fetched = pip("download", "--quiet", "--no-deps", "--dest", folder / "backend", *PROJECT["build-system"]["requires"])  # fmt: skip
    if fetched.returncode:
        pytest.skip(f"no index has the build backend: {fetched.stderr.strip().splitlines()[-1]}")
    made = pip("wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    assert 0 == made.returncode, made.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture
def wheel(built: Path) -> Iterator[zipfile.ZipFile]:
    """Open the wheel."""
    with zipfile.ZipFile(built) as opened:
        yield opened


@pytest.fixture(scope="module")
def site(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel alone into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    done = pip("install", "--quiet", "--no-deps", "--no-index", "--target", folder, built)
    assert 0 == done.returncode, done.stderr
    return folder


def owners(site: Path) -> dict[str, list[str]]:
    """Ask which distributions own our names in a folder of packages, and what the doctor says."""
    found = subprocess.run(
        [sys.executable, "-I", "-S", "-c", OWNERS, str(site)],
        capture_output=True,
        check=True,
        text=True,
    )
    answer: dict[str, list[str]] = json.loads(found.stdout)
    return answer


def test_version() -> None:
    """The version is written once; what is installed says the same."""
    assert PROJECT["project"]["version"] == metadata.version("lightmeter")


def test_names(site: Path) -> None:
    """Installed, every room's name is ours alone, and the doctor is content."""
    assert {name: ["lightmeter"] for name in PACKAGES} | {"doctor": ["ok"]} == owners(site)


def test_names_here() -> None:
    """Where the tests run, no other distribution has landed on a room's name."""
    found = metadata.packages_distributions()  # an editable installation is not in it

    assert set() == {owner for name in PACKAGES for owner in found.get(name, [])} - {"lightmeter"}


def test_intruder(site: Path, tmp_path: Path) -> None:
    """A distribution that lands on a room's name is found out by the doctor, who names both."""
    shutil.copytree(site, tmp_path, dirs_exist_ok=True)
    info = tmp_path / "intruder-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: intruder\nVersion: 1.0\n")
    (info / "RECORD").write_text("inference/__init__.py,,\n")
    found = owners(tmp_path)

    assert {"intruder", "lightmeter"} == set(found["inference"])
    assert ["fail", "taken: inference (intruder)"] == found["doctor"]


def test_command() -> None:
    """The installation brings one command, which is the front door."""
    commands = metadata.entry_points(group="console_scripts")

    assert {"lightmeter.cli:main"} == {each.value for each in commands.select(name="lightmeter")}
    assert {"lightmeter": "lightmeter.cli:main"} == PROJECT["project"]["scripts"]


@pytest.mark.parametrize(
    "name",
    [
        *(f"{package}/{file}" for package in PACKAGES for file in ("__init__.py", "py.typed")),
        "lightmeter/cli/__main__.py",
        "planner/data/prices.csv",
        "inference/tiny.json",
        *(str(path.relative_to(ROOT)) for path in (ROOT / "dashboards/live/uplot").iterdir()),
        *(str(path.relative_to(ROOT)) for path in (ROOT / "planner" / "templates").iterdir()),
    ],
)
def test_wheel_holds(name: str, wheel: zipfile.ZipFile) -> None:
    """The wheel holds every package with its types and data, byte for byte."""
    assert (ROOT / name).read_bytes() == wheel.read(name)


def test_wheel_sources(wheel: zipfile.ZipFile) -> None:
    """Every source file of the packages is in the wheel, and nothing beside them."""
    info = f"lightmeter-{PROJECT['project']['version']}.dist-info"
    names = {name for name in wheel.namelist() if not name.endswith("/")}
    sources = {
        str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    }  # fmt: skip

    assert sources == {name for name in names if name.endswith(".py")}
    assert {*PACKAGES, info} == {name.partition("/")[0] for name in names}


def test_wheel_papers(wheel: zipfile.ZipFile) -> None:
    """The wheel carries its licence, the command, and the mark that keeps it off public indexes."""
    info = f"lightmeter-{PROJECT['project']['version']}.dist-info"

    assert "Apache License" in wheel.read(f"{info}/licenses/LICENSE").decode()
    assert "lightmeter = lightmeter.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert "\nClassifier: Private :: Do Not Upload\n" in wheel.read(f"{info}/METADATA").decode()


def test_wheel_notice(wheel: zipfile.ZipFile) -> None:
    """The wheel carries the notices of the price table's sources, as their licence asks."""
    assert "NOTICE" in {Path(name).name for name in wheel.namelist()}


def test_constraints_form() -> None:
    """The constraints pin exact versions, each name once, in a form that pip reads."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]

    assert [] == [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)]
    assert len(pins) == len(pinned())


@pytest.mark.parametrize("text", wanted())
def test_constraints(text: str) -> None:
    """Every direct dependency is pinned, to a version that pyproject.toml allows."""
    requirement = wanted()[text]
    version = pinned()[canonicalize_name(requirement.name)]

    assert requirement.specifier.contains(version)


@pytest.mark.parametrize("text", wanted())
def test_floors(text: str) -> None:
    """A dependency has a floor and no ceiling; the exact set stands in the constraints."""
    assert [">="] == [each.operator for each in wanted()[text].specifier]
