"""A page on all panels, from what the panels say of themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.boards import all_boards
from dashboards.names import mentioned
from dashboards.panel import Dashboard, Panel


_INTRO = """\
# Dashboards

Five boards for Grafana 10 and later, linked to each other; links keep the time range and the selected variables. They are generated from code (`dashboards/`), committed under `dashboards/generated/`, regenerated and compared in CI, and every query is run on a real Prometheus before a release. GPU panels work with lightmeter's exporter and, where DCGM has the metric, with dcgm-exporter.

```console
$ lightmeter dashboards generate --out dashboards
$ lightmeter dashboards check dashboards/json/lightmeter-overview.json
```

The command writes three things: `json/`, to import by hand; `provisioning/`, for `/etc/grafana/provisioning` of a Grafana that finds the boards in `/var/lib/grafana/dashboards/lightmeter`; and `configmap/`, which the sidecar of Grafana's Helm chart picks up by the label `grafana_dashboard`. `--runbook URL` is where the names of firing alerts link to.

- Set the data source's scrape interval to Prometheus's; rates are computed over at least four scrapes.
- Error budgets, burn rates and forecasts need the [recorded series](alerts.md).
- Dots on latency panels link to traces: run Prometheus with `--enable-feature=exemplar-storage`, and name your tracing data source `tempo` or change `datasourceUid` in the provisioning.
- Annotations on all panels show firing alerts, model loads, exporter restarts and scaling decisions.
- A panel without traffic says so. Colours mean good or bad; neutral values have none.

`lightmeter dashboards check` checks any dashboard against the 17 rules of [Grafana's linter](https://github.com/grafana/dashboard-linter) on panels of every type, and also finds panels that overlap or leave the grid, duplicate ids, units that Grafana does not know and would print literally, metrics and labels that nothing exposes, and broken links.

## Publishing to a Grafana

```console
$ lightmeter dashboards publish --url https://grafana.example --token-file token --dry-run
```

puts the five boards into the folder `Lightmeter`, and with `--prometheus URL` adds a data source that they default to (`pip install 'lightmeter[grafana]'`). The token is a service account's: role Editor, or Admin to create the data source too; pass it with `--token-file` or `GRAFANA_TOKEN`. Run it at every deployment: what is up to date is not written again.

| what Grafana has | what is done |
|---|---|
| nothing under that uid | created |
| the published board, unedited | updated if the boards have changed since, left alone otherwise |
| a board that somebody has edited since, or that came from elsewhere | kept, shown as a diff, exit code 1; `--force` overwrites it |
| a board provisioned from files | kept, even with `--force`: Grafana lets nobody change those |

The published revision is recorded at the end of a board's description, so edits are recognised whoever publishes. A write names the revision that was read, so no concurrent edit is lost. A board that was moved stays where it is. `--dry-run` writes nothing and shows every difference; `--json` is for programs. A Grafana that no longer has `/api` for boards (deprecated in 13) is accessed through `/apis`.

## Without Grafana: the live page

`lightmeter dashboards serve` shows the same boards in a browser, on top of any Prometheus; [localprom](localprom.md) has it built in. Everything is loaded from that one address, so it works without internet access. If Prometheus is away the command says so once, and again when it is back, and goes on serving.

```console
$ lightmeter dashboards serve --prometheus http://prometheus:9090 --port 9091
```

| address | what is there |
|---|---|
| `/` | images, latency, GPUs, quality, money and alerts, each explained in a sentence |
| `/d/lightmeter-overview` and the others | a board; `viewPanel`, `from`, `to`, `refresh` and `var-service` in the address mean what they mean to Grafana, so the links of [alerts](alerts.md) work |
| `/alerts` | firing alerts (their count is in every page's menu), pending ones, and all others; each with its first step, runbook and panel |
| `/runbook` | the runbook, an anchor for each alert, in any case |
| `/decisions` | the [scaler](scaling.md)'s last decisions with their reasons (`--scaler`); also shown as annotations on all panels |
| `/report/` | the [cost report](planner.md) (`--report`), as soon as there is one |
| `/api/v1/...` | the read-only part of Prometheus's API, proxied; nothing that writes |

- A panel with nothing to draw says why: nothing exposes its metric, the selection matches no series, or nothing happened.
- Drag over a chart to zoom in. Click a name in the legend to show that line alone; Ctrl-click hides it. `i` explains what a panel shows, what is normal and what to do; `▦` shows the chart as a table. The arrow keys move along a chart and read out its values. `?` lists all keyboard shortcuts, and can switch them off.
- Dots on latency panels are requests; a click opens the trace if `--trace-url` says where traces are shown.
- It follows the system's dark or light theme; the button ◐ overrides it.
- It listens on this machine only and has no authentication: whoever can reach it can read all metrics. To share it, put an authenticating proxy in front. The token for Prometheus (`--bearer-file`) stays in this process.
- Charts are [uPlot](https://github.com/leeoniya/uPlot)'s, which is served from here; [why that one](benchmarks.md#the-live-page-benchlivepagepy).

In a program, `dashboards.live.app.create_app` takes any ASGI application that speaks Prometheus's API and returns one with the page in front:

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
