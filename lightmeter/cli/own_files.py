"""The files that bring a part of ``lightmeter up`` into a Prometheus of one's own, and its Alertmanager."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lightmeter.cli.house import House
from lightmeter.cli.rules_ import leading_to, objectives
from lightmeter.cli.written import put
from lightmeter.units import url


FOLDER = "prometheus"
TARGETS, RULES, ALERTMANAGER, WHOLE = "targets.json", "rules", "alertmanager.yml", "prometheus.yml"
ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104  (looked for, not listened on)
JOB = "lightmeter"
ALERTING = 'alerting: {alertmanagers: [{static_configs: [{targets: ["127.0.0.1:9093"]}]}]}\n'
"""Leads to an Alertmanager at its default address."""
_WHOLE = (
    "# A whole configuration, for a Prometheus that has none.\nglobal: {evaluation_interval: 15s}\n"
)


@dataclass(frozen=True)
class Files:
    """What was written, and what a Prometheus that reads it has then."""

    folder: Path
    """Absolute, since another program is to find it."""
    pages: Mapping[str, str]
    """Pages of metrics by job, as they are reached from outside the process."""
    groups: frozenset[str]
    """Names of the groups of rules."""
    scrape_seconds: float = 15.0
    """Between two scrapes."""

    @property
    def snippet(self) -> str:
        """What goes into the configuration of a Prometheus: any version reads it."""
        return (
            "scrape_configs:\n"
            f"  - job_name: {JOB}\n"
            f"    scrape_interval: {self.scrape_seconds:g}s\n"
            f"    file_sd_configs: [{{files: [{json.dumps(str(self.folder / TARGETS))}]}}]\n"
            f"rule_files: [{json.dumps(str(self.folder / RULES / '*.yaml'))}]\n"
        )

    def forget(self) -> None:
        """Take the targets back: what was ended on purpose is not down."""
        put(self.folder, {TARGETS: "[]\n"})


def write(settled: House) -> Files:
    """Write targets, rules, and a configuration for an Alertmanager and for a Prometheus that has none.

    Raises:
        InputError: naming the file that cannot be written. RuleError: slo.toml cannot be used.
    """
    from alerts import files, routes

    folder = (settled.serve.data / FOLDER).resolve()
    pages = {job: reachable(page) for job, page in settled.pages.items()}
    slo = objectives(None)
    if settled.page:
        address = reachable(url(settled.page.host, settled.page.port))
        slo = leading_to(slo, address, settled.page.scrape_interval)
    texts, packs = files.generate(("recommended",), slo, ("prometheus",), {})
    token = settled.scale.token_file
    routing = routes.Routing(
        scaler_url=f"{reachable(url(settled.scale.host, settled.scale.port))}/v1/alerts",
        token_file=str(token.resolve()) if token else "",
    )
    groups = frozenset(group.name for pack in packs for group in pack.groups if group.rules)
    found = Files(folder, pages, groups, slo.scrape_interval)
    rules = {f"{RULES}/{Path(name).name}": text for name, text in texts.items()}
    put(folder, rules | {
        TARGETS: targets(pages),
        ALERTMANAGER: routes.to_scaler(slo, routing),
        WHOLE: f"{_WHOLE}{found.snippet}{ALERTING}",
    })  # fmt: skip
    return found


def targets(pages: Mapping[str, str]) -> str:
    """List the pages as file-based service discovery wants them; each has its job's name."""
    listed = [{"targets": [urlsplit(page).netloc], "labels": {"job": job}} for job, page in pages.items()]  # fmt: skip
    return json.dumps(listed, indent=2) + "\n"


def reachable(page: str) -> str:
    """Put this machine's name where a part listens on all addresses."""
    parts = urlsplit(page)
    if (parts.hostname or "") not in ANYWHERE:
        return page
    return parts._replace(netloc=f"{socket.gethostname()}:{parts.port}").geturl()
