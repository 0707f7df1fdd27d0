"""What a scrape costs: our page beside the same samples by way of prometheus_client.

8 GPUs with 4 processes each in 32 containers (and once in 500), and this host. Each server is a
process of its own; one client with a kept connection scrapes it every 60 ms, so that each page is
built anew.
"""

from __future__ import annotations

import gc
import http.client
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from bench import common


SCRAPES, PAUSE_SECONDS = 300, 0.06
TARGET_CPU_MS = 1.0
OURS, PEER = "lightmeter", "prometheus_client"


def main() -> None:
    """Measure both and compare."""
    if len(sys.argv) > 3 and sys.argv[1] == "serve":
        _serve(sys.argv[2], int(sys.argv[3]))
    args = common.arguments(__doc__)
    rows = [_measure(*one) for one in ((OURS, 32), (OURS, 500), (PEER, 32))]
    cost = rows[0]["CPU, ms"]
    for row in rows:
        row["times as fast"] = cost / row["CPU, ms"]
    failures = [f"a scrape costs {cost:.2f} ms of CPU"] if cost > TARGET_CPU_MS else []
    common.finish(args, common.machine("prometheus_client", "psutil"), rows, failures)


def _measure(name: str, containers: int) -> dict[str, Any]:
    command = [sys.executable, "-P", str(Path(__file__)), "serve", name, str(containers)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None  # noqa: S101  (it was asked for)
        port = int(server.stdout.readline())
        client = http.client.HTTPConnection("127.0.0.1", port)
        _scrape(client)
        process = psutil.Process(server.pid)
        before, seconds, size = process.cpu_times(), [], 0
        for _ in range(SCRAPES):
            time.sleep(PAUSE_SECONDS)
            begin = time.perf_counter()
            size = len(_scrape(client))
            seconds.append(time.perf_counter() - begin)
        after = process.cpu_times()
        server.kill()
    spent = after.user + after.system - before.user - before.system
    return {
        "server": name,
        "containers": containers,
        "bytes": size,
        "CPU, ms": spent / SCRAPES * 1000,
        "p50, ms": statistics.median(seconds) * 1000,
        "p99, ms": sorted(seconds)[int(0.99 * SCRAPES)] * 1000,
    }


def _scrape(client: http.client.HTTPConnection) -> bytes:
    client.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
    return client.getresponse().read()


def _serve(name: str, containers: int) -> None:
    """Be one of the servers, until killed."""
    common.support()
    from exporter.attribution import Known, prepare
    from exporter.host import Host
    from exporter.page import Content, Page
    from exporter.render import Naming
    from exporter.serve import Server
    from exporter.snapshot import Owner, Process
    from exporter.web import Web
    from lightmeter.listening import listen
    from support.fleet import fleet, snapshot

    each = [range(100 * index, 100 * index + containers // 8) for index in range(8)]
    busy_processes = [tuple(Process(pid=pid, used_bytes=9 * 2**30, busy_seconds=1.5) for pid in pids) for pids in each]  # fmt: skip
    now = fleet(8, snapshots=tuple(snapshot(i, processes=p) for i, p in enumerate(busy_processes)))
    owners = {p.pid: Owner("studio", f"z-image-{p.pid}", "main") for s in now.snapshots for p in s.processes or ()}  # fmt: skip
    busy = {s.gpu.uuid: {owners[p.pid]: 1.5 for p in s.processes or ()} for s in now.snapshots}
    known = Known(owners=owners, busy=busy)
    blocks = prepare(now, known, 10_000)
    page = Page(
        Content(fleet=lambda: now, naming=Naming("node"), blocks=lambda: blocks, host=Host())
    )
    gc.collect()
    gc.freeze()  # as the exporter does
    if name == OURS:
        port = Server(listen("127.0.0.1", 0), page.answer, Web(None)).port
    else:
        port = _peer(page.bytes().decode())
    print(port, flush=True)
    while True:
        time.sleep(60)


def _peer(text: str) -> int:
    """Serve the same samples with prometheus_client's collector and server."""
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.core import GaugeMetricFamily, Metric
    from prometheus_client.parser import text_string_to_metric_families
    from prometheus_client.registry import Collector

    families = list(text_string_to_metric_families(text))

    class Same(Collector):
        def collect(self) -> list[Metric]:
            found: list[Metric] = []
            for family in families:
                names = list(family.samples[0].labels)
                made = GaugeMetricFamily(family.name, family.documentation, labels=names)
                for sample in family.samples:
                    made.add_metric(list(sample.labels.values()), sample.value)
                found.append(made)
            return found

    registry = CollectorRegistry()
    registry.register(Same())
    server, _ = start_http_server(0, "127.0.0.1", registry)
    return int(server.server_port)


if __name__ == "__main__":
    main()
