"""What the gateway adds to a request, beside nginx in front of the same replica, and against asking it directly.

The replica answers at once, so that nothing but the way is measured: 2 KB, as a picture's address
is, and 1.5 MB, as a picture of a megapixel is. One client, one kept connection for each way, the
three ways in turns; CPU time is the proxy's own processes'. nginx is Debian's, one worker, with
buffering off, as streams need it. It neither queues, measures, retries after a refusal nor wakes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpcore
import numpy as np
import psutil

from bench import common


SIZES = {"2 KB": (2_000, 1_500), "1.5 MB": (1_500_000, 200)}
"""By name: bytes of an answer, and requests on each way."""
WARM_UP = 20
MOST_ADDED_SECONDS = 0.05
"""A twentieth of a second for a picture that takes one; nobody would see it."""
BODY = json.dumps({"prompt": "a fox", "size": "64x64"}).encode()
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream replica {{ server 127.0.0.1:{behind}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://replica; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_buffering off; proxy_read_timeout 330s;
    }}
  }}
}}
"""


def main() -> None:
    """Measure each way at each size."""
    args = common.arguments(__doc__)
    common.support()
    rows: list[dict[str, Any]] = []
    for name, (size, count) in SIZES.items():
        with _replica(size) as behind, _ways(behind) as ways:
            rows += _compare(name, ways, count)
    failures = [
        f"the gateway adds {row['added p50 ms']:.1f} ms to {row['answer']}"
        for row in rows
        if row["way"] == "gateway" and row["added p50 ms"] > MOST_ADDED_SECONDS * 1000
    ]
    common.finish(args, common.machine("httpcore", "uvicorn") | {"nginx": _nginx_version()}, rows, failures)  # fmt: skip


def _compare(
    answer: str, ways: dict[str, tuple[str, list[int]]], count: int
) -> list[dict[str, Any]]:
    took, cpu = _measure(ways, count)
    direct = np.array(took["direct"])
    rows: list[dict[str, Any]] = []
    for way, seconds in took.items():
        all_ = np.array(seconds) * 1000
        rows.append(
            {
                "answer": answer,
                "way": way,
                "p50 ms": float(np.quantile(all_, 0.5)),
                "p95 ms": float(np.quantile(all_, 0.95)),
                "added p50 ms": float(np.quantile(all_, 0.5) - np.quantile(direct, 0.5) * 1000),
                "added p95 ms": float(np.quantile(all_, 0.95) - np.quantile(direct, 0.95) * 1000),
                "CPU ms a request": cpu[way] / count * 1000,
            }
        )
    peer = next((row for row in rows if row["way"] == "nginx"), None)
    for row in rows:
        known = peer is not None and row["way"] != "direct"
        row["added p50, x nginx"] = row["added p50 ms"] / peer["added p50 ms"] if known and peer else ""  # fmt: skip
    return rows


def _measure(
    ways: dict[str, tuple[str, list[int]]], count: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Ask in turns; return seconds of each request, and CPU seconds, by way."""
    took: dict[str, list[float]] = {way: [] for way in ways}
    with contextlib.ExitStack() as stack:
        clients = {way: stack.enter_context(httpcore.ConnectionPool(max_connections=1)) for way in ways}  # fmt: skip
        before: dict[str, float] = {}
        for n in range(count + WARM_UP):
            if n == WARM_UP:
                before = {way: _cpu(pids) for way, (_, pids) in ways.items()}
            for way, (url, _) in ways.items():
                begin = time.perf_counter()
                answer = clients[way].request("POST", f"{url}/v1/images/generations", content=BODY)
                if answer.status != 200:
                    raise SystemExit(f"{way} answered {answer.status}: {answer.content[:200]!r}")
                if n >= WARM_UP:
                    took[way].append(time.perf_counter() - begin)
        after = {way: _cpu(pids) for way, (_, pids) in ways.items()}
    return took, {way: after[way] - before[way] for way in ways}


def _cpu(pids: list[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(one.user + one.system for one in times)


@contextlib.contextmanager
def _ways(behind: int) -> Iterator[dict[str, tuple[str, list[int]]]]:
    """Open the ways to a replica; each has its address and the processes that it costs."""
    from support.gateway import Gateway

    url = f"http://127.0.0.1:{behind}"
    with Gateway(url) as gateway, _nginx(behind) as nginx:
        gateway.replicas(1)
        ways = {"direct": (url, []), "gateway": (gateway.api, [gateway.process.pid])}
        yield ways | ({"nginx": nginx} if nginx else {})


@contextlib.contextmanager
def _nginx(behind: int) -> Iterator[tuple[str, list[int]] | None]:
    program = shutil.which("nginx")
    if program is None:
        print("nginx is missing, so there is no peer; apt-get install nginx-light")
        yield None
        return
    from support.alerting import free_port

    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        file = Path(name) / "nginx.conf"
        file.write_text(NGINX.format(folder=name, behind=behind, port=port))
        Path(name).chmod(0o755)
        process = subprocess.Popen([program, "-c", str(file), "-e", f"{name}/start.log"])
        try:
            time.sleep(1)
            workers = [child.pid for child in psutil.Process(process.pid).children()]
            yield f"http://127.0.0.1:{port}", [process.pid, *workers]
        finally:
            process.terminate()
            process.wait()


def _nginx_version() -> str:
    program = shutil.which("nginx")
    if program is None:
        return "none"
    ran = subprocess.run([program, "-v"], capture_output=True, check=False, text=True)
    return ran.stderr.strip().rpartition("/")[2]


@contextlib.contextmanager
def _replica(size: int) -> Iterator[int]:
    """Serve answers of so many bytes in a process of its own; yield the port."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_answer, args=(size, theirs))
    process.start()
    try:
        yield int(ours.recv())
    finally:
        process.terminate()
        process.join()


def _answer(size: int, tell: Any) -> None:
    common.support()
    from support.endpoint import Reply, Request, endpoint

    body = json.dumps({"data": [{"b64_json": "A" * size}]}).encode()
    told = {"/readyz": {"ready": True, "workers": {"ready": 1}}, "/version": {"replica": "a"}}

    async def reply(_: Request) -> Reply:
        return Reply(200, body, {"content-type": "application/json"})

    async def serve() -> None:
        async with endpoint(reply, told) as one:
            tell.send(one.url.rpartition(":")[2])
            await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
