"""Capacity and autoscaling: what is asked for, what there is, and what the scaler makes of it. Pure."""

from __future__ import annotations

from dashboards.panel import Dashboard, Kind, Panel, Section, Target
from dashboards.query import RATE, mean, pick, quantile, rate, share, total
from lightmeter import catalog
from lightmeter.catalog import Board, GpuTime, Stage, WorkerState


_AHEAD_SECONDS = 1800
"""How far the forecast looks: longer than most cold starts."""
_SERVING = (WorkerState.READY, WorkerState.BUSY)
_NO_SCALER = "No scaler"
_NO_SERVER = "No server"
_NO_GATEWAY = "No gateway"
BUSY = share(*(total("service", pick(catalog.WORKERS, state=state)) for state in ((WorkerState.BUSY,), _SERVING)))  # fmt: skip


def dashboard() -> Dashboard:
    """Make it."""
    return Dashboard(
        board=Board.CAPACITY,
        title="Lightmeter / Capacity and autoscaling",
        about="What is asked for, what the workers can make, and what the scaler makes of it.",
        sections=(
            Section("Now", _now()),
            Section("Demand", _demand()),
            Section("Scaler", _scaler()),
            Section("Gateway", _gateway()),
            Section("Cold starts and balance", _starts()),
        ),
    )


def _place(number: int, title: str) -> catalog.Panel:
    return catalog.Panel(Board.CAPACITY, number, title)


def _offered() -> str:
    return rate("service", pick(catalog.OFFERED_WORK))


def _possible() -> str:
    """Work that the serving workers could finish in a second, at the pace at which they work."""
    useful = rate("service", pick(catalog.GPU_SECONDS, kind=GpuTime.USEFUL))
    pace = share(rate("service", pick(catalog.DONE_WORK)), useful)
    return f"{pace} * on (service) {total('service', pick(catalog.WORKERS, state=_SERVING))}"


def _now() -> tuple[Panel, ...]:
    stats = (
        (20, "Room left", "percentunit", f"1 - {share(_offered(), f'({_possible()})', 'on (service)')}", "No traffic", "Share of what the workers could make that nobody asks for.", "Above 20 %, so that a burst fits.", "Below nothing: the queue grows. Add workers."),
        (21, "Waiting", "count:requests", f"sum({pick(catalog.QUEUE_DEPTH)})", _NO_SERVER, "Requests in the queue.", "About none between bursts.", "See Queue."),
        (22, "Replicas wanted", "count:replicas", f"sum({pick(catalog.DESIRED_REPLICAS)})", _NO_SCALER, "What the scaler's last decision asks for.", "As many as are ready.", "More than ready for longer than a cold start: orders fail."),
        (23, "Replicas ready", "count:replicas", f"sum({pick(catalog.READY_REPLICAS)})", _NO_SCALER, "Replicas that can serve.", "As many as wanted.", "Fewer: see Replicas."),
    )  # fmt: skip
    return tuple(
        Panel(place=_place(number, title), kind=Kind.STAT, unit=unit, targets=(Target(query, "{{service}}"),),
              shows=shows, normal=normal, act=act, width=6, height=4, empty=empty, least=None)
        for number, title, unit, query, empty, shows, normal, act in stats
    )  # fmt: skip


def _demand() -> tuple[Panel, ...]:
    ahead = f"clamp_min(predict_linear(({_offered()})[1h:], {_AHEAD_SECONDS}), 0)"
    waiting = total("service, priority", pick(catalog.QUEUE_DEPTH))
    return (
        Panel(place=_place(24, "Work asked for and possible"), kind=Kind.LINES, unit="suffix: MP·forwards/s", width=12,
              targets=(Target(_offered(), "{{service}} asked for"), Target(rate("service", pick(catalog.DONE_WORK)), "{{service}} done"),
                       Target(_possible(), "{{service}} possible"), Target(ahead, "{{service}} asked for in 30 minutes")),
              shows="Megapixels times forwards each second: what arrives (refused too), what is finished, what the workers could finish, and where the last hour's line leads in half an hour.",
              normal="Asked for, now and forecast, stays below possible.",
              act="The forecast crosses possible: order workers now, a cold start ahead."),
        Panel(place=catalog.QUEUE, kind=Kind.LINES, unit="count:requests", stacked=True, width=6, empty=_NO_SERVER, targets=(Target(waiting, "{{service}} {{priority}}"),),
              shows="Requests that wait, by priority.",
              normal="Empties between bursts.",
              act="Grows for minutes: more workers; lower what batch jobs may queue at /admin/limits."),
        Panel(place=_place(25, "Wait for a GPU, p95"), kind=Kind.LINES, unit="s", width=6,
              targets=(Target(quantile(0.95, "service", catalog.STAGE_DURATION, stage=Stage.QUEUE), "{{service}}"),),
              shows="Nineteen of twenty requests wait less than this.",
              normal="Below 12 s, the default promise.",
              act="Above: the scaler should be adding; see Decisions for why not."),
        Panel(place=_place(26, "Workers busy"), kind=Kind.LINES, unit="percentunit", most=1, targets=(Target(BUSY, "{{service}}"),), empty=_NO_SERVER,
              shows="Share of the workers that make a picture at this moment.",
              normal="50 to 80 %.",
              act="Near 100 %: bursts will wait. Near 0 for hours: fewer would do."),
        Panel(place=_place(27, "Turned away for lack of room"), kind=Kind.LINES, unit="reqps", empty="Nobody was turned away",
              targets=(Target(rate("service", pick(catalog.SHED, reason=(catalog.ShedReason.QUEUE_FULL, catalog.ShedReason.NO_WORKER, catalog.ShedReason.DEADLINE))), "{{service}}"),),
              shows="Requests refused because there was no worker, no place, or no time left.",
              normal="None.",
              act="Any: demand outgrew what there is."),
        Panel(place=_place(28, "Balance"), kind=Kind.LINES, unit="percentunit", most=1, targets=(Target(f"min by (service) ({pick(catalog.BALANCE_RATIO)})", "{{service}}"),), empty=_NO_SERVER,
              shows="Mean over maximum busy share of the workers; 100 % is perfectly even.",
              normal="Above 80 % under load.",
              act="Low under load: one worker is slower; compare its GPU's clocks."),
    )  # fmt: skip


def _scaler() -> tuple[Panel, ...]:
    replicas = tuple(
        Target(total("target", pick(metric)), f"{{{{target}}}} {word}")
        for metric, word in ((catalog.DESIRED_REPLICAS, "wanted"), (catalog.READY_REPLICAS, "ready"), (catalog.STARTING_REPLICAS, "starting"))
    )  # fmt: skip
    refused = f"sum by (target, ask, answer) (increase({pick(catalog.TARGET_ASKS, answer=catalog.REFUSALS)}[{RATE}]))"
    decided = f"sum by (target, action, term) (increase({pick(catalog.DECISIONS)}[{RATE}]))"
    return (
        Panel(place=catalog.REPLICAS, kind=Kind.LINES, unit="count:replicas", width=6, targets=replicas, empty=_NO_SCALER,
              shows="Replicas wanted, ready and starting.",
              normal="Ready follows wanted after a cold start.",
              act="Starting for ever: no GPU is free, or the model does not load."),
        Panel(place=catalog.DECIDED, kind=Kind.LINES, unit="count:decisions", width=6, stacked=True, targets=(Target(decided, "{{target}} {{action}}: {{term}}"),), empty=_NO_SCALER,
              shows="What the scaler decided, and the term that decided. Decisions to go up, down or freeze are drawn as marks over all panels, each once: what is advised or asked for again counts as a hold.",
              normal="Mostly hold.",
              act="up and down in turn: its bounds are too close. freeze: a signal is missing; see Age of signals."),
        Panel(place=_place(31, "Age of signals"), kind=Kind.BARS, unit="s", width=6, steps=((0, "green"), (60, "orange"), (120, "red")), empty=_NO_SCALER,
              targets=(Target(f"max by (target, signal) ({pick(catalog.SIGNAL_AGE)})", "{{target}} {{signal}}"),),
              shows="How old each signal is that the scaler goes by.",
              normal="A few scrapes.",
              act="Old: it holds rather than guess; mend the scrape."),
        Panel(place=catalog.TARGET_ANSWERS, kind=Kind.LINES, unit="count:questions", width=6, targets=(Target(refused, "{{target}} {{ask}}: {{answer}}"),), empty=_NO_SCALER,
              shows="What the scaler asked of its target in vain, by why: to count its replicas, to have another number of them.",
              normal="None; a conflict or a busy API server now and then.",
              act="forbidden: a right or a key is missing. not_found: the name is wrong. owned: an HPA or a ScaledObject scales it. What it said: lightmeter explain last."),
    )  # fmt: skip


def _gateway() -> tuple[Panel, ...]:
    resent = f"sum by (reason) (increase({pick(catalog.GATEWAY_RESENT)}[{RATE}]))"
    wakes = f"sum by (result) (increase({pick(catalog.GATEWAY_WAKES)}[{RATE}]))"
    return (
        Panel(place=_place(34, "Replicas behind the gateway"), kind=Kind.LINES, unit="count:replicas", width=6, targets=(Target(total("state", pick(catalog.GATEWAY_REPLICAS)), "{{state}}"),), empty=_NO_GATEWAY,
              shows="Replicas that the gateway knows, by what it thinks of them.",
              normal="All ready; unready while they start, drain or sleep.",
              act="unreachable: is the pod there? ejected: read that replica's log; it answers with faults."),
        Panel(place=_place(35, "Sent to another replica"), kind=Kind.LINES, unit="count:requests", width=6, targets=(Target(resent, "{{reason}}"),), empty=_NO_GATEWAY,
              shows="Requests that one replica did not answer and that went back into the line, by reason. Clients notice only the time.",
              normal="None, or busy and unready while replicas come and go.",
              act="died, faulty: a replica is broken, or a request breaks it."),
        Panel(place=_place(36, "Wakes"), kind=Kind.LINES, unit="count:questions", width=6, targets=(Target(wakes, "{{result}}"),), empty=_NO_GATEWAY,
              shows="Questions to the scaler while somebody waited and no replica was ready, by what came of them.",
              normal="None while there are replicas; started, then standing, after a sleep.",
              act="refused: the scaler is frozen or only advises. failed: it does not answer, or does not know the token."),
        Panel(place=_place(37, "Waited for a first replica, p95"), kind=Kind.LINES, unit="s", width=6, targets=(Target(quantile(0.95, "service", catalog.GATEWAY_WAKE_WAIT), "{{service}}"),), empty="Nobody waited for one",
              shows="From the first request that found no replica ready until one was.",
              normal="A cold start.",
              act="Longer: the order waits for a GPU or a node; keep the last replica for longer."),
    )  # fmt: skip


def _starts() -> tuple[Panel, ...]:
    phases = mean("phase", catalog.MODEL_LOAD)
    ordered = quantile(0.95, "target", catalog.COLD_START)
    posts, alerts = (
        f"sum by (result) (increase({pick(metric)}[{RATE}]))"
        for metric in (catalog.WEBHOOK_POSTS, catalog.WEBHOOK_ALERTS)
    )
    return (
        Panel(place=catalog.COLD_STARTS, kind=Kind.LINES, unit="s", empty="No cold start",
              targets=(Target(phases, "{{phase}}"), Target(pick(catalog.COLD_START_MEAN), "{{service}} mean of an hour")),
              shows="Cold starts of workers by phase, where there were any; and their mean over an hour.",
              normal="weights is most of it, and steady.",
              act="weights longer: disk or network. compile: the cache is lost. import: a cold disk."),
        Panel(place=_place(32, "From order to ready, p95"), kind=Kind.LINES, unit="s", targets=(Target(ordered, "{{target}}"),), empty="No order",
              shows="From ordering a replica to its being ready, as the scaler sees it.",
              normal="Shorter than the forecast looks ahead.",
              act="Longer: keep one replica more as a reserve."),
        Panel(place=_place(33, "Alertmanager's messages"), kind=Kind.LINES, unit="count:messages", targets=(Target(posts, "{{result}}"), Target(alerts, "alerts: {{result}}")), empty=_NO_SCALER,
              shows="Messages of Alertmanager to the scaler, and the alerts in them, by what became of them.",
              normal="taken, with alerts that began, repeated or ended.",
              act="unauthorized or invalid: see the receiver's address and token."),
    )  # fmt: skip
