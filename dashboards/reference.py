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

## Without Grafana: the live page

`lightmeter dashboards serve` shows the same JSON in a browser, over any Prometheus; whoever has [localprom](localprom.md) mounts it over that. Everything comes from that one address and nothing from elsewhere, so it works where there is no way out.

```console
$ lightmeter dashboards serve --prometheus http://prometheus:9090 --port 9091
```

| address | what is there |
|---|---|
| `/` | pictures, latency, GPUs, quality, money and alerts, each explained in a sentence |
| `/d/lightmeter-overview` and the others | a board; `viewPanel`, `from`, `to`, `refresh` and `var-service` in the address mean what they mean to Grafana, so the links of [alerts](alerts.md) work |
| `/alerts` | what fires (its count stands in the menu of every page), what may soon, what is watched; each with its first step, its runbook and its panel |
| `/runbook` | the runbook, an anchor for each alert, in any case |
| `/decisions` | the [scaler](scaling.md)'s last decisions with their reasons (`--scaler`); they are marks over all panels as well |
| `/report/` | the [cost report](planner.md) (`--report`), as soon as there is one |
| `/api/v1/...` | the questions of Prometheus's API, passed on; nothing that writes is |

- A panel with nothing to draw says which of these it is: nobody sends its metric, the choice leaves no series over, or nothing happened.
- Drag over a chart to look closer. A name in the legend shows that line alone; with Ctrl it hides it. `i` says what a panel shows, what is normal and what to do; `▦` gives the chart as a table. The arrow keys walk along a chart and tell its values. All keys are listed by `?`, and may be switched off there.
- Dots on latency panels are requests; a click opens the trace if `--trace-url` says where traces are shown.
- It is dark or light as the system is, or as the button ◐ says.
- It listens on this machine only and asks nobody who they are: whoever reaches it can read all metrics. In front of others put a proxy that asks. The token for Prometheus (`--bearer-file`) stays in this process.
- Charts are [uPlot](https://github.com/leeoniya/uPlot)'s, which is served from here; [why that one](benchmarks.md#the-live-page-benchlivepagepy).

In a program, `dashboards.live.app.create_app` takes whatever answers Prometheus's API as an ASGI application and gives one that has the page in front:

```python
from dashboards.live.app import Beside, create_app
from lightmeter.localprom.engine import Engine, Plan

engine = Engine(Plan(), said=print)
app = create_app(engine.app(), Beside(scrape_seconds=5.0))
```
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
