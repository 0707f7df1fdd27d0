"""Gets ``bench/gpu/run`` its packages, then goes on as `bench.gpu.main`. Standard library only.

The Python that has torch is used as it is. A virtual environment of its own would not see torch
where that Python is itself in one, so missing packages go into a folder that is put before its own.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path


ROOT = Path(__file__).resolve().parents[2]
NEEDED = (
    "torch", "diffusers", "transformers", "accelerate", "safetensors", "peft", "numpy", "pandas", "pyarrow",
    "PIL", "matplotlib", "fastapi", "uvicorn", "pydantic", "httpx", "prometheus_client", "opentelemetry.sdk",
    "bcrypt", "click", "rich", "jinja2", "yaml", "fsspec", "psutil", "pynvml", "packaging",
)  # fmt: skip
"""Modules without which it cannot go on."""
SITE = ROOT / "build" / "gpu-site"
"""Where missing packages are installed; kept between runs."""


def main() -> None:
    """Install what is missing and become the next program."""
    began, arguments = time.time(), sys.argv[1:]
    wheels = _take(arguments, "--wheels")
    _name_ourselves()
    if wheels:
        files = sorted(Path(wheels).glob("*.whl"))
        if not files:
            raise SystemExit(f"bench/gpu/run: there are no wheels in {wheels}")
        _install([wheel for wheel in files if not is_there(wheel)])
    if absent := missing(NEEDED):
        raise SystemExit(
            f"bench/gpu/run: {sys.executable} has no {', '.join(absent)}; name another Python with PYTHON=, or give --wheels a folder from bench/gpu/wheels"
        )
    paths = [str(ROOT), str(SITE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(filter(None, paths)))}
    program = [sys.executable, "-P", "-m", "bench.gpu.main", "--began", str(began), *arguments]
    os.execve(sys.executable, program, environment)  # noqa: S606  (there is no shell to want)


def missing(modules: Iterable[str]) -> list[str]:
    """Name the modules that cannot be found, here or in `SITE`."""
    if str(SITE) not in sys.path:
        sys.path.insert(0, str(SITE))
    importlib.invalidate_caches()
    return [name for name in modules if not _found(name)]


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor its package
        return False


def _take(arguments: list[str], option: str) -> str:
    """Take an option and its value out of the arguments; "" where it is not given."""
    for index, word in enumerate(arguments):
        if word == option and index + 1 < len(arguments):
            value = arguments[index + 1]
            del arguments[index : index + 2]
            return value
        if word.startswith(f"{option}="):
            del arguments[index]
            return word.partition("=")[2]
    return ""


def _name_ourselves() -> None:
    """Let `importlib.metadata` know lightmeter's version where it is not installed."""
    try:
        metadata.version("lightmeter")
    except metadata.PackageNotFoundError:
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        found = re.search(r'^version = "([^"]+)"', text, flags=re.MULTILINE)
        version = found.group(1) if found else "0"
        folder = SITE / f"lightmeter-{version}.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: lightmeter\nVersion: {version}\n"
        )


def is_there(wheel: Path) -> bool:
    """Tell whether a wheel's package is installed, here or in `SITE`, in its version or a later one."""
    name, version, *_ = wheel.name.split("-")
    places = [*sys.path, str(SITE)]
    found = [one.version for one in metadata.distributions(name=name, path=places)]
    return any(_numbers(one) >= _numbers(version) for one in found)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])]


def _install(wheels: list[Path]) -> None:
    if not wheels:
        return
    options = ["--no-index", "--no-deps", "--no-compile", "--no-cache-dir", "--upgrade", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(SITE)]
    if subprocess.run([*command, *map(str, wheels)], check=False).returncode:
        names = ", ".join(wheel.name.partition("-")[0] for wheel in wheels)
        raise SystemExit(f"bench/gpu/run: pip could not install {names}")


if __name__ == "__main__":
    main()
