"""Every query of every panel, variable and mark, on a real Prometheus that scrapes a real server."""

from __future__ import annotations

import contextlib
import itertools
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashboards.boards import all_boards
from dashboards.finding import dicts, drawn, part, variables
from dashboards.lint_board import label_values, variable_query
from dashboards.render import dashboard
from lightmeter import catalog
from lightmeter.catalog import CATALOG, Dcgm, Throttle
from support.debian import need
from support.exporter import Exporter, Served
from support.server import GENERATIONS, Server, eventually


pytestmark = [pytest.mark.proof, pytest.mark.timeout(400)]
RULES = Path(__file__).parents[2] / "alerts" / "generated" / "prometheus"
BOARDS = [dashboard(one, "http://127.0.0.1/runbook") for one in all_boards()]
GPU = "GPU-demo-0"
ON_A_GPU = """#!{python}
import dataclasses, sys
from inference import still, worker
load = still.load
still.load = lambda setup: dataclasses.replace(load(setup), gpu_uuid={gpu!r})
sys.argv[1:] = sys.argv[4:]
worker.main()
"""
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SLOS = ("availability", "wait", "slowdown", "guard")
DAY = 86_400
TARGETS = 4
EMPTY = {
    "Sampled scores A": "no scorer is set, since it would need weights",
    "Cold starts A": "a model without weights tells no phases of loading",
    "Cold starts B": "the same",
    "Model loads": "the same",
    "Restarts": "no exporter was restarted",
}
"""What has no data here, and why."""
CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}/recommended-*.yaml"]
scrape_configs:
  - job_name: server
    static_configs: [{{targets: ["{server}"]}}]
  - job_name: gpu
    static_configs: [{{targets: ["{gpu}", "{nvidia}"]}}]
  - job_name: scaler
    static_configs: [{{targets: ["{scaler}"]}}]
"""


def address(url: str) -> str:
    return url.split("/")[2]


def line(metric: catalog.Metric | str, value: float, suffix: str = "", **labels: str) -> str:
    name = metric.name if isinstance(metric, catalog.Metric) else str(metric)
    inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"{name}{suffix}{{{inside}}} {value}\n"


def nvidia(at: float) -> str:
    """Write a page like dcgm-exporter's, with what a device plugin's node has beside it."""
    gpu = {"gpu": "0", "UUID": "GPU-theirs", "Hostname": "node2"}
    pod = {"namespace": "images", "pod": "shop-1", "container": "server"}
    gauges = dict.fromkeys((Dcgm.GPU_TEMP, Dcgm.GPU_UTIL, Dcgm.FB_USED, Dcgm.FB_FREE, Dcgm.POWER_USAGE, Dcgm.SM_CLOCK), 40.0)  # fmt: skip
    text = "".join(line(field.value, value, **gpu) for field, value in gauges.items())
    text += line(Dcgm.SM_ACTIVE.value, 0.4, **gpu) + line(Dcgm.ECC_DBE_VOL.value, 0, **gpu)
    text += line(Dcgm.ECC_SBE_VOL.value, at // 10, **gpu)
    for name, reason in catalog.DCGM_VIOLATIONS.items():
        if reason in (Throttle.POWER, Throttle.THERMAL):
            text += line(name, at * 1e8, **gpu)
    ours = {"gpu": "0", "UUID": "GPU-theirs"}
    text += line(catalog.POD_BUSY, at / 2, **ours, **pod)
    text += line(catalog.POD_MEMORY_USED, 3e9, **ours, **pod)
    text += line(catalog.POD_MEMORY_GRANTED, 4e9, **ours, **pod)
    return text + line(catalog.GPU_XID, at // 5, **ours, xid="13")


def scaler(at: float) -> str:
    """Write a page of a scaler that goes up and down."""
    of = {"target": "shop"}
    text = "".join(line(metric, 2, **of) for metric in (catalog.DESIRED_REPLICAS, catalog.READY_REPLICAS, catalog.STARTING_REPLICAS))  # fmt: skip
    text += line(catalog.DECISIONS, at // 3, **of, action="up", term="demand")
    text += line(catalog.SIGNAL_AGE, 2, **of, signal="queue")
    text += line(catalog.TARGET_ASKS, at // 3, **of, ask="order", answer="busy")
    for bound in ("10.0", "+Inf"):
        text += line(catalog.COLD_START, at // 3, "_bucket", **of, le=bound)
    text += line(catalog.WEBHOOK_POSTS, at // 4, result="taken")
    return text + line(catalog.WEBHOOK_ALERTS, at // 4, result="began")


def deciders(at: float) -> str:
    """Write a page of a scaler, and of a gateway that it was woken by."""
    of = {"service": "gateway"}
    text = scaler(at) + line(catalog.GATEWAY_REPLICAS, 2, **of, state="ready")
    text += line(catalog.GATEWAY_RESENT, at // 3, **of, reason="unready")
    text += line(catalog.GATEWAY_WAKES, at // 3, **of, result="started")
    for bound in ("10.0", "+Inf"):
        text += line(catalog.GATEWAY_WAKE_WAIT, at // 3, "_bucket", **of, le=bound)
    return text


def yesterday(target: str, service: str, now: float) -> str:
    """Write what Prometheus would have from before: counts of half an hour, signals of a day ago."""
    made = ""
    for name, value in ((catalog.SLO_REQUESTS, 100), (catalog.SLO_ERRORS, 1)):
        made += f"# TYPE {name} gauge\n"
        for slo, minute in itertools.product(SLOS, range(30, 0, -1)):
            made += line(name, value, service=service, slo=slo)[:-1] + f" {now - 60 * minute:.0f}\n"
    labels = {"service": service, "model": "still", "job": "server", "instance": target}
    for suffix in ("_sum", "_count"):
        made += f"# TYPE {catalog.IMAGE_SIGNAL.name}{suffix} unknown\n"
        for signal_name, second in itertools.product(catalog.SIGNALS, range(-10, 300)):
            sample = line(catalog.IMAGE_SIGNAL, second + 20, suffix, **labels, signal=signal_name)
            made += sample[:-1] + f" {now - DAY + second:.0f}\n"
    return made + "# EOF\n"


class Run:
    """A Prometheus over all sources, and what its API says."""

    def __init__(self, api: str, http: httpx.Client) -> None:
        self._api = f"{api}/api/v1"
        self._http = http

    def get(self, path: str, **params: str) -> Any:
        """Ask its API; nothing where it does not answer yet."""
        try:
            answer = self._http.get(f"{self._api}/{path}", params=params)
        except httpx.TransportError:
            return None
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return None  # it is starting
        assert answer.is_success, (answer.text, params)
        return answer.json()["data"]

    def values(self, query: str) -> list[float]:
        """Ask for the values of an expression."""
        found = self.get("query", query=query)
        return [float(one["value"][1]) for one in found["result"]] if found else []


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    worker = tmp_path / "worker"
    worker.write_text(ON_A_GPU.format(python=sys.executable, gpu=GPU))
    worker.chmod(0o755)
    program = f"import sys; sys.executable = {str(worker)!r}\nfrom lightmeter.cli import main; main()"  # fmt: skip
    with contextlib.ExitStack() as stack:
        exporter = stack.enter_context(Exporter("--demo", "--gpus", "2"))
        options = ("--exporter-url", exporter.url, "--gpu-hour-price", "2.5", "--queue", "4", "--batch", "2")  # fmt: skip
        server = stack.enter_context(Server(tmp_path / "data", *options, program=("-c", program)))
        pages = [stack.enter_context(Served(write(0.0))) for write in (nvidia, deciders)]
        server.ready()
        targets = {"server": server.metrics_url, "gpu": exporter.url, "nvidia": pages[0].url, "scaler": pages[1].url}  # fmt: skip
        api = stack.enter_context(prometheus(tmp_path, {name: address(url) for name, url in targets.items()}))  # fmt: skip
        over = threading.Event()
        work = threading.Thread(target=load, args=(server, pages, over))
        work.start()
        stack.callback(work.join)
        stack.callback(over.set)
        yield Run(api, stack.enter_context(httpx.Client(trust_env=False, timeout=20)))


@contextlib.contextmanager
def prometheus(folder: Path, targets: dict[str, str]) -> Iterator[str]:
    (folder / "prometheus.yml").write_text(CONFIG.format(rules=RULES, **targets))
    (folder / "before.txt").write_text(yesterday(targets["server"], "still", time.time()))
    promtool = need("promtool", "prometheus")
    subprocess.run([promtool, "tsdb", "create-blocks-from", "openmetrics", folder / "before.txt", folder / "tsdb"], check=True, capture_output=True)  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as probe:
        at = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [need("prometheus", "prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address={at}", "--enable-feature=exemplar-storage"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield f"http://{at}"
        process.terminate()


def load(server: Server, pages: list[Served], over: threading.Event) -> None:
    """Ask for good and spoiled pictures, more at once than there is room for; rate."""
    began = time.monotonic()
    for number in itertools.count():
        at = time.monotonic() - began
        pages[0].page, pages[1].page = nvidia(at), deciders(at)
        many = [{"seed": number * 40 + each, "num_inference_steps": 4, "priority": ("interactive", "batch")[each % 2]} for each in range(12)]  # fmt: skip
        server.together(many)
        made = server.client.post(GENERATIONS, json={"prompt": "black", "seed": number}, headers={"traceparent": TRACE})  # fmt: skip
        if made.is_success:
            rating = {"request_id": made.json()["id"], "score": 4}
            server.client.post("/v1/feedback", json=rating)
        if over.wait(0.2):
            return


def chosen(run: Run, board: dict[str, Any], *, all_of_it: bool) -> dict[str, str]:
    """Settle the variables: all, or each value that there is, as Grafana writes several."""
    found = {"__rate_interval": "10s"}
    for one in variables(board):
        name = str(one["name"])
        if one["type"] == "query":
            values = asked(run, one, found)
            assert values, name
            found[name] = ".+" if all_of_it else f"({'|'.join(values)})"
        else:
            found[name] = str(part(one, "current").get("value", ""))
    return found


def asked(run: Run, variable: Any, so_far: dict[str, str]) -> list[str]:
    query, label = label_values(variable_query(variable))
    found: list[str] = run.get(f"label/{label}/values", **{"match[]": filled(query, so_far)}) or []
    return found


def filled(query: str, values: dict[str, str]) -> str:
    for name in sorted(values, key=len, reverse=True):
        query = query.replace(f"${name}", values[name])
    return query.replace("[1h:]", "[1h:5s]")


def queries(board: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """Yield the name and text of each query, and whether it asks for exemplars."""
    for panel in drawn(board):
        for target in dicts(panel["targets"]):
            yield f"{panel['title']} {target['refId']}", target["expr"], target["exemplar"]
    for mark in board["annotations"]["list"]:
        yield mark["name"], mark["expr"], False


def fault(run: Run, text: str, *, exemplar: bool) -> str:
    """Say what a query lacks; fail where it has numbers that are none."""
    numbers = run.values(text)
    assert all(map(math.isfinite, numbers)), (numbers, text)
    if not numbers:
        return f"no data: {text}"
    span = {"start": str(time.time() - 600), "end": str(time.time() + 60)}
    return f"no exemplar: {text}" if exemplar and not run.get("query_exemplars", query=text, **span) else ""  # fmt: skip


def test_every_query(run: Run) -> None:
    """Each query has finite data, whatever is chosen; what has none is named with its reason."""
    assert eventually(lambda: len(run.values("up == 1")) == TARGETS, 60)
    asked = {
        (name, everything): (board, query, exemplar)
        for board, everything in itertools.product(BOARDS, (True, False))
        for name, query, exemplar in queries(board)
        if name not in EMPTY
    }
    left = dict.fromkeys(asked, "")

    def settled() -> bool:
        for name in list(left):
            board, query, exemplar = asked[name]
            values = chosen(run, board, all_of_it=name[1])
            left[name] = fault(run, filled(query, values), exemplar=exemplar)
            if not left[name]:
                del left[name]
        return not left

    assert eventually(settled, 150), "\n".join(f"{name}: {said}" for name, said in left.items())
    assert set() == set(EMPTY) - {name for board in BOARDS for name, _, _ in queries(board)}


def test_names_known() -> None:
    """The stand-in pages spell what the catalogue has."""
    known = {metric.name for metric in CATALOG} | set(catalog.DCGM_VIOLATIONS)
    text = nvidia(1) + deciders(1)
    names = {row.partition("{")[0].removesuffix("_bucket") for row in text.splitlines()}

    assert set() == names - known
