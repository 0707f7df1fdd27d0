"""The pages that lead by the hand: each command runs as printed, or the line above it says what it needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import clean_environment
from support.ports import default_ports


pytestmark = [pytest.mark.proof, pytest.mark.timeout(600)]
DOCS = Path(__file__).parents[2] / "docs"
LED = ("tutorial", "quickstart")
"""Pages that are followed from their first line to their last."""
BLOCK = re.compile(r"(?P<above>[^\n]*)\n\n```console\n(?P<lines>.*?)```", re.DOTALL)
NEEDS = "Needs "
SERVE = re.compile(r"lightmeter (serve|export|localprom|scale|gateway|dashboards serve)\b")
"""What goes on until it is ended; a person gives it a terminal of its own."""
MADE = {"make up": "lightmeter up --duration 12 --load 3"}
"""What stands for a command that has just been run to get here."""
DONE = ("git clone", "source ")
OPENING = """
set -euo pipefail
number=0
serving() {  # start it, and go on as soon as it says where it is and, for a server, is ready
  number=$((number + 1)); local log="serving-$number.log"
  "$@" >"$log" 2>&1 &
  for _ in $(seq 1200); do
    if grep -q http "$log" && { [ "$2" != serve ] || curl -sf localhost:7860/readyz >/dev/null; }; then return; fi
    if ! kill -0 $! 2>/dev/null; then cat "$log"; echo "ended: $*"; exit 1; fi
    sleep 0.1
  done
  cat "$log"; echo "says nothing: $*"; exit 1
}
looking() {  # ask again for half a minute: a person types slower than this
  for _ in $(seq 60); do if "$@"; then return; fi; sleep 0.5; done
  "$@"
}
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
"""


def runnable(page: str) -> Iterator[str]:
    """Yield the lines of a page that run here, in order."""
    for block in BLOCK.finditer((DOCS / f"{page}.md").read_text()):
        if not block["above"].startswith(NEEDS):
            yield from filter(None, block["lines"].splitlines())


def scripted(line: str) -> str:
    """Turn a line into one of a script that runs all of them by itself."""
    line = MADE.get(line, line)
    if SERVE.match(line):
        return f"serving {line}"
    first = "looking " if line.startswith(("lightmeter explain", "lightmeter replay")) else ""
    return f"echo {chr(39)}$ {line.split(' ', 2)[0]}{chr(39)}; {first}{line}"


def private() -> list[str]:
    """Give the words that run a command where every port is free; none where that is not permitted."""
    words = ["unshare", "--net", "--map-root-user", "bash", "-c", 'ip link set lo up && exec "$@"', "bash"]  # fmt: skip
    if shutil.which("unshare") and not subprocess.run([*words, "true"], check=False, capture_output=True).returncode:  # fmt: skip
        return words
    return []


@pytest.mark.parametrize("page", LED)
def test_followed(page: str, tmp_path: Path) -> None:
    """Who follows the page from its first line to its last meets no error."""
    lines = [scripted(line) for line in runnable(page) if not line.startswith(DONE)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with default_ports():
        ran = subprocess.run(
            [*private(), "bash", "-c", "\n".join([OPENING, *lines])],
            cwd=tmp_path,
            env=clean_environment(PATH=path),
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )

    assert len(lines) >= 7
    assert 0 == ran.returncode, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert "lightmeter:" not in ran.stderr
    assert {True} == {(tmp_path / name).stat().st_size > 0 for name in ("fox.json", "report/report.html")}  # fmt: skip


def test_translated() -> None:
    """The Chinese quick start runs the commands of the English one, but for the words of a prompt."""
    english, chinese = ([re.sub(r'"prompt": "[^"]*"', "", line) for line in runnable(page)] for page in ("quickstart", "quickstart.zh"))  # fmt: skip

    assert english == chinese


def test_readme_plan(tmp_path: Path) -> None:
    """What the README shows of the plan of the production trace is what is printed today."""
    traces = os.environ.get("LIGHTMETER_TRACES")
    if not traces or not (Path(traces) / "gentd26" / "requests.csv.gz").exists():
        pytest.skip("LIGHTMETER_TRACES names no folder with gentd26/requests.csv.gz")
    readme = (DOCS.parent / "README.md").read_text()
    commands = re.findall(r"^lightmeter (?:history import gentd26|plan --history history) .*$", readme, re.MULTILINE)  # fmt: skip
    (shown,) = re.findall(r"```text\n([^`]*^option .*?)```", readme, re.DOTALL | re.MULTILINE)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(["bash", "-ec", "\n".join(commands)], cwd=tmp_path, env=clean_environment(PATH=path, LIGHTMETER_TRACES=traces, COLUMNS="200"), capture_output=True, text=True, check=False)  # fmt: skip

    assert 2 == len(commands)
    assert 0 == ran.returncode, ran.stderr
    printed = set(map(str.rstrip, ran.stdout.splitlines()))
    assert [] == [line for line in shown.splitlines() if line.rstrip() not in printed]
