"""What goes wrong in a server, seen before or beside the error budget. Pure."""

from __future__ import annotations

from alerts.objectives import Slo
from alerts.promql import grown, rate, series, share, total
from alerts.rule import Alert, Group, Record, Severity, Trial
from lightmeter import catalog
from lightmeter.catalog import LoadPhase, Outcome, WorkerState


_SHOP = {"service": "shop"}
_QUEUE_SECONDS = 60
_STARTS = 5
_OOMS = 3


def group(slo: Slo) -> Group:
    """Make the rules on workers, queue, memory and scrapes of the servers."""
    by = slo.by
    return Group("lightmeter-server", "server", (
        _no_worker(by), _no_progress(by), _queue(by), _cold_start_mean(by), _cold_start(by), _storm(by), _oom(by), _missing(by),
    ))  # fmt: skip


def shop(metric: catalog.Metric, suffix: str = "", **labels: str) -> str:
    """Name a series of the server that trials are about."""
    return series(metric, suffix, service="shop", model="tiny", **labels)


def _no_worker(by: str) -> Alert:
    serving = series(catalog.WORKERS, state=(WorkerState.READY, WorkerState.BUSY))
    asked = rate(
        by, series(catalog.OFFERED_WORK), "2m"
    )  # less than the hold: who sleeps was asked before
    return Alert(
        name="LightmeterNoWorkerReady",
        severity=Severity.PAGE,
        expr=f"{total(by, serving)} == 0\nand\n{asked} > 0",
        hold="3m",
        summary="{{ $labels.service }}: no worker has been ready for 3 minutes, and users are asking.",
        meaning="Every request waits or is answered 503. A cold start that takes longer than this is a fault as well: users see no difference.",
        first="Read the server's log for why its last worker died or does not come up: out of memory, a missing model, a driver error.",
        then=("Start one by hand: `POST /admin/workers`.", "If the GPU is gone (LightmeterGpuDown), move the service to another node."),
        panel=catalog.WORKERS_BY_STATE,
        labels={"component": "server"},
        trials=(Trial(
            bad={shop(catalog.WORKERS, state=WorkerState.READY): "1x4 0x15 1x20", shop(catalog.OFFERED_WORK): "0+5x60"},
            calm={shop(catalog.WORKERS, state=WorkerState.READY): "1x4 0x15 1x20", shop(catalog.OFFERED_WORK): "5x60"},
            fires="10m", over="22m", labels=_SHOP,
            says="shop: no worker has been ready for 3 minutes, and users are asking.",
        ),),
    )  # fmt: skip


def _no_progress(by: str) -> Alert:
    each = f"{by}, instance"  # one wedged server among several
    busy = f"min by ({each}) (min_over_time({series(catalog.IN_FLIGHT)}[3m]))"
    steps = grown(each, series(catalog.DENOISE_FORWARDS), "3m")
    loading = total(each, series(catalog.WORKERS, state=WorkerState.STARTING))
    return Alert(
        name="LightmeterNoProgress",
        severity=Severity.PAGE,
        expr=f"{busy} > 0\nand\n{steps} == 0\nunless\n{loading} > 0",
        hold="1m",
        summary="{{ $labels.service }}{{ with $labels.instance }} on {{ . }}{{ end }}: {{ $value }} requests are in flight, and no denoise step has been made for 3 minutes.",
        meaning="The model is wedged: requests are accepted and nothing is computed. Users wait until their deadline.",
        first="End the worker that hangs: `DELETE /admin/workers/{id}`; the server starts another and tries its requests again.",
        then=("Look for an XID error or a hung driver call on that GPU (LightmeterXid, LightmeterGpuDown).",),
        panel=catalog.STAGES,
        labels={"component": "server"},
        trials=(Trial(
            bad={shop(catalog.IN_FLIGHT): "2x30", shop(catalog.DENOISE_FORWARDS): "0+100x5 500x14 600+100x20"},
            calm={shop(catalog.IN_FLIGHT): "2x30", shop(catalog.DENOISE_FORWARDS): "0+1x40"},
            fires="12m", over="22m", labels=_SHOP,
            says="shop: 2 requests are in flight, and no denoise step has been made for 3 minutes.",
        ),),
    )  # fmt: skip


def _queue(by: str) -> Alert:
    waiting = total(by, series(catalog.QUEUE_DEPTH))
    served = rate(by, series(catalog.REQUESTS, outcome=(Outcome.OK, Outcome.ANOMALOUS)), "5m")
    before = f"sum by ({by}) ({series(catalog.QUEUE_DEPTH)} offset 5m)"
    return Alert(
        name="LightmeterQueueGrowing",
        severity=Severity.TICKET,
        expr=f"{waiting} / clamp_min({served}, 0.001) > {_QUEUE_SECONDS}\nand\n{waiting} >= {before}",
        hold="5m",
        summary="{{ $labels.service }}: the queue holds {{ $value | humanizeDuration }} of work at the pace of the last 5 minutes, and does not get shorter.",
        meaning="More is asked for than the workers can make. Those who come now wait that long.",
        first="Add replicas or GPUs, or see why none was added: the scaler's last decision says it (`lightmeter explain`).",
        then=("Lower what batch jobs may queue at `/admin/limits`, so that people come first.",),
        panel=catalog.QUEUE,
        labels={"component": "server"},
        trials=(Trial(
            bad={shop(catalog.QUEUE_DEPTH, priority="interactive"): "0x5 150x20 0x20", shop(catalog.REQUESTS, outcome=Outcome.OK): "0+60x60"},
            calm={shop(catalog.QUEUE_DEPTH, priority="interactive"): "0x5 58x40", shop(catalog.REQUESTS, outcome=Outcome.OK): "0+60x60"},
            fires="20m", over="32m", labels=_SHOP,
            says="shop: the queue holds 2m 30s of work at the pace of the last 5 minutes, and does not get shorter.",
        ),),
    )  # fmt: skip


def _cold_start_mean(by: str) -> Record:
    spent = grown(by, series(catalog.MODEL_LOAD, "_sum"), "1h")
    starts = grown(by, series(catalog.MODEL_LOAD, "_count", phase=LoadPhase.WEIGHTS), "1h")
    return Record(catalog.COLD_START_MEAN, share(spent, starts))


def _cold_start(by: str) -> Alert:
    del by
    now = catalog.COLD_START_MEAN
    return Alert(
        name="LightmeterColdStartSlow",
        severity=Severity.TICKET,
        expr=f"{now} > 1.2 * quantile_over_time(0.99, {now}[7d:5m] offset 1h)",
        hold="5m",
        summary="{{ $labels.service }}: the cold starts of the last hour took {{ $value | humanizeDuration }}, more than the 99th percentile of the week before by a fifth.",
        meaning="New replicas come later than the scaler counts on, so it orders them too late.",
        first="See which phase grew: import and weights mean disk or network, compile a lost cache, warmup a slower GPU.",
        panel=catalog.COLD_STARTS,
        labels={"component": "server"},
        trials=(Trial(
            bad={shop(catalog.MODEL_LOAD, "_sum", phase=LoadPhase.WEIGHTS): "0+10x100 1000+30x100 4000+10x300", shop(catalog.MODEL_LOAD, "_count", phase=LoadPhase.WEIGHTS): "0+1x500"},
            calm={shop(catalog.MODEL_LOAD, "_sum", phase=LoadPhase.WEIGHTS): "0+10x100 1000+11.8x400", shop(catalog.MODEL_LOAD, "_count", phase=LoadPhase.WEIGHTS): "0+1x500"},
            fires="165m", over="400m", labels=_SHOP, every="5m",
            says="shop: the cold starts of the last hour took 30s, more than the 99th percentile of the week before by a fifth.",
        ),),
    )  # fmt: skip


def _storm(by: str) -> Alert:
    starts = grown(by, series(catalog.MODEL_LOAD, "_count", phase=LoadPhase.WEIGHTS), "15m")
    workers = total(by, series(catalog.WORKERS))
    return Alert(
        name="LightmeterColdStartStorm",
        severity=Severity.PAGE,
        expr=f"{starts} > {_STARTS}\nand\n{starts} > 2 * {workers}",
        summary='{{ $labels.service }}: {{ $value | printf "%.0f" }} cold starts in 15 minutes, more than two for each worker.',
        meaning="Workers start, fail or are sent away, and start again. Their GPUs load models where they should make pictures.",
        first="Read why workers end: out of memory, a crash, or a scaler that goes up and down; freeze the scaler if it is that.",
        panel=catalog.COLD_STARTS,
        labels={"component": "server"},
        trials=(Trial(
            bad={shop(catalog.MODEL_LOAD, "_count", phase=LoadPhase.WEIGHTS): "0x5 0+1x15 15x40", shop(catalog.WORKERS, state=WorkerState.READY): "2x60"},
            calm={shop(catalog.MODEL_LOAD, "_count", phase=LoadPhase.WEIGHTS): "0x5 0+1x15 15x40", shop(catalog.WORKERS, state=WorkerState.READY): "8x60"},
            fires="20m", over="45m", labels=_SHOP,
            says="shop: 14 cold starts in 15 minutes, more than two for each worker.",
        ),),
    )  # fmt: skip


def _oom(by: str) -> Alert:
    failed = grown(by, series(catalog.OOM), "10m")
    return Alert(
        name="LightmeterOutOfMemory",
        severity=Severity.PAGE,
        expr=f"{failed} > {_OOMS - 0.5:g}",
        keep="10m",
        summary='{{ $labels.service }}: the GPU ran out of memory {{ $value | printf "%.0f" }} times in 10 minutes.',
        meaning="Each time a batch is thrown away and made again in halves; single pictures that do not fit are answered 507. A neighbour may hold memory that was free when the service started.",
        first="See on the panel whose memory grew: a neighbour's (send it away, or cap it) or this service's (lower the batch size at /admin/limits).",
        panel=catalog.GPU_MEMORY,
        labels={"component": "server"},
        trials=(Trial(
            bad={shop(catalog.OOM, resolution="1024x1024"): "0x5 0+1x10 10x60"},
            calm={shop(catalog.OOM, resolution="1024x1024"): "0x10 2x60"},
            fires="15m", over="50m", labels=_SHOP,
            says="shop: the GPU ran out of memory 9 times in 10 minutes.",
        ),),
    )  # fmt: skip


def _missing(by: str) -> Alert:
    there, wanted = series(catalog.IN_FLIGHT), series(catalog.DESIRED_REPLICAS, target="shop")
    return Alert(
        name="LightmeterMetricsMissing",
        severity=Severity.PAGE,
        expr=f"count by ({by}) (last_over_time({there}[1d]))\nunless\ncount by ({by}) ({there})\nunless on ()\nmax({series(catalog.DESIRED_REPLICAS)}) == 0",
        hold="2m",
        summary="{{ $labels.service }}: its {{ $value }} servers have not been scraped for 2 minutes at least; what users see is unknown.",
        meaning="Everything else about this service is blind: no other alert of it can fire, and the scaler must not act on what it does not see.",
        first="Open Prometheus's targets: is the server down, its metrics port unreachable, or its label changed?",
        then=("Scaling down is held while this fires.", "Where the service was switched off on purpose, silence it for a day; a scaler that wants none of anything says so itself."),
        panel=catalog.TARGETS,
        labels={"component": "server", catalog.SCALING_LABEL: catalog.Scaling.FREEZE},
        trials=(Trial(
            bad={shop(catalog.IN_FLIGHT): "0x10 stale _x18 0x20"},
            calm={shop(catalog.IN_FLIGHT): "0x10 stale _ 0x30"},
            fires="20m", over="35m", labels=_SHOP,
            says="shop: its 1 servers have not been scraped for 2 minutes at least; what users see is unknown.",
        ), Trial(  # let go by a scaler
            bad={shop(catalog.IN_FLIGHT): "0x10 stale _x18 0x20", wanted: "1x60"},
            calm={shop(catalog.IN_FLIGHT): "0x10 stale _x30", wanted: "1x8 0x60"},
            fires="20m", over="35m", labels=_SHOP,
            says="shop: its 1 servers have not been scraped for 2 minutes at least; what users see is unknown.",
        )),
    )  # fmt: skip
