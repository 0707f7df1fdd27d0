"""The server's pages are held against a real server: routes, statuses, commands, live metrics."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lightmeter import catalog
from lightmeter.catalog import CATALOG, Metric
from support.cli import clean_environment
from support.debian import need
from support.server import Server, fetch


ROOT = Path(__file__).parents[1]
METHODS = {"get", "post", "put", "delete"}
BESIDE_THE_SCHEMA = {"GET /openapi.json", "GET /"}
OF_THE_FRAMEWORK = {200, 405, 500}
"""Statuses that the framework gives without our naming them."""


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def section(name: str, title: str) -> str:
    return page(name).split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give one server to all tests: with the LoRA and the keys that the pages name."""
    folder = tmp_path_factory.mktemp("documented")
    save_file({"x.lora_A.weight": np.zeros((1, 1), np.float32)}, folder / "ink.safetensors")
    with Server(folder, "--loras", str(folder), "--guard", "off") as running:
        yield running.ready()


def nameless(route: str) -> str:
    """Take the names of path parameters away; they need not be the code's."""
    return re.sub(r"\{\w+\}", "{}", route)


def test_routes(server: Server) -> None:
    """Every route of the server is in its table of routes, and no other."""
    schema = server.client.get("/openapi.json").json()
    served = {
        nameless(f"{method.upper()} {path}")
        for path, methods in schema["paths"].items()
        for method in METHODS & set(methods)
    }
    told = set(map(nameless, re.findall(r"^\| `([A-Z]+ /[^`]*)`", section("server", "Routes"), re.MULTILINE)))  # fmt: skip

    assert served | BESIDE_THE_SCHEMA == told
    addresses = [route.removeprefix("GET ") for route in BESIDE_THE_SCHEMA]
    assert {200} == {server.client.get(address).status_code for address in addresses}


def numbers(path: Path) -> set[int]:
    """Collect the whole numbers that a file of the server spells."""
    tree = ast.parse(path.read_text())
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return {value for value in constants if type(value) is int}


def test_statuses() -> None:
    """Every status code that the server answers is in its table of them, and no other."""
    files = [
        *ROOT.glob("inference/routes_*.py"), ROOT / "inference" / "app.py", ROOT / "inference" / "jobs.py",
        ROOT / "lightmeter" / "visitors.py",
    ]  # fmt: skip
    spelled = {number for file in files for number in numbers(file) if 200 <= number < 600}
    told = re.findall(r"^\| (\d{3}) \|", section("server", "Status codes"), re.MULTILINE)

    assert spelled | OF_THE_FRAMEWORK == set(map(int, told))
    assert sorted(told) == told


def run(commands: str, server: Server, folder: Path, **variables: str) -> str:
    """Run curl commands as a page prints them, against this server; a refusal is a failure."""
    need("curl", "curl")
    script = "\n".join([
        "set -euo pipefail",
        'curl() { command curl --fail-with-body "$@"; echo; }',
        commands.replace("http://localhost:7860", server.api).replace("localhost:7860", server.api),
    ])  # fmt: skip
    ran = subprocess.run(["bash", "-c", script], cwd=folder, env=clean_environment(**variables), capture_output=True, text=True, check=False)  # fmt: skip
    assert 0 == ran.returncode, ran.stdout[-2000:] + ran.stderr
    return ran.stdout


def curls(text: str) -> str:
    """Take the curl commands out of a page, whole, in order."""
    blocks = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    return "\n".join(line for line in lines if "curl" in line)


def test_api_commands(server: Server, tmp_path: Path) -> None:
    """The commands of the page on the API run as printed, and do what the page says."""
    said = run(curls(page("api")), server, tmp_path)

    assert "event: image_generation.completed" in said
    assert re.search(r"/v1/images/img_[0-9a-f]{24}-0\.png", said)
    assert '"object": "job"' in said
    assert '"score":4' in said


def test_operations_commands(tmp_path: Path) -> None:
    """The key file of the page on operations is one, and its admin may do what the page does."""
    keys = section("operations", "Keys").split("```toml\n")[1].split("```")[0]
    (tmp_path / "keys.toml").write_text(keys)
    admin = tomllib.loads(keys)["ops"]["key"]
    with Server(tmp_path / "data", "--keys", str(tmp_path / "keys.toml")) as server:
        said = run(curls(page("operations")), server.ready(), tmp_path, ADMIN_KEY=admin)

    assert '"concurrency":0' in said
    assert '"max_wait":20' in said
    assert '"state":"draining"' in said


def live(server: Server) -> set[Metric]:
    """Tell which of the catalogue's metrics a scrape has a sample of."""
    text = fetch(server.metrics_url).text
    return {
        metric
        for metric in CATALOG
        if re.search(rf"^{metric.name}(_bucket)?[{{ ]", text, flags=re.MULTILINE)
    }


def test_live_metrics(server: Server, tmp_path: Path) -> None:
    """The architecture page says of every metric of the server whether it is exposed, and when."""
    conditions = page("architecture").split("| metric | appears |")[1].split("\n\n")[0]
    conditional = {metric for metric in CATALOG if f"`{metric.name}`" in conditions}
    everything = {metric for metric in CATALOG if metric.room == "server"}
    with Server(tmp_path, "--gpu-hour-price", "1.8", "--scorer", "sharpness") as full:
        full.ready().post()
        when_set = live(full)

    assert everything - conditional == live(server) - {catalog.TORCH_MEMORY_PEAK}
    assert (
        everything - {catalog.ENERGY} == when_set
    )  # it needs a GPU; tests/inference/test_energy.py


def test_modules() -> None:
    """The way of a request names modules that there are."""
    walk = section("architecture", "One request, from floor to floor")
    names = re.findall(r"`([a-z_]+)`", walk)

    assert len(names) > 40
    assert [] == [name for name in names if not (ROOT / "inference" / f"{name}.py").exists()]
