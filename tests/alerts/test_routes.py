"""Who is told of what, and what need not be said: a real Alertmanager reads what we generate."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts import inhibit, packs, routes
from alerts.objectives import Slo
from alerts.receivers import SECRETS, TEMPLATES, WAYS
from alerts.render import labels
from alerts.routes import Pace, Routing
from alerts.rule import Alert, Severity
from lightmeter import catalog
from lightmeter.units import parse_duration
from support.alerting import Alertmanager, Taker, every_alert, told, write
from support.debian import need
from support.server import eventually


ROOT = Path(__file__).parents[2]
SLO = Slo()
AT_ONCE = Pace("0s", "1s", "1h")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("alertmanager")
    write(made, routes.alertmanager(SLO))
    return made


def amtool(*arguments: str | Path) -> str:
    program = need("amtool", "prometheus-alertmanager")
    ran = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)  # fmt: skip
    assert 0 == ran.returncode, ran.stdout + ran.stderr
    return ran.stdout.strip()


@cache
def receivers(folder: Path, *words: str) -> str:
    return amtool("config", "routes", "test", f"--config.file={folder}/chat.yaml", *words)


def routed(alert: Alert) -> list[str]:
    """Write the labels that say where an alert goes."""
    return [f"{key}={value}" for key, value in labels(alert).items() if key != catalog.SLO_LABEL]


@pytest.mark.parametrize("way", WAYS)
def test_accepted(folder: Path, way: str) -> None:
    """Each example is a whole configuration that Alertmanager takes as it is."""
    said = amtool("check-config", folder / f"{way}.yaml")

    assert "6 inhibit rules" in said
    assert "1 templates" in said


def test_told(folder: Path) -> None:
    """Pages and tickets go to people, the rest to nobody; the scaler hears of all that is for it."""
    alerts = {alert.name + str(alert.labels.get("slo", "")): alert for alert in every_alert()}
    found = {name: receivers(folder, *routed(alert)) for name, alert in alerts.items()}

    by_severity = {Severity.PAGE: "pages", Severity.TICKET: "tickets", Severity.NONE: "nowhere"}
    for name, alert in alerts.items():
        scaler = "scaler," if {"scaling", "action"} & alert.labels.keys() else ""
        last = "watchdog" if name == "LightmeterWatchdog" else by_severity[alert.severity]
        assert scaler + last == found[name], name
    assert "scaler,nowhere" == found["LightmeterClassicScaleDown"]
    assert "scaler,pages" == found["LightmeterMetricsMissing"]


def test_scaler(folder: Path) -> None:
    """The scaler hears soon, hears the end too, and is known by a token that stands in a file."""
    made = yaml.safe_load((folder / "email.yaml").read_text())
    hook = next(one for one in made["receivers"] if one["name"] == "scaler")["webhook_configs"][0]

    assert "http://127.0.0.1:9402/v1/alerts" == hook["url"]
    assert hook["send_resolved"]
    assert "credentials_file" in hook["http_config"]["authorization"]
    to_scaler = [one for one in made["route"]["routes"] if one["receiver"] == "scaler"]
    assert [True, True] == [one["continue"] for one in to_scaler]
    assert {"5s"} == {one["group_wait"] for one in to_scaler}


def test_raise() -> None:
    """Only what more replicas would mend, and is worth a page, may keep up the scaler's floor."""
    raising = {(a.name[-2:], a.labels["slo"]) for a in packs.make("recommended", SLO).alerts if a.labels.get("scaling") == "raise"}  # fmt: skip

    assert {(w, o) for w in ("1h", "6h") for o in ("availability", "wait", "slowdown")} == raising


def test_no_secret(folder: Path) -> None:
    """No secret stands in a configuration; each is the name of a file."""
    text = "".join(path.read_text() for path in folder.iterdir())

    assert "_file: /etc/alertmanager/secrets/" in text
    assert "password:" not in text
    assert "credentials:" not in text
    assert "api_url:" not in text


def test_services_apart(tmp_path: Path) -> None:
    """Services that are told apart by more labels are grouped and silenced by all of them."""
    slo = Slo(group_by=("service", "cluster"))
    write(tmp_path, routes.alertmanager(slo))
    made = yaml.safe_load((tmp_path / "chat.yaml").read_text())

    assert ["service", "cluster", "slo", "alertname"] == made["route"]["group_by"]
    assert ["service", "cluster"] == made["inhibit_rules"][0]["equal"]
    assert "SUCCESS" in amtool("check-config", tmp_path / "chat.yaml")


def rendered(folder: Path, template: str, alerts: list[Alert], kind: str = "text") -> str:
    every: list[dict[str, Any]] = [
        {"status": "firing", "startsAt": "2026-11-20T10:00:00Z", **told(alert)} for alert in alerts
    ]
    data = {"status": "firing", "alerts": every, "commonLabels": every[0]["labels"]}
    (folder / "data.json").write_text(json.dumps(data))
    text = f'{{{{ template "lightmeter.{template}" . }}}}'
    return amtool("template", "render", f"--template.glob={folder}/{TEMPLATES}", f"--template.text={text}", f"--template.data={folder}/data.json", f"--template.type={kind}")  # fmt: skip


def test_message(folder: Path, tmp_path: Path) -> None:
    """A message names service, alert and value; then what to do first, the runbook and the panel."""
    write(tmp_path, {TEMPLATES: (folder / TEMPLATES).read_text()})
    missing = next(a for a in every_alert() if a.name == "LightmeterNoProgress")
    says = "shop: 2 requests are in flight, and no denoise step has been made for 3 minutes."
    panel = missing.panel.url(SLO.links.dashboards)

    assert f"[firing] LightmeterNoProgress: {says}" == rendered(tmp_path, "subject", [missing])
    assert rendered(tmp_path, "subject", [missing] * 3).endswith(" (the first of 3)")
    for template, kind in (("text", "text"), ("html", "html"), ("chat", "text")):
        body = rendered(tmp_path, template, [missing], kind)
        runbook = f"{SLO.links.runbook}#lightmeternoprogress"
        first = missing.first if kind == "text" else missing.first.replace("'", "&#39;")
        assert [True] * 4 == [part in body for part in (says, first, runbook, panel)], body
        assert "2026-11-20 10:00:00 UTC" in body
    assert panel == rendered(tmp_path, "link", [missing])


def test_inhibitions_hit() -> None:
    """Each line of the table has a source and a target among our alerts."""
    carried = [told(alert)["labels"] for alert in every_alert()]

    for one in inhibit.table(SLO):
        assert any(holds(one.source, each) for each in carried), one.why
        assert any(holds(one.target, each) for each in carried), one.why


def holds(wanted: inhibit.Matchers, carried: dict[str, str]) -> bool:
    def fits(label: str, value: str | tuple[str, ...]) -> bool:
        allowed = (value,) if isinstance(value, str) else value
        found = carried.get(label.removeprefix("not_"), "") in allowed
        return found != label.startswith("not_")

    return all(fits(label, value) for label, value in wanted.items())


def test_silence(folder: Path, tmp_path: Path) -> None:
    """What a missing page, a lost GPU or a dead exporter explains is silent; all else is told."""
    alerts = [told(alert) for alert in every_alert()]
    causes = {"LightmeterMetricsMissing", "LightmeterGpuDown", "LightmeterExporterDead"}
    names = {alert["labels"]["alertname"] for alert in alerts}
    tickets = {"LightmeterErrorBudgetBurn1d", "LightmeterErrorBudgetBurn3d"}
    with Alertmanager(tmp_path / "am", folder / "webhook.yaml").ready() as alertmanager:
        alertmanager.tell(one for one in alerts if one["labels"]["alertname"] not in causes)
        assert eventually(lambda: tickets <= alertmanager.silenced().keys())
        alone = alertmanager.silenced()
        alertmanager.tell(alerts)
        assert eventually(lambda: {"LightmeterExporterDead"} == alertmanager.silenced().get("LightmeterGpuGone"))  # fmt: skip
        found = alertmanager.silenced()

    assert {"LightmeterErrorBudgetBurn1h", "LightmeterErrorBudgetBurn6h"} >= set.union(*(alone[name] for name in tickets))  # fmt: skip
    assert {"LightmeterGpuDown", "LightmeterGpuGone"} >= found["LightmeterXidHardware"]
    assert {"LightmeterExporterDead"} == found["LightmeterGpuGone"]
    assert {"LightmeterMetricsMissing"} == found["LightmeterClassicScaleDown"]
    assert {"LightmeterMetricsMissing"} == found["LightmeterNoWorkerReady"]
    assert causes | {"LightmeterClassicScaleUp", "LightmeterDiskFull", "LightmeterWatchdog"} <= names - found.keys()  # fmt: skip


def test_neighbours(folder: Path, tmp_path: Path) -> None:
    """A cause silences its own service, GPU or node; the neighbour's alerts are told."""
    by_name = {alert.name: alert for alert in every_alert()}
    alerts = [
        told(by_name["LightmeterMetricsMissing"]),
        told(by_name["LightmeterBlackImages"], service="other"),
        told(by_name["LightmeterClassicScaleDown"], service="other"),
        told(by_name["LightmeterGpuDown"]),
        told(by_name["LightmeterXidHardware"], UUID="GPU-2"),
        told(by_name["LightmeterExporterDead"]),
        told(by_name["LightmeterGpuGone"], UUID="GPU-3", instance="node2:9400"),
    ]
    with Alertmanager(tmp_path / "am", folder / "webhook.yaml").ready() as alertmanager:
        alertmanager.tell(alerts)

        assert {} == alertmanager.silenced()


def test_raising_is_heard(tmp_path: Path) -> None:
    """With metrics missing the scaler still hears of the burn that keeps up its floor."""
    missing = next(a for a in every_alert() if a.name == "LightmeterMetricsMissing")
    burns = [a for a in every_alert() if a.name == "LightmeterErrorBudgetBurn1h"]
    token = tmp_path / "token"
    token.write_text("secret")
    with Taker() as taker:
        routing = Routing(f"{taker.url}/scaler", str(token), AT_ONCE, AT_ONCE, AT_ONCE, AT_ONCE)
        write(tmp_path / "am", routes.alertmanager(SLO, routing), pages=f"{taker.url}/pages")
        with Alertmanager(tmp_path / "am", tmp_path / "am" / "webhook.yaml").ready() as alertmanager:  # fmt: skip
            alertmanager.tell([told(missing)])
            assert eventually(lambda: len(taker.messages) == 2)
            alertmanager.tell(map(told, burns))

            assert eventually(lambda: len(taker.messages) == 8)
    burning = {("LightmeterErrorBudgetBurn1h", slo) for slo in ("availability", "wait", "slowdown")}
    assert burning | {("LightmeterMetricsMissing", "")} == set(heard(taker, "/pages"))
    assert set(heard(taker, "/scaler")) == set(heard(taker, "/pages"))


def heard(taker: Taker, path: str) -> list[tuple[str, str]]:
    return [
        (alert["labels"]["alertname"], alert["labels"].get("slo", ""))
        for where, message in list(taker.messages)
        for alert in message["alerts"]
        if where == path
    ]


def test_chat(tmp_path: Path) -> None:
    """A chat gets the message as Slack and Mattermost take it, by the address in the secret file."""
    worker = next(a for a in every_alert() if a.name == "LightmeterNoWorkerReady")
    routing = Routing(pages=AT_ONCE)
    with Taker() as taker:
        (tmp_path / "chat-url").write_text(f"{taker.url}/hooks/secret")
        files = routes.alertmanager(SLO, routing)
        files = {name: text.replace(SECRETS, str(tmp_path)) for name, text in files.items()}
        write(tmp_path / "am", files)
        with Alertmanager(tmp_path / "am", tmp_path / "am" / "chat.yaml").ready() as alertmanager:
            alertmanager.tell([told(worker)])

            assert eventually(lambda: taker.messages)
    (path, message), *_ = taker.messages
    (attachment,) = message["attachments"]
    assert ("/hooks/secret", "#oncall") == (path, message["channel"])
    assert "shop: no worker has been ready for 3 minutes" in attachment["title"]
    assert worker.panel.url(SLO.links.dashboards) == attachment["title_link"]
    assert f"First: {worker.first}" in attachment["text"]
    assert f"<{SLO.links.runbook}#lightmeternoworkerready|Runbook>" in attachment["text"]


def test_lapse() -> None:
    """What is repeated every five minutes is not given up before six."""
    assert 360.0 == Routing().scaler.lapse_seconds


def test_docs() -> None:
    """The page on alerts has the table of inhibitions and the paces as they are."""
    page = (ROOT / "docs" / "alerts.md").read_text()

    assert inhibit.markdown(SLO) in page
    paces = {"pages": "30 s | 5 min | 4 h", "tickets": "5 min | 1 h | 1 day", "scaler": "5 s | 15 s | 5 min"}  # fmt: skip
    for name, said in paces.items():
        pace: Pace = getattr(Routing(), name)
        assert parsed(said) == [parse_duration(one) for one in (pace.wait, pace.interval, pace.repeat)]  # fmt: skip
        assert re.search(rf"\| `{name}`.* \| {re.escape(said)} \|", page), name
    assert "lapses after six minutes" in page


def parsed(said: str) -> list[float]:
    units = {" s": "s", " min": "m", " h": "h", " day": "d"}
    for long, short in units.items():
        said = said.replace(long, short)
    return [parse_duration(one) for one in said.split(" | ")]
