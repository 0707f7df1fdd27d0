"""Overview and SLO: are users well served, and for how long yet. Pure."""

from __future__ import annotations

from dashboards.panel import Dashboard, Kind, Panel, Section, Target
from dashboards.query import ALERTS, RATE, UP, pick, quantile, rate, share, total
from lightmeter import catalog
from lightmeter.catalog import Board, Dcgm, Outcome, WorkerState


_FAILED = (Outcome.SHED, Outcome.TIMEOUT, Outcome.OOM, Outcome.ERROR)
_COUNTED = (Outcome.OK, Outcome.ANOMALOUS, *_FAILED)
_GOOD, _WARN, _BAD = "green", "orange", "red"
_UP = (("1", "answers", _GOOD), ("0", "silent", _BAD))


def dashboard() -> Dashboard:
    """Make it."""
    return Dashboard(
        board=Board.OVERVIEW,
        title="Lightmeter / Overview and SLO",
        about="Are users well served, what was promised, and how long will the error budget last?",
        sections=(
            Section("Now", _now()),
            Section("Promises", _promises()),
            Section("Traffic", _traffic()),
            Section("Alerts and scrapes", _watching()),
        ),
    )


def _place(number: int, title: str) -> catalog.Panel:
    return catalog.Panel(Board.OVERVIEW, number, title)


def _stat(
    number: int,
    title: str,
    unit: str,
    query: str,
    *,
    shows: str,
    normal: str,
    act: str,
    empty: str = "No traffic",
) -> Panel:
    return Panel(
        place=_place(number, title), kind=Kind.STAT, unit=unit, targets=(Target(query),),
        shows=shows, normal=normal, act=act, width=4, height=4, empty=empty,
    )  # fmt: skip


def _now() -> tuple[Panel, ...]:
    requests = pick(catalog.REQUESTS, outcome=(Outcome.OK, Outcome.ANOMALOUS))
    failed = f"sum(rate({pick(catalog.REQUESTS, outcome=_FAILED)}[{RATE}]))"
    counted = f"sum(rate({pick(catalog.REQUESTS, outcome=_COUNTED)}[{RATE}]))"
    lost = share(f"({failed} or vector(0))", counted)
    return (
        _stat(20, "Requests served", "reqps", f"sum(rate({requests}[{RATE}]))",
              shows="Requests answered with a picture, each second.",
              normal="Follows the day; compare with the same hour of last week.",
              act="A drop to nothing with users about: look at Workers by state and at Who answers scrapes."),
        Panel(place=_place(21, "Failed requests"), kind=Kind.STAT, unit="percentunit", targets=(Target(lost),),
              width=4, height=4, most=1, decimals=2, steps=((0, _GOOD), (0.005, _WARN), (0.05, _BAD)),
              shows="Share of requests shed, timed out, out of memory or failed; the client's own mistakes count nowhere.",
              normal="Below 0.5 %, the default promise.",
              act="See Requests by outcome for which of these it is."),
        _stat(22, "p95 duration", "s", quantile(0.95, "", catalog.REQUEST_DURATION),
              shows="Nineteen of twenty requests are answered faster than this.",
              normal="As your pictures' sizes and steps make it; a jump is what counts.",
              act="Open Latency and quality and see which stage grew."),
        _stat(23, "Waiting", "count:requests", f"sum({pick(catalog.QUEUE_DEPTH)})", empty="No server",
              shows="Requests that wait for a worker.",
              normal="About none between bursts.",
              act="If it grows and does not fall, open Capacity."),
        Panel(place=_place(24, "Workers that can serve"), kind=Kind.STAT, unit="count:workers", width=4, height=4,
              targets=(Target(f"sum({pick(catalog.WORKERS, state=(WorkerState.READY, WorkerState.BUSY))})"),),
              steps=((0, _BAD), (1, _GOOD)), empty="No server",
              shows="Worker processes that are ready or busy.",
              normal="As many as were started.",
              act="None: read the server's log; a model may be loading (Cold starts)."),
        _stat(25, "GPUs seen", "count:GPUs", f"count(count by (instance, UUID) ({pick(Dcgm.GPU_TEMP)}))", empty="No GPU is seen",
              shows="GPUs on the pages of all exporters, ours or NVIDIA's.",
              normal="As many as there are.",
              act="Fewer: open GPU fleet and see which one does not answer, and why."),
    )  # fmt: skip


def _promises() -> tuple[Panel, ...]:
    allowed = f"(1 - {pick(catalog.SLO_OBJECTIVE)})"
    burns = tuple(
        Target(
            f"{pick(catalog.slo_error_ratio(window))} / ({allowed} > 0)",
            f"{{{{service}}}} {{{{slo}}}} {window}",
        )
        for window in ("5m", "1h", "6h")
    )
    left = pick(catalog.SLO_BUDGET_LEFT)
    return (
        Panel(place=catalog.BURN_RATE, kind=Kind.LINES, unit="suffix:x", targets=burns, decimals=1,
              steps=((0, _GOOD), (1, _WARN), (14.4, _BAD)),
              shows="How many times too fast the error budget burns, over 5 minutes, 1 and 6 hours.",
              normal="Below 1. At 14.4 a thirtieth of the month's budget is gone in 100 minutes, and somebody is called.",
              act="See Requests by outcome and Where the time goes for what is bad; the alert's runbook has the steps.",
              empty="No rules or no traffic"),
        Panel(place=catalog.ERROR_BUDGET, kind=Kind.LINES, unit="percentunit", targets=(Target(left, "{{service}} {{slo}}"),),
              least=None, most=1, steps=((-1e9, _BAD), (0, _WARN), (0.25, _GOOD)),
              shows="What is left of the period's error budget. Below nothing the promise is broken.",
              normal="Falls slowly, and ends the period above nothing.",
              act="Below a quarter: hold risky changes; spend the rest on purpose.",
              empty="No rules or no traffic"),
        Panel(place=_place(26, "Error budget lasts for"), kind=Kind.BARS, unit="s", height=8,
              targets=(Target(pick(catalog.SLO_BUDGET_ENDS), "{{service}} {{slo}}"),),
              steps=((0, _BAD), (3 * 86400, _WARN), (14 * 86400, _GOOD)),
              shows="Forecast: how long the rest of the budget lasts at the pace of the last day.",
              normal="Longer than the period; nothing is shown where nothing fails.",
              act="Less than three days: treat it as an incident before it is one.",
              empty="Nothing fails"),
    )  # fmt: skip


def _traffic() -> tuple[Panel, ...]:
    return (
        Panel(place=catalog.REQUEST_OUTCOMES, kind=Kind.LINES, unit="reqps", stacked=True,
              targets=(Target(rate("outcome", pick(catalog.REQUESTS)), "{{outcome}}"),),
              shows="Requests each second, by how they ended.",
              normal="Almost all ok; invalid and cancelled are the clients' affair.",
              act="shed: Capacity. timeout: Queue and Where the time goes. oom: Memory and its peaks. error: the server's log, by request id."),
        Panel(place=catalog.WORKERS_BY_STATE, kind=Kind.LINES, unit="count:workers", stacked=True, empty="No server",
              targets=(Target(total("state", pick(catalog.WORKERS)), "{{state}}"),),
              shows="Worker processes in each state.",
              normal="Ready and busy; starting for the time of a cold start.",
              act="dead: read why it ended in the log; it is started again by itself. Starting for ever: Cold starts."),
        Panel(place=_place(27, "Turned away"), kind=Kind.LINES, unit="reqps", stacked=True, empty="Nobody was turned away",
              targets=(Target(rate("reason", pick(catalog.SHED)), "{{reason}}"),),
              shows="Requests refused unserved, by reason.",
              normal="None. rate_limit is a client over its own bound.",
              act="queue_full: more workers, or fewer batch jobs. no_worker or starting: Workers by state."),
        Panel(place=_place(28, "Active users"), kind=Kind.LINES, unit="count:users", empty="No server",
              targets=(Target(total("service", pick(catalog.ACTIVE_USERS)), "{{service}}"),),
              shows="Distinct users of the last five minutes.",
              normal="Follows the day.",
              act="Falls while requests rise: one client sends everything; see its key's rate limit."),
        Panel(place=_place(29, "Pictures"), kind=Kind.LINES, unit="suffix: img/s", stacked=True,
              targets=(Target(rate("resolution", pick(catalog.IMAGES)), "{{resolution}}"),),
              shows="Pictures delivered each second, by area.",
              normal="The mix of sizes is steady.",
              act="A shift to larger sizes explains more GPU time at the same rate of requests."),
        Panel(place=_place(30, "In flight"), kind=Kind.LINES, unit="count:requests", empty="No server",
              targets=(Target(total("service", pick(catalog.IN_FLIGHT)), "{{service}}"),),
              shows="Requests accepted and not yet answered.",
              normal="A few for each worker.",
              act="Grows while nothing is served: workers hang; see Workers by state."),
    )  # fmt: skip


def _watching() -> tuple[Panel, ...]:
    firing = f'{ALERTS}{{alertstate="firing", severity!="none"}}'
    return (
        Panel(place=_place(31, "Alerts that fire"), kind=Kind.TABLE, unit="none", targets=(Target(firing),), width=12,
              shows="Each alert that fires now, with its labels; its name links to the runbook. Alerts are also drawn as marks over all panels.",
              normal="Empty.",
              act="Click the name: the runbook says what to do first.",
              empty="Nothing fires"),
        Panel(place=catalog.TARGETS, kind=Kind.STATES, unit="none", width=12, words=_UP,
              targets=(Target(f"min by (job, instance) ({UP}{{{_scraped()}}})", "{{job}} {{instance}}"),),
              shows="Which servers and exporters answered Prometheus's last scrape.",
              normal="All answer.",
              act="Silent: is the process there, is its metrics port reachable, did its name change?",
              empty="No target"),
    )  # fmt: skip


def _scraped() -> str:
    return 'job=~"$job", instance=~"$instance"'
