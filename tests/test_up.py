"""The main job: `lightmeter up`, as a person or a script runs it."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from exporter.exposition import TEXT
from lightmeter import catalog
from lightmeter.history import History
from support.cli import clean_environment
from support.fleet import parse, values
from support.ports import default_ports
from support.server import GENERATIONS, eventually, fetch
from support.up import SOON, asked, free_ports, start, told, wait_for


def test_whole(tmp_path: Path) -> None:
    """With the real tiny pipeline: URLs, live figures, then the plan of what was seen, exit code 0."""
    with start(tmp_path, *free_ports(), "--duration", "5", "--load", "6") as process:
        out, err = process.communicate(timeout=120)

    assert 0 == process.returncode, err
    assert "/v1/images/generations" in out
    assert re.search(r"requests answered: \d+ ok, 0 otherwise", out)
    assert "The cost plan of what was just seen" in out
    assert "for each service" in out
    assert "No advice yet" in out
    assert str(tmp_path / "report" / "report.html") in out
    assert (tmp_path / "report" / "report.html").exists()
    assert {"ok", "cancelled"} >= set(History(tmp_path / "history").summary()["outcomes"])


def test_json(tmp_path: Path) -> None:
    """With --json, standard output is the plan and nothing else.

    The plan is of this run alone, though the history keeps the ones before.
    """
    counts = []
    for _ in range(2):
        with start(
            tmp_path, *free_ports(), "--model", "still", "--duration", "2", "--load", "10", "--json"
        ) as process:
            out, err = process.communicate(timeout=60)
        plan = json.loads(out)
        counts.append(plan["generated_from"]["requests"])
        assert 1 == plan["schema"]
        assert ["still"] == [service["name"] for service in plan["services"]]
        assert "metrics" in err

    assert sum(counts) == History(tmp_path / "history").summary()["rows"]


def test_interrupt(tmp_path: Path) -> None:
    """One Ctrl-C ends everything, prints the plan, and leaves no process behind.

    Until then every address of the table answers: GPUs and host are exported (without a driver
    that is the host), the store knows all parts and the rate of requests, the scaler decides, and
    takes words from nobody but the store and whoever may read its token.
    """
    with start(
        tmp_path, *free_ports(), "--model", "still", "--duration", "300", "--load", "10", **SOON
    ) as process:
        words = wait_for(process, "requests answered")
        pages = re.findall(r"http://\S+", words)
        statuses = {url: fetch(url).status_code for url in pages}
        exported = parse(fetch(told(words, "GPUs and host")).text, TEXT)
        up = eventually(lambda: len(asked(words, "up == 1")) == 4)
        rate = f"sum(rate({catalog.REQUESTS.name}[10s])) > 3"
        rated = eventually(lambda: asked(words, rate))
        ruled = eventually(lambda: asked(words, catalog.slo_requests("5m")))
        decisions = told(words, "scaler")
        decided = eventually(lambda: fetch(decisions).json()["decisions"][-1]["observed"].get("rate_long", {}).get("value"))  # fmt: skip
        [alert] = [rule for group in fetch(told(words, "alerts").replace("/alerts", "/rules")).json()["data"]["groups"] for rule in group["rules"] if rule["name"] == "LightmeterNoWorkerReady"]  # fmt: skip
        family = psutil.Process(process.pid).children(recursive=True)
        token = (tmp_path / "scaler.token").read_text().strip()
        brake = decisions.replace("decisions", "freeze")
        braked = [httpx.post(brake, json={"seconds": 0}, headers=shown, trust_env=False).status_code for shown in ({}, {"authorization": f"Bearer {token}"})]  # fmt: skip
        store = next(one.environ() for one in family if "localprom" in one.cmdline())
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)

    assert [401, 200] == braked
    assert str(tmp_path / "scaler.token") == store["LIGHTMETER_LOCALPROM_SCALER_TOKEN_FILE"]
    assert 0 == process.returncode
    assert "The cost plan of what was just seen" in out
    assert len(pages) >= 9
    assert {GENERATIONS: 405} == {url[url.index("/v1") :]: status for url, status in statuses.items() if status != 200}  # fmt: skip
    assert (True, True, True, True) == (up, rated, ruled, decided)
    assert alert["annotations"]["dashboard_url"].startswith(told(words, "PromQL").partition("/api")[0])  # fmt: skip
    assert values(exported, catalog.NODE_CPU, mode="idle")
    assert values(exported, catalog.GPU_UP)
    assert family
    assert eventually(lambda: not any(child.is_running() for child in family))


def test_advisory(tmp_path: Path) -> None:
    """With --advisory nothing is done to the workers, and what would be done is written down.

    Started again without it, the scaler has its say; the samples of the time before are still there.
    """
    options = *free_ports(), "--model", "still", "--duration", "300", "--load", "0"
    with start(tmp_path, *options, "--advisory", "--scaler-min", "2", **SOON) as process:
        words = wait_for(process, "requests answered")
        assert eventually(lambda: fetch(told(words, "scaler")).json()["decisions"][-1]["action"] == "up")  # fmt: skip
        time.sleep(2)  # two looks more
        workers = asked(words, f"sum({catalog.WORKERS.name})")[0]["value"][1]
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    before = time.time()
    with start(tmp_path, *options, "--scaler-min", "2", **SOON) as process:
        again = wait_for(process, "requests answered")
        kept = asked(again, f"count(present_over_time({catalog.WORKERS.name}[10m] @ {before:.0f}))")
        two = eventually(lambda: asked(again, f"sum({catalog.WORKERS.name}{{state='ready'}}) == 2"))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    records = [json.loads(line) for line in (tmp_path / "scale/decisions.jsonl").read_text().splitlines()]  # fmt: skip
    assert "advisory" in words
    assert "1" == workers
    assert {"advisory: nothing was done"} == {one["result"] for one in records if one["mode"] == "advisory" and one["action"] == "up"}  # fmt: skip
    assert "No plan:" in out
    assert kept
    assert two
    assert 0o600 == (tmp_path / "admin.key").stat().st_mode & 0o777


def test_own_prometheus(tmp_path: Path) -> None:
    """A Prometheus of one's own is read instead of the store; one that does not answer is said, and how to start one."""
    options = "--model", "still", "--duration", "1", "--prometheus", "http://127.0.0.1:9"
    with start(tmp_path, *free_ports(), *options) as process:
        out, err = process.communicate(timeout=60)

    assert 0 == process.returncode, err
    assert re.search(r"Prometheus +http://127.0.0.1:9  \(cannot be asked: .+\)\n", out)
    assert f"prometheus --config.file={tmp_path / 'prometheus' / 'prometheus.yml'}" in out
    assert "/v1/alerts" in (tmp_path / "prometheus" / "alertmanager.yml").read_text()
    assert not (tmp_path / "metrics").exists()


def test_killed(tmp_path: Path) -> None:
    """Killed with SIGKILL, it takes the server and its workers along."""
    with start(tmp_path, *free_ports(), "--model", "still", "--duration", "300") as process:
        wait_for(process, "requests answered")
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()

    assert len(family) >= 2
    assert eventually(lambda: not any(child.is_running() for child in family))


@contextlib.contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # something else has it already, which serves as well
            other.bind(("127.0.0.1", port))
            other.listen()
        yield


def test_default_port_taken(tmp_path: Path) -> None:
    """A default port that is taken is replaced by a free one, and said."""
    with default_ports():
        with (
            taken(7860),
            taken(9400),
            start(tmp_path, "--model", "still", "--duration", "1") as process,
        ):
            out, err = process.communicate(timeout=60)

        assert 0 == process.returncode, err
        assert re.search(r"port 7860 is taken, using \d+ for --port\n", out)
        assert re.search(r"port 9400 is taken, using (\d+) for --exporter-port\n", out)


def test_no_load(tmp_path: Path) -> None:
    """Without any request there is nothing to plan, which is said and is no failure.

    Nor is an exporter or a store that cannot start, of which the reason is said.
    """
    lacking = "[export]\nweb_config = 'web.yml'\n[localprom]\nslo = 'nowhere.toml'\n"
    (tmp_path / "lightmeter.toml").write_text(lacking)
    with start(
        tmp_path, *free_ports(), "--model", "still", "--duration", "1", "--load", "0"
    ) as process:
        out, err = process.communicate(timeout=60)

    assert 0 == process.returncode, err
    assert "No plan:" in out
    assert re.search(r"PromQL +none: .*nowhere\.toml.* does not exist", out)
    assert re.search(r"GPUs and host +none: .*web\.yml.* does not exist", out)


def test_bad_model(tmp_path: Path) -> None:
    """What the server refuses is one line here too, with its exit code."""
    with start(tmp_path, *free_ports(), "--model", "/nowhere/at/all", "--duration", "1") as process:
        _, err = process.communicate(timeout=60)

    assert 2 == process.returncode
    assert ["lightmeter: model '/nowhere/at/all' does not exist; give a folder saved with save_pretrained, an id like Tongyi-MAI/Z-Image-Turbo, or 'tiny'"] == err.strip().splitlines()  # fmt: skip


def test_asked_port_taken(tmp_path: Path) -> None:
    """A port that was asked for and is taken is refused, not replaced."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with start(tmp_path, "--model", "still", "--port", port, "--duration", "1") as process:
            _, err = process.communicate(timeout=60)

    assert 2 == process.returncode
    assert f"127.0.0.1:{port} is already in use" in err


def test_bad_plan_setting(tmp_path: Path) -> None:
    """An objective or SKU that the plan would refuse is refused before anything is served."""
    command = [sys.executable, "-P", "-m", "lightmeter.cli", "up", "--data", str(tmp_path / "data")]
    environment = clean_environment(LIGHTMETER_PLAN_SLO="p95=soon")
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )

    assert 2 == run.returncode
    assert 1 == len(run.stderr.splitlines())
    assert not (tmp_path / "data").exists()


def test_scaler_with_tls(tmp_path: Path) -> None:
    """A scaler that would speak TLS is refused, since nobody beside it could talk to it."""
    command = [sys.executable, "-P", "-m", "lightmeter.cli", "up", "--data", str(tmp_path / "data")]
    environment = clean_environment(LIGHTMETER_SCALE_TLS_CERT_FILE="scaler.crt")
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )

    assert (2, 1) == (run.returncode, len(run.stderr.splitlines()))
    assert "scale.tls_cert_file is 'scaler.crt'" in run.stderr


def test_backlog_does_not_hold(tmp_path: Path) -> None:
    """Ctrl-C ends at once even with a queue full of slow work, which is given up."""
    (tmp_path / "lightmeter.toml").write_text(
        "[serve]\nsteps = 1000\nmax_steps = 1000\nbatch = 1\n"
    )
    with start(
        tmp_path, *free_ports(), "--model", "still", "--duration", "300", "--load", "20"
    ) as process:
        wait_for(process, r"in flight: [1-9]")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)

    outcomes = History(tmp_path / "history").summary()["outcomes"]
    assert 0 == process.returncode, err
    assert "plan" in out
    assert sum(outcomes.values()) > 2 * outcomes.get("ok", 0), outcomes  # the others were waiting
