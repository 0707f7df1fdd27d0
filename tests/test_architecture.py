"""The house's rules, held against its source: names, layers, weights, sizes."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightmeter.catalog import CATALOG
from support.cli import python


ROOMS = ("inference", "exporter", "alerts", "dashboards", "planner")
BASE = (
    "errors",
    "units",
    "logs",
    "listening",
    "secret",
    "catalog",
    "rows",
    "within",
    "lines",
    "journal",
    "late",
)
"""The alphabet and the words, each of which may import those before it and nothing but Python."""
METRIC = re.compile(
    r"\blightmeter_[a-z]|\bDCGM_FI_|\bnode_(cpu|memory|load|filesystem|disk|network|time|boot|uname)"
    r"|\bnode_(context|intr|forks|procs|pressure|vmstat|filefd)_"
)
CHILD_STARTERS = {"lightmeter/cli/child.py", "inference/process.py", "inference/sampled.py"}
"""They pass the environment on to a process that they start, and read nothing in it."""
LOADED = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*({"torch", "diffusers", "transformers"} & set(sys.modules)))
"""


def sources() -> dict[str, Path]:
    """Find every source file of the product, by its path from the root."""
    found: dict[str, Path] = {}
    for package in ("lightmeter", *ROOMS):
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent
        found |= {str(path.relative_to(folder.parent)): path for path in folder.rglob("*.py")}
    return found


SOURCES = sources()
TREES = {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}
EACH_FILE = pytest.mark.parametrize("name", TREES)


def docstrings(tree: ast.AST) -> set[int]:
    """Identify the strings that stand alone as statements."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def quoted_metrics(tree: ast.AST) -> list[str]:
    """List the metric names that code spells."""
    free = docstrings(tree)
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and METRIC.search(node.value)
        and id(node) not in free
    ]


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield each module that is imported anywhere, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            if node.module in ("lightmeter", *ROOMS):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)


def swallowed(tree: ast.AST, lines: list[str]) -> list[int]:
    """List the broad excepts that neither raise nor give the linter and us a reason."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or "Exception" in re.findall(r"\b(?:Base)?(Exception)\b", ast.unparse(node.type)))
        and not isinstance(node.body[-1], ast.Raise)
        and not re.search(r"# noqa: BLE001  \(.+\)$", lines[node.lineno - 1])
    ]  # fmt: skip


def mentions_environment(tree: ast.AST) -> bool:
    """Tell whether code touches the process's environment at all."""
    text = ast.unparse(tree)
    return bool(re.search(r"\bos\.(environb?|getenvb?|putenv)\b|from os import .*env", text))


def reads_environment(tree: ast.AST) -> bool:
    """Tell whether code looks a variable up."""
    text = ast.unparse(tree)
    return bool(re.search(r"\bos\.environb?(\[|\.get\b|\.pop\b)|in os\.environ\b(?!\.)|getenv", text))  # fmt: skip


def long_functions(tree: ast.AST, wall: int) -> list[str]:
    """List the functions that have more lines than the wall."""
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > wall
    ]


def test_everything_is_looked_at() -> None:
    """The rules below see the whole product."""
    assert {"lightmeter", *ROOMS} == {name.partition("/")[0] for name in TREES}
    assert {"lightmeter/cli/up_.py", "inference/zimage.py", "planner/plan.py"} <= TREES.keys()


def test_rules_bite() -> None:
    """Each rule finds the fault that it is there for, and leaves what is right alone."""
    bad = ast.parse(
        "import os, torch\n"
        "def long():\n"
        "    '''lightmeter_requests_total may stand here'''\n"
        "    from planner import plan\n"
        "    try: x = f'rate(lightmeter_requests_total[{5}m]) / DCGM_FI_DEV_FB_USED'\n"
        "    except (OSError, Exception): x = os.environ['LIGHTMETER_SERVE_PORT']\n"
        "    except BaseException: raise\n"
        "    except OSError: pass\n"
    )

    assert 2 == len(quoted_metrics(bad))
    assert ["os", "torch", "planner.plan"] == list(imported(bad))
    assert [6] == swallowed(bad, [""] * 8)
    assert [] == swallowed(bad, ["x  # noqa: BLE001  (a reason)"] * 8)
    assert [6] == swallowed(bad, ["x  # noqa: BLE001"] * 8)
    assert mentions_environment(bad)
    assert reads_environment(bad)
    assert not reads_environment(ast.parse("run(env={**os.environ}, more=os.environ.items())"))
    assert ["long"] == long_functions(bad, 6)
    assert [] == long_functions(bad, 7)


def test_metric_names_are_recognised() -> None:
    """Every name of the catalogue is one that the rule would find."""
    assert [] == [metric.name for metric in CATALOG if not METRIC.search(metric.name)]


@EACH_FILE
def test_metric_names(name: str) -> None:
    """A metric's name is spelled in the catalogue and nowhere else."""
    if not name.startswith("lightmeter/catalog/"):
        assert [] == quoted_metrics(TREES[name])


@EACH_FILE
def test_layers(name: str) -> None:
    """No room imports another; the ground floor imports no room; only the door knows them all."""
    found = {module.partition(".")[0] for module in imported(TREES[name])}
    room = name.partition("/")[0]

    if not name.startswith("lightmeter/cli/"):
        assert set() == found & set(ROOMS) - {room}
        assert "lightmeter.cli" not in {module[:14] for module in imported(TREES[name])}


@pytest.mark.parametrize("module", BASE)
def test_base(module: str) -> None:
    """The alphabet and the words import Python and what is below them, so that all start fast."""
    allowed = {f"lightmeter.{below}" for below in BASE[: BASE.index(module) + 1]}
    pages = [name for name in TREES if re.match(rf"lightmeter/{module}[./]", name)]

    assert pages
    for found in itertools.chain.from_iterable(imported(TREES[name]) for name in pages):
        target = ".".join(found.split(".")[:2])
        assert target in allowed or found.partition(".")[0] in sys.stdlib_module_names, found


@pytest.mark.parametrize(
    "module",
    [
        "inference.app",
        "inference.pool",
        "inference.server",
        "inference.gateway.server",
        "inference.judge",
        "inference.sampled",
        "inference.scoring",
        "inference.load.session",
        "planner.plan",
        "exporter.checks",
        "lightmeter.history",
    ],
)
def test_light(module: str) -> None:
    """Only a worker process loads the model's libraries."""
    ran = python(LOADED, module)

    assert (0, "\n", "") == (ran.code, ran.out, ran.err)


@EACH_FILE
def test_sizes(name: str) -> None:
    """No file is longer than 300 lines and no function longer than 60."""
    assert len(SOURCES[name].read_text().splitlines()) <= 300
    assert [] == long_functions(TREES[name], 60)


@EACH_FILE
def test_broad_excepts(name: str) -> None:
    """No error is swallowed whole, but at a process edge that says why."""
    assert [] == swallowed(TREES[name], SOURCES[name].read_text().splitlines())


@EACH_FILE
def test_environment(name: str) -> None:
    """Settings come from one place: nothing else reads the environment."""
    if name != "lightmeter/configuration.py":
        assert not mentions_environment(TREES[name]) or name in CHILD_STARTERS
        assert not reads_environment(TREES[name])
