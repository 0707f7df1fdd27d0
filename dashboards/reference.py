"""A page on all panels, from what the panels say of themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.boards import all_boards
from dashboards.names import mentioned
from dashboards.panel import Dashboard, Panel


_INTRO = """\
# Dashboards

Five boards for Grafana 10 and later, linked to each other; links keep the time and what was chosen. They are made by code (`dashboards/`), committed under `dashboards/generated/`, made again and compared in CI, and every query of theirs is run on a real Prometheus before a release. GPU panels work with lightmeter's exporter and, where DCGM has the metric, with dcgm-exporter.

```console
$ lightmeter dashboards generate --out dashboards
$ lightmeter dashboards check dashboards/json/lightmeter-overview.json
```

The command writes three things: `json/`, to import by hand; `provisioning/`, for `/etc/grafana/provisioning` of a Grafana that finds the boards in `/var/lib/grafana/dashboards/lightmeter`; and `configmap/`, which the sidecar of Grafana's Helm chart picks up by the label `grafana_dashboard`. `--runbook URL` is where the names of firing alerts lead.

- Set the data source's scrape interval to that of Prometheus; rates are taken over four scrapes at least.
- Error budgets, burn rates and forecasts need the [recorded series](alerts.md).
- Dots on latency panels lead to traces: run Prometheus with `--enable-feature=exemplar-storage`, and name your tracing data source `tempo` or change `datasourceUid` in the provisioning.
- Marks over all panels are alerts that fire, models being loaded, exporters being restarted, and scaling decisions.
- Where there is no traffic a panel says so; colours are judgements, so what needs none has none.

`lightmeter dashboards check` holds any dashboard against the 17 rules of [Grafana's linter](https://github.com/grafana/dashboard-linter) on panels of every type, and beyond: panels that overlap or leave the grid, ids that occur twice, units that Grafana does not know and would print as they stand, metrics and labels that nothing exposes, links that lead nowhere.

## Publishing to a Grafana

```console
$ lightmeter dashboards publish --url https://grafana.example --token-file token --dry-run
```

puts the five boards into the folder `Lightmeter`, and with `--prometheus URL` a data source that they begin with (`pip install 'lightmeter[grafana]'`). The token is a service account's: role Editor, or Admin where the data source is made too; it comes from `--token-file` or from `GRAFANA_TOKEN`. Run it at every deployment: what is up to date is not written again.

| what Grafana has | what is done |
|---|---|
| nothing under that uid | made |
| what was published, untouched | made new if the boards have changed since, left alone otherwise |
| a board that somebody saved since, or that came from elsewhere | kept, shown as a diff, exit code 1; `--force` overwrites it |
| a board that is provisioned from files | kept, `--force` or not: Grafana lets nobody change those |

Which revision was published stands at the end of a board's description, so edits are recognised whoever publishes. A write names the revision that was read, so nobody's edit of the same moment is lost. A board that was moved stays where it was moved to. `--dry-run` writes nothing and shows every difference; `--json` tells it to programs. A Grafana that has given up `/api` for boards (13 deprecates it) is asked through `/apis`.
"""


def page() -> str:
    """Tell every panel: its metric, what is normal, what to do."""
    return "\n".join([_INTRO, *(line for one in all_boards() for line in _board(one))])


def _board(one: Dashboard) -> Iterator[str]:
    yield f"## {one.title.partition(' / ')[2]}\n"
    yield f"{one.about} (uid `{one.board}`)\n"
    for section in one.sections:
        yield f"### {one.title.partition(' / ')[2]}: {section.title.lower()}\n"
        yield "| panel | shows | normal | if not | metric |"
        yield "|---|---|---|---|---|"
        yield from (_row(panel) for panel in section.panels)
        yield ""


def _row(panel: Panel) -> str:
    names = ", ".join(f"`{name}`" for name in mentioned(panel))
    return f"| {panel.place.title} | {panel.shows} | {panel.normal} | {panel.act} | {names} |"
