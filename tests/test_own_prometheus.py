"""What `lightmeter up` says of a Prometheus that is not its own, with one that answers as told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lightmeter.cli.own_files import TARGETS, Files
from lightmeter.cli.own_prometheus import Seen, advice, look, same, short


HERE = "http://127.0.0.1:9090"
FILES = Files(
    Path("/srv/data/prometheus"),
    {"server": "http://127.0.0.1:7861/metrics", "exporter": "http://127.0.0.1:9400/metrics"},
    frozenset({"lightmeter-gpu"}),
)
GROUPS = {"groups": [{"name": "lightmeter-gpu"}, {"name": "of others"}]}


def seen(answers: Mapping[str, Any], status: int = 404) -> Seen:
    """Look at a Prometheus that gives these answers, and a status for everything else."""

    async def answer(request: Request) -> JSONResponse:
        path = request.path_params["path"]
        if path in answers:
            return JSONResponse({"status": "success", "data": answers[path]})
        return JSONResponse({}, status)

    app = Starlette(routes=[Route("/api/v1/{path:path}", answer)])

    async def asked() -> Seen:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
            return await look(client, HERE, FILES)

    return asyncio.run(asked())


def target(url: str, health: str = "up", error: str = "") -> dict[str, str]:
    return {"scrapeUrl": url, "health": health, "lastError": error}


def test_nothing_there() -> None:
    """A Prometheus that knows nothing of us: what to add, to which file, and how to have it read."""
    found = seen({
        "targets": {"activeTargets": [target("http://gpu-7:7861/metrics")]}, "rules": {"groups": []},
        "status/flags": {"web.enable-lifecycle": "true", "config.file": "/etc/prometheus/prometheus.yml"},
        "alertmanagers": {"activeAlertmanagers": []},
    })  # fmt: skip
    said = advice(found, FILES, HERE)

    assert "does not scrape the server and exporter yet, does not have our rules yet" == short(
        found
    )
    assert "/etc/prometheus/prometheus.yml" in said
    assert str(FILES.folder / TARGETS) in said
    assert f"curl -X POST {HERE}/-/reload" in said
    assert "It has no Alertmanager" in said
    assert "elsewhere" not in said
    assert "elsewhere" in advice(found, FILES, "http://prometheus.example.com:9090")


def test_all_there() -> None:
    """Where all is scraped, by whatever name this machine goes, there is nothing to say."""
    found = seen({
        "targets": {"activeTargets": [target("http://localhost:7861/metrics"), target("http://127.0.0.1:9400/metrics")]},
        "rules": GROUPS, "alertmanagers": {"activeAlertmanagers": [{"url": "http://am"}]},
    })  # fmt: skip

    assert ("scrapes all parts, and has our rules", "") == (short(found), advice(found, FILES, HERE))  # fmt: skip
    assert not same("http://gpu-7:7861/metrics", "http://127.0.0.1:7861/metrics")


def test_down() -> None:
    """A part that it cannot reach is named with Prometheus's own reason; one not yet scraped is no failure."""
    found = seen({
        "targets": {"activeTargets": [
            target("http://127.0.0.1:7861/metrics", "down", "connection refused"), target("http://127.0.0.1:9400/metrics", "unknown"),
        ]},
        "rules": GROUPS,
    })  # fmt: skip

    assert "cannot scrape the server: connection refused" == short(found)
    assert "loopback" in advice(found, FILES, HERE)
    assert ("exporter",) == found.waiting


def test_file_not_read() -> None:
    """A Prometheus that was told of our file and has nothing from it cannot read it, which is said."""
    config = {"yaml": f"file_sd_configs: [{{files: [{FILES.folder / TARGETS}]}}]"}
    found = seen({"targets": {"activeTargets": []}, "rules": GROUPS, "status/config": config})

    assert "can its user read that file?" in advice(found, FILES, HERE)


def test_without_targets() -> None:
    """What speaks only the questions of the API (Mimir) is judged by the series up."""
    up = [{"metric": {"instance": "127.0.0.1:7861"}, "value": [0, "1"]}, {"metric": {"instance": "127.0.0.1:9400"}, "value": [0, "0"]}]  # fmt: skip
    found = seen({"query": {"result": up}, "rules": GROUPS})

    assert "cannot scrape the exporter: it does not say why" == short(found)


def test_odd_instances() -> None:
    """An instance that somebody named as they like is another's, and no end of `lightmeter up`."""
    up = [{"metric": {"instance": name}, "value": [0, "1"]} for name in ("gpu-7:metrics", "[gpu", "gpu-7:99999", "", "127.0.0.1:7861")]  # fmt: skip
    found = seen({"query": {"result": up}, "rules": GROUPS})

    assert ("exporter",) == found.missing


@pytest.mark.parametrize(
    "answers", [{"targets": {"dropped": []}}, {"targets": {"activeTargets": [{}]}}, {"targets": {"activeTargets": []}, "rules": GROUPS, "status/flags": ["x"]}]
)  # fmt: skip
def test_strange(answers: Mapping[str, Any]) -> None:
    """What answers in another form is said to be no Prometheus."""
    assert "it does not speak Prometheus's API" == seen({"rules": GROUPS, **answers}).unreachable


@pytest.mark.parametrize(("status", "hint"), [(401, "--scaler-bearer-file"), (500, "status 500")])
def test_refused(status: int, hint: str) -> None:
    """A Prometheus that wants a token, or is ill, is told in one line with the next step."""
    assert hint in short(seen({}, status))
