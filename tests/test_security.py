"""What docs/security.md says, held against the code and against running programs."""

from __future__ import annotations

import ast
import contextlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from lightmeter.settings import SECTIONS
from support.cli import Ran, clean_environment, lightmeter


ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()
FOLDERS = (
    "alerts",
    "bench",
    "dashboards",
    "docs",
    "exporter",
    "inference",
    "lightmeter",
    "planner",
)
TREES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text())
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
}
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
SECRETS = re.compile(r"(^|_)(token|secret|password|bearer|authorization|credential|digest)s?$")


def test_loopback() -> None:
    """Every command that listens does so on loopback, and its ports stand on the page, until told otherwise."""
    listening = {
        name: kind.model_fields for name, kind in SECTIONS.items() if "host" in kind.model_fields
    }

    assert {"serve", "gateway", "export", "scale", "localprom", "dashboards"} == set(listening)
    for name, fields in listening.items():
        assert "127.0.0.1" == fields["host"].default
        for key, field in fields.items():
            if key.endswith("port") and field.default is not None:
                assert f"127.0.0.1:{field.default}" in PAGE, f"{name}.{key}"


def test_tls_everywhere() -> None:
    """Every command that listens can do so behind TLS."""
    ways = {"tls_cert_file", "web_config"}
    without = [
        name
        for name, kind in SECTIONS.items()
        if "host" in kind.model_fields and not ways & set(kind.model_fields)
    ]

    assert [] == without


def test_no_secret_is_an_option() -> None:
    """A secret is named by its file: a command line is everybody's to read."""
    named = [
        f"{section}.{key}"
        for section, kind in SECTIONS.items()
        for key in kind.model_fields
        if re.search(r"token|secret|password|bearer|api_key|admin_key", key)
    ]

    assert named
    assert [] == [name for name in named if not name.endswith("_file")]


def unpickling(tree: ast.AST) -> list[str]:
    """List what turns bytes of others into objects, and so runs what is in them."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names if one.name.split(".")[0] in UNPICKLERS]
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in UNPICKLERS:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            said, words = ast.unparse(node.func), {str(one.arg): one.value for one in node.keywords}
            trusting = said.endswith("read_pickle") or "allow_pickle" in words
            loads = said == "torch.load" and ast.unparse(words.get("weights_only", node)) != "True"
            unsafe = said == "yaml.load" or ("trust_remote_code" in words)
            found += [said] if trusting or loads or unsafe or said in {"eval", "exec"} else []
    return found


def test_nothing_unpickled() -> None:
    """Nothing that somebody else wrote is unpickled or evaluated, anywhere."""
    assert len(TREES) > 300
    assert {} == {name: found for name, tree in TREES.items() if (found := unpickling(tree))}


def test_unpickling_is_seen() -> None:
    """The rule finds each way in, and leaves the safe ones alone."""
    bad = "import pickle\nfrom dill import load\ntorch.load(f)\nyaml.load(f)\nnumpy.load(f, allow_pickle=True)\neval(x)"

    assert 6 == len(unpickling(ast.parse(bad)))
    assert [] == unpickling(ast.parse("torch.load(f, weights_only=True)\nyaml.safe_load(f)\nx.eval()"))  # fmt: skip


def hasty(tree: ast.AST) -> list[str]:
    """List comparisons of secrets that end at the first letter that differs."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            continue
        sides = [node.left, *node.comparators]
        names = [one.attr if isinstance(one, ast.Attribute) else one.id for one in sides if isinstance(one, ast.Attribute | ast.Name)]  # fmt: skip
        if any(SECRETS.search(name) for name in names) and not any(isinstance(one, ast.Constant) for one in sides):  # fmt: skip
            found.append(ast.unparse(node))
    return found


def test_constant_time() -> None:
    """How long a refusal takes tells nothing of a token, key or digest."""
    ours = {name: tree for name, tree in TREES.items() if not name.startswith(("bench", "docs"))}

    assert {} == {name: found for name, tree in ours.items() if (found := hasty(tree))}


def test_haste_is_seen() -> None:
    """The rule finds a token that is compared with ==, and passes over compare_digest."""
    assert ["token == known"] == hasty(ast.parse("token == known\nhmac.compare_digest(token, x)\ntoken == ''"))  # fmt: skip


KEYS = {
    name: f"sk-{name}-{'0123456789abcdef' * 2}"
    for name in ("tenant", "operator", "scaler", "bearer", "wake", "client", "grafana", "stranger")
}
"""Secrets, each of which would be known again wherever it turned up."""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Give a folder with a file for each secret."""
    for name, key in KEYS.items():
        (tmp_path / name).write_text(f"{key}\n")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "keys.toml").write_text(f'[shop]\nkey = "{KEYS["tenant"]}"\n')
    return tmp_path


LISTENERS = {
    "serve": "serve --model still --port 0 --metrics-port 0 --keys keys.toml --admin-key-file operator --access-log --data data",
    "gateway": "gateway --upstream http://127.0.0.1:1 --port 0 --metrics-port 0 --keys keys.toml --wake http://127.0.0.1:1 --wake-token-file wake --access-log",
    "scale": "scale --port 0 --prometheus http://127.0.0.1:1 --bearer-file bearer --target pool:http://127.0.0.1:1 --secret-file operator --token-file scaler --act --data data",
    "dashboards": "dashboards serve --port 0 --prometheus http://127.0.0.1:1 --bearer-file bearer",
}
ASKED = {
    "serve": [("/v1/images/generations", "tenant"), ("/v1/images/generations", "stranger"), ("/admin/limits", "operator"), ("/admin/limits", "stranger")],
    "gateway": [("/v1/images/generations", "stranger"), ("/v1/images/generations", "tenant")],
    "scale": [("/v1/freeze", "scaler"), ("/v1/freeze", "stranger"), ("/v1/alerts", "scaler")],
    "dashboards": [("/api/v1/query", "stranger")],
}  # fmt: skip


@contextlib.contextmanager
def running(folder: Path, command: str) -> Iterator[tuple[str, psutil.Process, list[str]]]:
    """Run a command with everything logged; yield its address, its process and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "lightmeter.cli", "--verbose", *command.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=clean_environment(OMP_NUM_THREADS="1"),
    )
    said: list[str] = []
    pipe = process.stdout
    assert pipe is not None
    reader = threading.Thread(target=lambda: said.extend(pipe))
    reader.start()
    try:
        yield _address(said), psutil.Process(process.pid), said
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        reader.join()
        pipe.close()


def _address(said: list[str]) -> str:
    for _ in range(1200):
        for line in list(said):
            if found := re.match(r"(?:API|gateway|scaler|live page) +(http://[\d.:]+)", line):
                return found[1]
        time.sleep(0.05)
    raise AssertionError(said)


def leaks(text: str) -> list[str]:
    """Name the secrets that a text holds."""
    return [name for name, key in KEYS.items() if key in text]


@pytest.mark.parametrize("name", LISTENERS)
def test_secrets(name: str, files: Path) -> None:
    """No key or token is in a log, an answer, a command line, the metrics, the history or a decision.

    Neither those that are known, nor one that a stranger tried.
    """
    seen: list[str] = []
    with running(files, LISTENERS[name]) as (address, process, said):
        for path, key in ASKED[name]:
            headers = {"authorization": f"Bearer {KEYS[key]}"}
            with contextlib.suppress(httpx.ReadTimeout):
                answer = httpx.post(address + path, headers=headers, json={"prompt": "x", "size": "64x64"}, timeout=1, trust_env=False)  # fmt: skip
                seen.append(f"{answer.status_code} {answer.headers} {answer.text}")
        family = [process, *process.children(recursive=True)]
        seen += [" ".join(one.cmdline()) for one in family]
    written = [path for path in (files / "data").rglob("*") if path.is_file()]

    assert len(seen) > 1
    assert [] == leaks("\n".join([*seen, *said]))
    assert [] == [path for path in written if leaks(path.read_bytes().decode("latin-1"))]


REFUSED = {
    "config show": {},
    "config show --json": {},
    "dashboards publish --url http://127.0.0.1:1 --token-file grafana": {},
    "load --url http://127.0.0.1:1 --requests 1 --api-key-file client --timeout 2": {},
    "load --url http://127.0.0.1:1 --requests 1 --timeout 2": {"LIGHTMETER_LOAD_API_KEY": KEYS["client"]},
    "dashboards publish --url http://127.0.0.1:1": {"GRAFANA_TOKEN": KEYS["grafana"]},
    "serve --keys operator": {},
    "scale --target command:false --prometheus http://127.0.0.1:1 --secret-file keys.toml --token-file keys.toml --host 0.0.0.0 --port 0 --max 0": {},
    "export --web-config operator": {},
    "--config operator config show": {},
}  # fmt: skip


@pytest.mark.parametrize("command", REFUSED)
def test_secrets_in_errors(command: str, files: Path) -> None:
    """No command prints a secret, whether it fails or not, nor the contents of a file that is wrong."""
    assert [] == leaks(said(lightmeter("--verbose", *command.split(), cwd=files, **REFUSED[command])))  # fmt: skip


def said(ran: Ran) -> str:
    return ran.out + ran.err


def test_made_key(tmp_path: Path) -> None:
    """The key that is made for all of it together is nobody else's to read."""
    from lightmeter.cli import house

    path = house._key(tmp_path / "data" / house.KEY_FILE)

    assert 0o600 == path.stat().st_mode & 0o777
    assert 64 == len(path.read_text().strip())
