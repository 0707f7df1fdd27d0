"""Public dashboards of node_exporter, asked of its own readings and of ours, panel by panel.

    python -m bench.hostboard node-exporter-full.json

Both exporters watch this machine and one Prometheus scrapes them every second. A query counts where
it has data; the board's variables are set to the one host. Dashboards are not ours to ship: take one
from https://grafana.com/grafana/dashboards/1860.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from bench import common


common.support()
from support.alerting import free_port  # noqa: E402  (found only after the line above)
from support.exporter import Exporter  # noqa: E402  (found only after the line above)
from support.nvml import FakeNvml  # noqa: E402  (found only after the line above)


THEIRS, OURS = "node_exporter", "lightmeter export"
SCRAPED_SECONDS = 20
CONFIG = """\
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: {theirs}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
  - job_name: {ours}
    static_configs: [{{targets: ["{target}"]}}]
"""


def panels(board: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Walk through a dashboard's panels that ask something: title and queries."""
    for panel in board.get("panels", []):
        yield from panels(panel)
        queries = [one["expr"] for one in panel.get("targets", []) if one.get("expr")]
        if queries:
            yield panel.get("title", ""), queries


def filled(query: str, job: str, instance: str) -> str:
    """Put one host into the variables that node_exporter's boards have."""
    values = {"$node": instance, "$instance": instance, "$job": job, "$__rate_interval": "10s", "$__interval": "10s", "$cluster": ""}  # fmt: skip
    for name, value in values.items():
        query = query.replace(name, value)
    return query


class Readings:
    """A Prometheus that has scraped both."""

    def __init__(self, url: str, instances: dict[str, str]) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False)
        self._instances = instances

    def has(self, query: str, job: str) -> bool:
        """Say whether a query has data for an exporter's host.

        Raises:
            SystemExit: Prometheus does not understand it.
        """
        asked = filled(query, job, self._instances[job])
        answer = self._client.get("/api/v1/query", params={"query": asked})
        if not answer.is_success:
            raise SystemExit(f"{asked}: {answer.text}")
        return bool(answer.json()["data"]["result"])


@contextlib.contextmanager
def readings() -> Iterator[Readings]:
    """Run both exporters and the Prometheus.

    Raises:
        SystemExit: a program is missing.
    """
    programs = {
        name: shutil.which(name) or "" for name in ("prometheus", "prometheus-node-exporter")
    }
    if missing := [name for name, path in programs.items() if not path]:
        raise SystemExit(f"not found: {', '.join(missing)}; install them as packages")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder, port, own = Path(name), free_port(), free_port()
        exporter = stack.enter_context(Exporter(**FakeNvml(folder, gpus=1).environment))
        target = exporter.url.split("/")[2]
        (folder / "prometheus.yml").write_text(CONFIG.format(theirs=THEIRS, ours=OURS, port=port, target=target))  # fmt: skip
        for command in (
            [programs["prometheus-node-exporter"], f"--web.listen-address=127.0.0.1:{port}"],
            [programs["prometheus"], f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address=127.0.0.1:{own}"],
        ):  # fmt: skip
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.terminate)
        time.sleep(SCRAPED_SECONDS)
        yield Readings(f"http://127.0.0.1:{own}", {THEIRS: f"127.0.0.1:{port}", OURS: target})


def main() -> None:
    """Ask every query of every board twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("boards", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--missing", action="store_true", help="print what only theirs answers")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args()
    with readings() as seen:
        rows = [_row(path, seen, missing=args.missing) for path in args.boards]
    common.finish(args, common.machine("httpx"), rows, [])


def _row(path: Path, seen: Readings, *, missing: bool) -> dict[str, Any]:
    board = json.loads(path.read_text(encoding="utf-8"))
    asked = [(title, query) for title, queries in panels(board) for query in queries]
    theirs = [pair for pair in asked if seen.has(pair[1], THEIRS)]
    ours = [pair for pair in theirs if seen.has(pair[1], OURS)]
    if missing:
        for title, query in theirs:
            if (title, query) not in ours:
                print(f"{title}: {' '.join(query.split())}")
    full = {title for title, _ in theirs} - {title for title, query in theirs if (title, query) not in ours}  # fmt: skip
    return {
        "dashboard": board["title"],
        "queries": len(asked),
        "node_exporter answers": len(theirs),
        "ours answers of them": len(ours),
        "panels that are whole": f"{len(full)} of {len({title for title, _ in theirs})}",
    }


if __name__ == "__main__":
    main()
