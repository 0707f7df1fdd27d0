"""From nobody to one to several to nobody: real programs, each on a network of its own where the system allows it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from lightmeter import catalog
from support import replicas
from support.alerting import free_port
from support.cli import clean_environment, lightmeter
from support.debian import need
from support.gateway import Gateway
from support.netns import Net, network
from support.server import PLAIN, Server, eventually


pytestmark = [pytest.mark.proof, pytest.mark.timeout(400)]
MOST = 2
CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: lightmeter
    static_configs: [{{targets: {targets}}}]
"""


@pytest.fixture(params=["namespaces", "loopback"])
def net(request: pytest.FixtureRequest) -> Iterator[Net | None]:
    """Give a network of its own to every process, or one loopback to all."""
    if request.param == "loopback":
        yield None
        return
    with network() as net:
        if net is None:
            pytest.skip("this user may make no network namespaces; run as root, with iproute2")
        yield net


def place(net: Net | None, model: str) -> dict[str, Any]:
    before, host = net.add() if net else ([], "127.0.0.1")
    return {"before": before, "host": host, "port": free_port(), "metrics": free_port(), "model": model}  # fmt: skip


class World:
    """A gateway, a scaler with its target, a Prometheus; no replica yet."""

    def __init__(self, folder: Path, net: Net | None, model: str) -> None:
        self.folder, self._net = folder, net
        self._stack = contextlib.ExitStack()
        self.places = [place(net, model) for _ in range(MOST)]
        (folder / "places.json").write_text(json.dumps(self.places))
        control, gate = place(net, ""), place(net, "")
        self._control = control
        self.scaler = f"http://{control['host']}:{control['port']}"
        token = folder / "token"
        token.write_text("0123456789abcdef0123")
        urls = ",".join(f"http://{one['host']}:{one['port']}" for one in self.places)
        self.gateway = self._stack.enter_context(
            Gateway(urls, "--wake", self.scaler, "--wake-token-file", str(token), "--wake-wait", "120", "--in-flight", "2", "--access-log", before=gate["before"], host=gate["host"])
        )  # fmt: skip
        self._prometheus(control)
        program = f"{sys.executable} -P {replicas.__file__} {folder}"
        self._run(control, [sys.executable, "-P", "-m", "lightmeter.cli", "scale", "--act", "--host", control["host"], "--port", str(control["port"]), "--interval", "1", "--max", str(MOST), "--wait", "2", "--cold-start", "10", "--violation-price", "0.1", "--hold-least", "6", "--turn-price", "0", "--short-window", "10", "--long-window", "20", "--service", "zimage", "--demand", "gateway", "--prometheus", f"http://{control['host']}:{control['metrics']}", "--token-file", str(token), "--target", f"command:{program}", "--data", str(folder)])  # fmt: skip
        assert eventually(lambda: self._decisions(1)), "no decision"

    def _prometheus(self, control: dict[str, Any]) -> None:
        pages = [self.gateway.metrics_url.split("/")[2], *(f"{one['host']}:{one['metrics']}" for one in self.places)]  # fmt: skip
        (self.folder / "prometheus.yml").write_text(CONFIG.format(targets=json.dumps(pages)))
        address = f"{control['host']}:{control['metrics']}"
        self._run(control, [need("prometheus", "prometheus"), f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/tsdb", f"--web.listen-address={address}"])  # fmt: skip
        assert eventually(lambda: _answers(f"http://{address}/-/ready"))

    def _run(self, where: dict[str, Any], command: list[str]) -> None:
        log = self._stack.enter_context(
            (self.folder / f"{Path(command[-1]).name[:20]}.log").open("ab")
        )
        process = subprocess.Popen([*where["before"], *command], env=clean_environment(), stdout=log, stderr=log)  # fmt: skip
        self._stack.callback(_end, process)

    def _decisions(self, last: int) -> list[dict[str, Any]]:
        try:
            answer = httpx.get(f"{self.scaler}/v1/decisions?last={last}", trust_env=False, verify=PLAIN)  # fmt: skip
        except httpx.TransportError:
            return []
        found: list[dict[str, Any]] = answer.json()["decisions"]
        return found

    def ready(self) -> int:
        """Count the replicas that the gateway may ask."""
        return int(self.gateway.value(catalog.GATEWAY_REPLICAS, state="ready"))

    def standing(self) -> list[bool]:
        """Say of each place whether a server runs there."""
        files = [self.folder / f"{number}.pid" for number in range(MOST)]
        return [file.exists() and replicas.running(int(file.read_text())) for file in files]

    def close(self) -> None:
        """End everything, the replicas last."""
        self._stack.close()
        (self.folder / "gateway.log").write_text("".join(self.gateway.log))
        for number in range(MOST):
            file = self.folder / f"{number}.pid"
            if file.exists() and replicas.running(int(file.read_text())):
                os.kill(int(file.read_text()), signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, verify=PLAIN).is_success
    except httpx.TransportError:
        return False


class Clients:
    """So many clients, who each ask again as soon as they are answered, until they are told to stop."""

    def __init__(self, gateway: Gateway, count: int, **fields: Any) -> None:
        self.statuses: Counter[int | str] = Counter()
        self._gateway, self._fields = gateway, fields
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                self.statuses[self._gateway.post(self._fields).status_code] += 1
            except httpx.HTTPError as error:
                self.statuses[repr(error)] += 1

    def end(self) -> Counter[int | str]:
        """Let each get its last answer, and tell how all were answered."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.statuses


@pytest.mark.parametrize("net", ["namespaces"], indirect=True)
def test_from_zero_to_zero(tmp_path: Path, net: Net | None) -> None:
    """The first request after zero is served, none is lost on the way up and down, every decision comes out again."""
    _there_and_back(tmp_path, net, "tiny", steps=300)


@pytest.mark.parametrize("net", ["loopback"], indirect=True)
def test_from_zero_to_zero_on_loopback(tmp_path: Path, net: Net | None) -> None:
    """The same where no namespace is to be had, with grey pictures."""
    _there_and_back(tmp_path, net, "still", steps=500)


def _there_and_back(folder: Path, net: Net | None, model: str, *, steps: int) -> None:
    world = World(folder, net, model)
    try:
        gateway = world.gateway
        assert [False] * MOST == world.standing()
        first = gateway.post()
        together = Clients(gateway, 24, num_inference_steps=steps)
        grown = eventually(lambda: world.ready() == MOST, seconds=120)
        some = eventually(lambda: together.statuses[200] > 5, seconds=120)
        busy = together.end()
        one = Clients(gateway, 1, num_inference_steps=20)
        shrunk = eventually(lambda: world.ready() < MOST, seconds=90)
        calm = one.end()
        gone = eventually(lambda: world.standing() == [False] * MOST, seconds=90)
        wakes = gateway.value(catalog.GATEWAY_WAKES, result="started")
        last = (world.folder / "scale/decisions.jsonl").read_text()[-3000:]
    finally:
        world.close()
    ran = lightmeter("replay", folder / "scale", "--json", cwd=folder)

    assert 200 == first.status_code, first.text
    assert (True, True, True, True) == (grown, some, shrunk, gone), last
    assert {200} == set(busy) | set(calm)
    assert 1 == wakes
    assert (0, []) == (ran.code, json.loads(ran.out)["different"])


def test_kill(tmp_path: Path) -> None:
    """Replicas that are killed or told to end at work lose no request; a stream that had begun says how it ended."""
    with (
        Server(tmp_path / "a", "--max-steps", "1000", "--batch", "1", "--replica", "a") as a,
        Server(tmp_path / "b", "--max-steps", "1000", "--batch", "1", "--replica", "b") as b,
        Gateway(f"{a.ready().api},{b.ready().api}", "--in-flight", "2") as gateway,
    ):
        gateway.replicas(2)
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(gateway.post, num_inference_steps=500) for _ in range(4)]
            assert eventually(lambda: a.value(catalog.IN_FLIGHT) == 2)
            streams = pool.submit(gateway.post, num_inference_steps=1000, stream=True)
            a.process.kill()
            statuses = [one.result().status_code for one in asked]
            stream = streams.result()
        assert [200] * 4 == statuses
        assert 200 == stream.status_code
        assert "image_generation.completed" in stream.text

        cut: list[httpx.Response] = []
        telling = threading.Thread(
            target=lambda: cut.append(gateway.post(num_inference_steps=1000, stream=True))
        )
        telling.start()
        assert eventually(lambda: b.value(catalog.IN_FLIGHT) == 1)  # fmt: skip
        time.sleep(0.5)
        b.process.kill()
        telling.join()
        assert "event: error" in cut[0].text
        assert '"status": 503' in cut[0].text
        assert eventually(lambda: gateway.value(catalog.REQUESTS, outcome="error") == 1)


def test_cut(tmp_path: Path) -> None:
    """A replica whose cable is pulled at work says nothing, not even that it is gone; its requests are served by another."""
    with network() as net:
        if net is None:
            pytest.skip("this user may make no network namespaces; run as root, with iproute2")
        places = [place(net, "still") for _ in range(2)]
        (tmp_path / "places.json").write_text(json.dumps(places))
        subprocess.run([sys.executable, "-P", replicas.__file__, tmp_path, "2"], env=clean_environment(), check=True)  # fmt: skip
        urls = [f"http://{one['host']}:{one['port']}" for one in places]
        try:
            with Gateway(",".join(urls)) as gateway, ThreadPoolExecutor(2) as pool:
                gateway.replicas(2)
                asked = pool.submit(gateway.post, num_inference_steps=1000)
                assert eventually(lambda: gateway.value(catalog.STAGE_DURATION, "_count") == 1)
                net.cut(1)  # the first name is the network's own trial
                statuses = [gateway.post().status_code for _ in range(3)]
                first = asked.result()
                resent = gateway.value(catalog.GATEWAY_RESENT, reason="died")
        finally:
            for number in range(2):
                os.kill(int((tmp_path / f"{number}.pid").read_text()), signal.SIGKILL)

    assert [200] * 3 == statuses
    assert (200, 1) == (first.status_code, resent)
