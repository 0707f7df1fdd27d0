"""The doctor, held against small machines and servers that lack one thing each."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from alerts.scale import checks as cluster_checks
from alerts.scale.cluster import Cluster
from dashboards.checks import check_grafana, judge_token
from inference import checks as torch_checks
from inference.checks import Devices
from lightmeter import doctor
from lightmeter import doctor_machine as machine
from lightmeter.catalog import IN_FLIGHT
from lightmeter.doctor import Finding
from lightmeter.doctor_machine import Limits
from lightmeter.doctor_outside import Asked, check_alertmanager, check_prometheus
from lightmeter.errors import SettingError
from lightmeter.settings_grafana import Grafana as Settings
from support.cli import lightmeter
from support.cluster import ApiServer
from support.grafana import EDITOR, VIEWER, Grafana


GIB = 1024**3


@contextmanager
def answering(answer: Callable[[str, str, str], Any]) -> Iterator[str]:
    """Serve what a function says of path, query and authorization: JSON, or a status; yield the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query).get("query", [""])[0]
            found = answer(parts.path, query, self.headers.get("authorization", ""))
            body = json.dumps(found).encode()
            self.send_response(found if isinstance(found, int) else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def prometheus(
    now: float = 1000.0, ours: tuple[str, ...] = (IN_FLIGHT.name,), samples: int = 20
) -> Callable[[str, str, str], Any]:
    """Answer as a Prometheus with these series of ours and so many samples in five minutes."""

    def answer(path: str, query: str, authorization: str) -> Any:
        assert ("/api/v1/query", "Bearer t0ken") == (path, authorization)
        if query == "time()":
            return {"data": {"resultType": "scalar", "result": [now, str(now)]}}
        known = any(name in query for name in ours)
        value = str(samples) if "count_over_time" in query else "3"
        result = [{"metric": {}, "value": [now, value]}] if known else []
        return {"data": {"resultType": "vector", "result": result}}

    return answer


def seen(answer: Callable[[str, str, str], Any]) -> Finding:
    with answering(answer) as url:
        return check_prometheus(Asked(url, {"authorization": "Bearer t0ken"}), lambda: 1000.0)


def test_prometheus() -> None:
    """A Prometheus that scrapes a server is well; what it has nothing of is said."""
    found = seen(prometheus())

    assert ("ok", True) == (found.verdict, found.found.endswith("has series of lightmeter serve"))
    assert "nothing of lightmeter export, lightmeter scale" in found.fix


@pytest.mark.parametrize(
    ("answer", "verdict", "words"),
    [
        (prometheus(now=1090.0), "fail", "its clock is 90.0 s ahead of ours"),
        (prometheus(now=900.0), "fail", "its clock is 1 min 40 s behind ours"),
        (prometheus(ours=()), "warn", "answers and has no series of ours"),
        (prometheus(samples=5), "warn", "about 60.0 s between two scrapes"),
        (lambda *_: 401, "fail", "answers 401"),
        (lambda *_: ["x"], "fail", "answers, but not as Prometheus does"),
    ],
)  # fmt: skip
def test_prometheus_ill(answer: Any, verdict: str, words: str) -> None:
    """Another clock, nothing of ours, rare scrapes and refusals each have their own words and a fix."""
    found = seen(answer)

    assert verdict == found.verdict
    assert words in found.found
    assert found.fix


def test_prometheus_gone() -> None:
    """Who does not answer fails, and a password in the address is not shown."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    found = check_prometheus(Asked(f"http://ops:hunter2@127.0.0.1:{port}"))

    assert ("fail", False) == (found.verdict, "hunter2" in found.found + found.fix)
    assert "cannot be reached" in found.found


def test_alertmanager() -> None:
    """An Alertmanager says its version; what is none fails."""
    with answering(lambda *_: {"versionInfo": {"version": "0.28.1"}}) as url:
        assert Finding("Alertmanager", doctor.Verdict.OK, f"{url}, 0.28.1") == check_alertmanager(Asked(url))  # fmt: skip
    with answering(lambda *_: {"status": "success"}) as url:
        assert "answers, but not as Alertmanager does" in check_alertmanager(Asked(url)).found


@pytest.mark.parametrize(
    ("token", "verdict", "words"),
    [
        (EDITOR, "ok", "may edit boards"),
        (VIEWER, "fail", "the token may not dashboards:create, dashboards:write, folders:create"),
        ("glsa_other", "fail", "does not know this token"),
    ],
)
def test_grafana(token: str, verdict: str, words: str) -> None:
    """Whether a token may edit is known before anything is published, and nothing is written for it."""
    with Grafana() as grafana:
        found = check_grafana(Settings.model_validate({"url": grafana.url}), lambda: token)
        assert [] == grafana.writes

    assert verdict == found.verdict
    assert words in found.found
    assert token not in found.found + found.fix


def test_grafana_untold() -> None:
    """A Grafana that does not tell what a token may is a warning; no token is a failure."""

    def none() -> str:
        raise SettingError("there is no token for Grafana")

    assert "warn" == judge_token("http://grafana", None).verdict
    assert "there is no token for Grafana" == check_grafana(Settings.model_validate({}), none).found


def test_cluster() -> None:
    """The scaler's rights are asked for one by one, before the first replica is."""
    with ApiServer() as server:
        shop = Cluster("deployment", "images", "shop", server.api)
        well = cluster_checks.judge_cluster(shop, "deployment")
        server.forbidden = {"patch deployments/scale", "create leases"}
        ill = cluster_checks.judge_cluster(shop, "deployment")
        server.fault = 401
        shut = cluster_checks.judge_cluster(shop, "deployment")

    asked = [body["spec"]["resourceAttributes"] for _, path, body in server.asked if "reviews" in path]  # fmt: skip
    names = {(one["verb"], one["resource"]): one.get("name") for one in asked}
    assert ("shop", "lightmeter-deployment-shop", None, None) == tuple(names[one] for one in (("patch", "deployments"), ("update", "leases"), ("create", "leases"), ("list", "scaledobjects")))  # fmt: skip
    assert ("ok", "deployment:images/shop: 1 ready, 0 starting; all rights are there") == (well.verdict, well.found)  # fmt: skip
    assert ("fail", "deployment:images/shop: we may not patch deployments/scale, create leases") == (ill.verdict, ill.found)  # fmt: skip
    assert ("fail", True) == (shut.verdict, "does not know this token" in shut.found)
    assert [] == [verb for verb, path, _ in server.asked if verb != "GET" and "reviews" not in path]


def test_cluster_kinds(tmp_path: Path) -> None:
    """A StatefulSet needs rights of its own; a pool needs no cluster, and a pod is known for one."""
    assert "patch statefulsets/scale" in map(str, cluster_checks.needed("statefulset"))
    assert "this is no pod" in cluster_checks.check_cluster("null", tmp_path).found
    (tmp_path / "namespace").write_text("images")
    assert "a pod in the namespace images" in cluster_checks.check_cluster("null", tmp_path).found


def test_port_holder() -> None:
    """Who holds a port is named by program and process, without its command line."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        found = machine.check_port("--port", busy.getsockname()[1])

    assert "warn" == found.verdict
    assert f"(process {os.getpid()}) has it" in found.found
    assert "ok" == machine.check_port("--port", 0).verdict


def test_port_of_others(tmp_path: Path) -> None:
    """A port whose holder cannot be seen has none named."""
    assert "" == machine.holder(80, tmp_path)


def test_disk(tmp_path: Path) -> None:
    """A folder that cannot be written fails; one that is yet to be made is judged by its parent."""
    assert str(tmp_path) in machine.check_disk(tmp_path / "to" / "come").found
    found = machine.check_disk(Path("/proc/self"))

    assert ("fail", True) == (found.verdict, "--data" in found.fix)


@pytest.mark.parametrize(
    ("skew", "kept", "verdict", "words"),
    [
        (0.0, True, "ok", "kept right"),
        (None, None, "ok", "is not told here"),
        (0.0, False, "warn", "nothing keeps it right"),
        (90.0, True, "warn", "90.0 s behind the disk's"),
        (-5.0, True, "warn", "5.0 s ahead of the disk's"),
    ],
)
def test_clock(skew: float | None, kept: bool | None, verdict: str, words: str) -> None:  # noqa: FBT001  (a parameter of cases)
    """A clock that nothing keeps, or that is another than the disk's, is a warning."""
    found = machine.judge_clock(skew, kept=kept)

    assert verdict == found.verdict
    assert words in found.found


def test_clock_here(tmp_path: Path) -> None:
    """The clock of this machine's own disk is this machine's."""
    skew = machine.disk_skew(tmp_path)

    assert skew is not None
    assert abs(skew) < machine.FAR_SECONDS
    assert machine.synchronised() in {True, False, None}


def test_limits_v2(tmp_path: Path) -> None:
    """The tightest limit of a control group and its parents holds; a kill is remembered."""
    pod = tmp_path / "kubepods" / "pod"
    pod.mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    (tmp_path / "kubepods" / "memory.max").write_text(str(3 * GIB))
    (pod / "memory.max").write_text("max\n")
    (pod / "cpu.max").write_text("150000 100000\n")
    (pod / "memory.events").write_text("low 0\noom 2\noom_kill 2\n")
    (tmp_path / "self").write_text("0::/kubepods/pod\n")

    assert Limits(3 * GIB, 1.5, 2) == machine.limits(tmp_path / "self", tmp_path)


def test_limits_v1(tmp_path: Path) -> None:
    """The older control groups are read as well; their number for no limit is none."""
    for name, text in {
        "memory/docker/x/memory.limit_in_bytes": str(GIB),
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "cpu/docker/x/cpu.cfs_quota_us": "50000",
        "cpu/docker/x/cpu.cfs_period_us": "100000",
        "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000",
        "self": "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert Limits(GIB, 0.5) == machine.limits(tmp_path / "self", tmp_path)
    assert Limits(None, None) == machine.limits(tmp_path / "absent", tmp_path / "absent")


@pytest.mark.parametrize(
    ("limits", "verdict", "words"),
    [
        (Limits(None, None), "ok", ""),
        (Limits(64 * GIB, 8.0), "ok", ""),
        (Limits(GIB, None), "warn", "give the container"),
        (Limits(None, 1.5), "warn", "OMP_NUM_THREADS=1"),
        (Limits(None, None, 2), "warn", "memory limit"),
    ],
)
def test_limits(limits: Limits, verdict: str, words: str) -> None:
    """Too little memory, a part of the CPUs, and kills are warnings with what to set."""
    found = machine.judge_limits(limits, 8, 8)

    assert verdict == found.verdict
    assert words in found.fix


H200 = ("NVIDIA H200", 130 * GIB, 139 * GIB)


@pytest.mark.parametrize(
    ("devices", "verdict", "words"),
    [
        (Devices("2.13", "13.0", 13010, (H200,)), "ok", "the driver knows 13.1, torch is built for 13.0"),
        (Devices("2.13", "12.9", 13010, (H200,)), "ok", "built for 12.9"),
        (Devices("2.13", "13.0", 12080, ()), "fail", "the driver knows 12.8, torch is built for 13.0"),
        (Devices("2.13+cpu", None, 13010, ()), "fail", "torch is built for the CPU"),
        (Devices("2.13", "13.0", 13010, ()), "warn", "torch sees no GPU"),
        (Devices("2.13+cpu", None, 0, ()), "ok", "no driver"),
    ],
)  # fmt: skip
def test_cuda(devices: Devices, verdict: str, words: str) -> None:
    """A torch that is too new for the driver, or built for the CPU beside a GPU, is found out."""
    found = torch_checks.check_cuda(devices)

    assert verdict == found.verdict
    assert words in found.found
    assert bool(found.fix) is (verdict != "ok")


def test_vram() -> None:
    """A GPU on which the model does not fit whole is a warning that names what would work."""
    full = Devices("2.13", "13.0", 13010, ((H200[0], 8 * GIB, H200[2]),))

    assert "ok" == torch_checks.check_vram(Devices("2.13", "13.0", 13010, (H200,))).verdict
    assert "warn" == torch_checks.check_vram(full).verdict
    assert "--offload" in torch_checks.check_vram(full).fix


def test_extras() -> None:
    """Optional parts are told from what is always needed, each with what it takes."""
    wanted = ["numpy>=2", "grpcio>=1.80; extra == 'keda'", 'protobuf>=6; extra == "keda"']

    assert {"keda": ["grpcio", "protobuf"]} == doctor.extras(wanted)
    assert "ok" == doctor.check_extras().verdict


def test_command(tmp_path: Path) -> None:
    """Everything that is named is looked at in one go; one failure is exit code 1."""
    (tmp_path / "token").write_text(VIEWER)
    (tmp_path / "bearer").write_text("t0ken\n")
    with Grafana() as grafana, answering(prometheus(now=0)) as asked:
        ran = lightmeter(
            "doctor", "--json", "--prometheus", asked, "--bearer-file", "bearer",
            "--grafana", grafana.url, "--token-file", "token", "--alertmanager", asked + "/none",
            "--data", "data", cwd=tmp_path,
        )  # fmt: skip
    found = {one["what"]: one for one in json.loads(ran.out)}

    assert 1 == ran.code
    assert ("fail", "fail", "fail") == tuple(found[name]["verdict"] for name in ("Prometheus", "Grafana", "Alertmanager"))  # fmt: skip
    assert {"CUDA", "GPU memory", "clock", "limits", "extras", "Kubernetes"} <= found.keys()
    assert VIEWER not in ran.out + ran.err
    assert "t0ken" not in ran.out + ran.err
    assert {"token", "bearer"} == {path.name for path in tmp_path.iterdir()}
