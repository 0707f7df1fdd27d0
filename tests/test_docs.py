"""The documentation is held against the code."""

from __future__ import annotations

import ast
import importlib
import itertools
import json
import os
import re
import runpy
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from inference.tinymodel import build_tiny
from lightmeter import cli
from lightmeter.catalog import CATALOG, GPU_BUSY, REQUESTS, Term
from lightmeter.cli import COMMANDS
from lightmeter.configuration import variable
from lightmeter.rows import COLUMNS
from lightmeter.scaling import policies
from lightmeter.scaling.signals import Observations
from lightmeter.scaling.state import Settings, State
from lightmeter.settings import SECTIONS
from support import gentd26, rows
from support.cli import clean_environment
from support.debian import need
from support.ports import default_ports
from support.server import eventually


ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def doc(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def test_generated() -> None:
    """The generated pages are what the code generates today."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )  # fmt: skip

    assert (0, "") == (run.returncode, run.stderr)


def test_metrics() -> None:
    """Every metric stands in the docs, with every value of its closed labels."""
    page = doc("metrics.md")

    for metric in CATALOG:
        assert f"`{metric.name}`" in page
        assert all(value in page for _, values in metric.vocabulary for value in values)


def test_settings() -> None:
    """Every setting and its variable stand in the docs."""
    page = doc("settings.md")

    names = [(section, key) for section, kind in SECTIONS.items() for key in kind.model_fields]
    assert [] == [name for name in names if f"`{variable(*name)}`" not in page]


def test_commands() -> None:
    """Every command stands in the docs, and the README leads to them."""
    page = doc("commands.md")

    assert [] == [name for name in COMMANDS if f"## lightmeter {name}" not in page]
    assert "docs/commands.md" in README


def test_columns() -> None:
    """Every column of the usage history stands in its page."""
    page = doc("history.md")

    assert [] == [name for name in COLUMNS if f"`{name}`" not in page]


def test_reference() -> None:
    """Every column, reading and remembered thing of the reference has its meaning beside it."""
    page = doc("reference.md")
    told = dict(
        re.findall(
            r"^\| `(\w+)` \|(?:.*\|)? ([^|]*) \|$",
            page.split("## Columns of")[1],
            flags=re.MULTILINE,
        )
    )
    names = [*COLUMNS, *Observations._fields[:-1], *State._fields, *Settings._fields]

    assert [] == [name for name in names if not told.get(name)]


def test_history_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of Python that read a history run as printed."""
    rows.folder(tmp_path / "history", rows.every(1.0, 3))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", doc("history.md"), flags=re.DOTALL)
    lengths = []
    for block in blocks:
        names: dict[str, Any] = {}
        exec(block, names)  # noqa: S102  (our own page)
        lengths.append(len(names["rows"]))

    assert [3, 3] == lengths


def test_scaling(capsys: pytest.CaptureFixture[str]) -> None:
    """The scaling page names every term and policy, and its lines of Python run."""
    page = doc("scaling.md")
    names = [*Term, *policies.POLICIES, policies.ORACLE]

    assert [] == [name for name in names if f"`{name}`" not in page]
    (block,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(block, {})  # noqa: S102  (our own page)
    assert "recommended" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    """No page links to a file that is not there."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?(?: \"[^)]*\")?\)", text)
    local = [target for target in targets if not target.startswith(("http://", "https://"))]

    assert text.count("](") == len(targets) + len(re.findall(r"\]\(#", text))
    assert [] == [target for target in local if not (page.parent / target).exists()]


def test_map() -> None:
    """Every page is on the map of pages, and in the site's navigation."""
    names = {page.name for page in ROOT.glob("docs/*.md")}
    navigation = set(
        re.findall(r": ([\w.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    )

    assert set() == names - {"index.md"} - set(re.findall(r"\]\(([\w.-]+\.md)", doc("index.md")))
    assert set() == names - navigation


def test_pictures() -> None:
    """Every picture is small, and on a page."""
    pictures = list(ROOT.glob("docs/pictures/*"))
    shown = "".join(page.read_text() for page in PAGES)

    assert pictures
    assert [] == [one.name for one in pictures if one.stat().st_size > 150_000]
    assert [] == [one.name for one in pictures if f"pictures/{one.name})" not in shown]


def test_site() -> None:
    """On the site, too, code in a list is code, and a test that shows a claim is named."""
    hook = runpy.run_path(str(ROOT / "docs" / "site_hook.py"))
    markdown = importlib.import_module("markdown")  # has no types
    extensions = ["tables", "fenced_code", "sane_lists"]
    texts = [text for page in PAGES if re.search(r"^ +```", text := page.read_text(), re.MULTILINE)]
    made = [markdown.markdown(hook["on_page_markdown"](text), extensions=extensions) for text in texts]  # fmt: skip
    claim = hook["on_page_markdown"]('[kept](../tests/test_docs.py "test_site")')

    assert len(made) >= 3
    assert [] == [html[:60] for html in made if "<code>console" in html or "```" in html]
    assert '<abbr title="tests/test_docs.py::test_site">kept</abbr>' == claim


def anchors(page: Path) -> set[str]:
    """Name the headings of a page as links name them: GitHub's way."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_anchors(page: Path) -> None:
    """No page links to a heading that is not there."""
    links = re.findall(r"\]\(([\w./-]*\.md)?#([^)]+)\)", page.read_text())

    assert [] == [
        (target, anchor)
        for target, anchor in links
        if anchor not in anchors(page.parent / target if target else page)
    ]


def console_lines(text: str = README) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    return [
        line.split(" #")[0].strip()
        for block in blocks
        for line in block.replace("\\\n", "").splitlines()
        if line.strip()
    ]


def test_make_targets() -> None:
    """The make targets that the README names exist."""
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"\bmake (\w+)", README)

    assert {"up", "test", "env"} <= set(targets)
    assert [] == [
        name for name in targets if not re.search(rf"^{name}:", makefile, flags=re.MULTILINE)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options(page: Path) -> None:
    """Each lightmeter command of a page parses: the command and its options exist."""
    lines = [shlex.split(line) for line in console_lines(page.read_text())]

    for words in lines:
        command: click.Command = cli.root
        arguments = list(itertools.dropwhile(lambda word: "=" in word, words))
        if arguments[0] != "lightmeter":
            continue
        del arguments[0]
        while isinstance(command, click.Group) and not arguments[0].startswith("-"):
            found = command.get_command(click.Context(command), arguments[0])
            assert found is not None, words
            command, arguments = found, arguments[1:]
        command.make_context("x", list(arguments))


def test_readme_runs(tmp_path: Path) -> None:
    """The README's planning commands run as printed, in order, and end in a report."""
    traces = tmp_path / "traces"
    (traces / "gentd26").mkdir(parents=True)
    gentd26.write(traces / "gentd26" / "requests.csv.gz", gentd26.log(requests=600))
    lines = [
        line
        for line in console_lines()
        if line.startswith(("lightmeter history import", "lightmeter plan"))
    ][:2]
    environment = clean_environment() | {
        "LIGHTMETER_TRACES": str(traces),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }

    for line in lines:
        run = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )  # fmt: skip
        assert 0 == run.returncode, run.stderr

    assert 2 == len(lines)
    assert (tmp_path / "report" / "report.html").exists()


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_readme_serves(tmp_path: Path) -> None:
    """The README's serving commands run as printed, in order, on the default ports."""
    curl = need("curl", "curl")
    with default_ports():
        _readme_serves(tmp_path, curl)


def _readme_serves(tmp_path: Path, curl: str) -> None:
    if not free(7860) or not free(7861):
        pytest.skip("port 7860 or 7861, the defaults that the README names, is taken")
    build_tiny(tmp_path / "Z-Image-Turbo")
    lines = console_lines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("lightmeter serve"))
    end = next(i for i, line in enumerate(lines) if line.startswith("lightmeter export"))
    scripts = Path(sys.executable).parent
    environment = clean_environment(
        PATH=f"{scripts}{os.pathsep}{Path(curl).parent}{os.pathsep}{os.environ['PATH']}"
    )
    serving = subprocess.Popen(
        shlex.split(lines[begin]), cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )  # fmt: skip
    with serving:
        assert eventually(lambda: subprocess.run([curl, "-sf", "localhost:7860/readyz"], check=False, stdout=subprocess.DEVNULL).returncode == 0, seconds=60)  # fmt: skip
        runs = [
            subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            for line in lines[begin + 1 : end]
        ]  # fmt: skip
        serving.terminate()

    assert [0] * 8 == [run.returncode for run in runs]
    said = [run.stdout for run in runs]
    assert [] == [
        word
        for word, text in zip(
            ["", '"score":4', '"object": "job"', "image_generation.completed", "20 ok", REQUESTS.name, "4.00 stars", "No advice yet"],
            said,
            strict=True,
        )
        if word not in text
    ]  # fmt: skip
    assert outline(README_ANSWER) == outline(json.loads((tmp_path / "fox.json").read_text()))


def test_readme_exports(tmp_path: Path) -> None:
    """The README's lines about the exporter run as printed, on its default port."""
    curl = need("curl", "curl")
    if not free(9400):
        pytest.skip("port 9400, the default that the README names, is taken")
    lines = console_lines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("lightmeter export"))
    environment = clean_environment(
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{Path(curl).parent}{os.pathsep}{os.environ['PATH']}"
    )
    with subprocess.Popen(shlex.split(lines[begin]), cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as exporting:  # fmt: skip
        assert eventually(lambda: not free(9400), seconds=60)
        run = subprocess.run(["bash", "-c", lines[begin + 1]], capture_output=True, text=True, check=False, env=environment)  # fmt: skip
        exporting.terminate()

    assert 0 == run.returncode
    assert GPU_BUSY.name in run.stdout


README_ANSWER = json.loads(README.split("```json\n")[1].split("```")[0])


def outline(value: Any) -> Any:
    """Leave of a JSON document its names and the kinds of its values."""
    if isinstance(value, dict):
        return {name: outline(inner) for name, inner in value.items()}
    return [outline(inner) for inner in value] if isinstance(value, list) else type(value).__name__


def test_no_leaks() -> None:
    """No tracked file names the machine it was written on."""
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("this copy of the project is no git checkout")
    places = [str(ROOT), str(Path.home())]
    texts = {
        name: (ROOT / name).read_text(errors="replace")
        for name in tracked.stdout.split()
        if (ROOT / name).is_file()
    }

    assert [] == [
        name for name, text in texts.items() if any(f"{place}/" in text for place in places)
    ]


def test_docstrings() -> None:
    """Every test says in its docstring what a user would notice."""
    silent = [
        f"{path.name}:{node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert [] == silent
