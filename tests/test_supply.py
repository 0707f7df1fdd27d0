"""What lightmeter stands on: its bill of materials, and the look at known vulnerabilities."""

from __future__ import annotations

import importlib.util
import json
import socket
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest


DEPLOY = Path(__file__).parents[1] / "deploy"


def script(name: str) -> ModuleType:
    """Load a script of deploy/."""
    spec = importlib.util.spec_from_file_location(f"deploy_{name}", DEPLOY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_sbom() -> None:
    """The bill names each distribution once, with its version, where it is from, and its licence."""
    found = [metadata.distribution(name) for name in ("httpx", "numpy", "numpy", "torch")]
    bill = json.loads(script("sbom").document(found))
    parts = {part["name"]: part for part in bill["components"]}

    assert ("CycloneDX", "1.6") == (bill["bomFormat"], bill["specVersion"])
    assert {"httpx", "numpy", "torch"} == parts.keys()
    assert 3 == len(bill["components"])
    version = metadata.version("httpx")
    assert (version, f"pkg:pypi/httpx@{version}") == (parts["httpx"]["version"], parts["httpx"]["purl"])  # fmt: skip
    assert parts["httpx"]["licenses"]


def test_sbom_of_lightmeter() -> None:
    """Lightmeter itself is what the bill is of, with what it asks for by itself."""
    found = [metadata.distribution(name) for name in ("lightmeter", "httpx", "pytest")]
    bill = json.loads(script("sbom").document(found))
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    version = metadata.version("lightmeter")

    assert "lightmeter" == bill["metadata"]["component"]["name"]
    assert [f"httpx=={metadata.version('httpx')}"] == needs[f"lightmeter=={version}"]


def test_audit_offline(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a way to the advisories the audit says that it did not look, and breaks no build."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]

    assert 0 == script("audit").main(f"http://127.0.0.1:{port}/pypi/pip/json")
    assert "audit skipped: " in capsys.readouterr().out


def test_audit_told() -> None:
    """A vulnerability fails the audit and is named; what the service does not know is never taken for sound."""
    audit = script("audit")
    strange = {"name": "a", "skip_reason": "not found"}
    sound = {"name": "b", "version": "1", "vulns": []}
    bad = {"name": "c", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}

    assert (0, ["audit skipped: the service knows none of 1 distributions"]) == audit.told(
        [strange]
    )
    assert (0, ["1 distributions audited, 0 known vulnerabilities", "not audited: a"]) == audit.told([strange, sound])  # fmt: skip
    assert (1, ["2 distributions audited, 1 known vulnerabilities", "c 2: CVE-1, mended in 3"]) == audit.told([sound, bad])  # fmt: skip


def test_audit_starts() -> None:
    """The program that looks is installed with the tools for development."""
    assert importlib.util.find_spec("pip_audit"), sys.executable
