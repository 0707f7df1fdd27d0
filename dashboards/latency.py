"""Latency and quality: where the time goes, and whether the pictures are any good. Pure."""

from __future__ import annotations

from dashboards.panel import Choice, Dashboard, Kind, Panel, Section, Target
from dashboards.query import buckets, mean, pick, quantile, rate, share
from lightmeter import catalog
from lightmeter.catalog import Board, Stage


_WITHIN = tuple(str(bound) for bound in catalog.REQUEST_DURATION.buckets)
"""Bounds as prometheus_client writes them."""


def dashboard() -> Dashboard:
    """Make it."""
    return Dashboard(
        board=Board.LATENCY,
        title="Lightmeter / Latency and quality",
        about="How long pictures take, in which stage, and whether they are any good.",
        sections=(
            Section("How long", _durations()),
            Section("Where", _stages()),
            Section("Batches", _batches()),
            Section("Quality", _quality()),
        ),
        choices=(Choice("within", "Limit (s)", "19.0", _WITHIN),),
    )


def _place(number: int, title: str) -> catalog.Panel:
    return catalog.Panel(Board.LATENCY, number, title)


def _levels(metric: catalog.Metric, *, exemplar: bool = False, **labels: str) -> tuple[Target, ...]:
    return tuple(
        Target(quantile(level, "", metric, **labels), f"p{level * 100:g}", exemplar)
        for level in (0.5, 0.95, 0.99)
    )


def _durations() -> tuple[Panel, ...]:
    count = f"sum({_rate(catalog.REQUEST_DURATION, '_count')})"
    within = f"sum({_rate(catalog.REQUEST_DURATION, '_bucket', le='$within')})"
    return (
        Panel(place=_place(20, "Duration"), kind=Kind.LINES, unit="s", targets=_levels(catalog.REQUEST_DURATION, exemplar=True),
              shows="From arrival to answer. Each dot is one request; click it to open its trace.",
              normal="p95 within what was promised; p99 at most a few times p50 where sizes are alike.",
              act="Open the trace of a slow dot: its spans say which stage took the time."),
        Panel(place=_place(21, "Done within the limit"), kind=Kind.LINES, unit="percentunit", most=1, targets=(Target(share(within, count), "within $within s"),),
              steps=((0, "red"), (0.9, "orange"), (0.95, "green")),
              shows="Share of requests answered within the limit that is chosen above.",
              normal="At or above 95 %.",
              act="Compare with Slowdown: if that is calm, pictures are larger, not slower."),
        Panel(place=_place(22, "Durations"), kind=Kind.HEAT, unit="s", targets=(Target(buckets(catalog.REQUEST_DURATION), "{{le}}", exemplar=True),),
              shows="How many requests took how long; two bands are two kinds of pictures.",
              normal="Bands that stay where they are.",
              act="A band that climbs is a queue that grows; a new band is a new kind of request."),
        Panel(place=_place(23, "Slowdown"), kind=Kind.LINES, unit="suffix:x", decimals=1, targets=_levels(catalog.SLOWDOWN, exemplar=True),
              shows="Duration over the time that a picture of that shape takes alone; size and steps cancel out.",
              normal="p95 below 4, the default promise; 1 is a request that waited for nobody.",
              act="High: too few workers. See Queue on Capacity."),
        Panel(place=_place(24, "Wait for a GPU"), kind=Kind.LINES, unit="s", targets=_levels(catalog.STAGE_DURATION, stage=Stage.QUEUE),
              shows="Time in the queue before a worker took the request.",
              normal="p95 below 12 s, the default promise.",
              act="Rises with the queue's depth: more workers, or batch jobs at a lower share."),
        Panel(place=_place(25, "By priority, p95"), kind=Kind.LINES, unit="s",
              targets=(Target(quantile(0.95, "priority", catalog.REQUEST_DURATION), "{{priority}}"),),
              shows="p95 of the duration for people who wait, and for batch jobs.",
              normal="interactive below batch when both are busy.",
              act="interactive as slow as batch: clients send everything as interactive."),
    )  # fmt: skip


def _rate(metric: catalog.Metric, suffix: str, **labels: str) -> str:
    return f"rate({pick(metric, suffix, **labels)}[$__rate_interval])"


def _stages() -> tuple[Panel, ...]:
    spent = rate("stage", pick(catalog.STAGE_DURATION, "_sum"))
    requests = f"sum({_rate(catalog.REQUEST_DURATION, '_count')})"
    each = share(spent, requests, "on () group_left ()")
    return (
        Panel(place=catalog.STAGES, kind=Kind.LINES, unit="s", stacked=True, width=12, targets=(Target(each, "{{stage}}"),),
              shows="Mean time of a request in each stage; the stages add up to the duration.",
              normal="denoise is most of it.",
              act="queue: more workers. vae_decode: tiling for large pictures. encode or respond: the CPU or the network. unaccounted: report it."),
        Panel(place=_place(26, "Denoise step"), kind=Kind.LINES, unit="s", width=6,
              targets=tuple(Target(quantile(level, "clock", catalog.DENOISE_STEP_DURATION), f"p{level * 100:g} {{{{clock}}}}") for level in (0.5, 0.95)),
              shows="Each denoise step, by the host's clock or by events on the GPU.",
              normal="Steady for a model and size.",
              act="Longer steps at the same sizes: clocks held down (GPU fleet), or a neighbour on the GPU."),
        Panel(place=_place(27, "Steps"), kind=Kind.LINES, unit="suffix: forwards/s", width=6,
              targets=(Target(rate("service", pick(catalog.DENOISE_FORWARDS)), "{{service}}"),),
              shows="Transformer forwards each second, counted at the model.",
              normal="Follows the pictures; guidance doubles it.",
              act="Rises without more pictures: clients ask for more steps."),
    )  # fmt: skip


def _batches() -> tuple[Panel, ...]:
    closed = rate("stop_reason", pick(catalog.BATCH_SIZE, "_count"))
    return (
        Panel(place=_place(28, "Batch sizes"), kind=Kind.HEAT, unit="count:requests", targets=(Target(buckets(catalog.BATCH_SIZE), "{{le}}"),),
              shows="How many requests were made together.",
              normal="1 without load; at the limit when the queue is long.",
              act="Small while requests wait: shapes differ too much; see What closed batches."),
        Panel(place=_place(29, "What closed batches"), kind=Kind.LINES, unit="suffix: batches/s", stacked=True, targets=(Target(closed, "{{stop_reason}}"),),
              shows="full: at the limit. drained: nobody else waited. incompatible: the next had another shape.",
              normal="drained without load, full under it.",
              act="Mostly incompatible under load: offer fewer sizes."),
        Panel(place=_place(30, "Mean batch"), kind=Kind.LINES, unit="count:requests", decimals=1, targets=(Target(mean("service", catalog.BATCH_SIZE), "{{service}}"),),
              shows="Mean requests in a batch.",
              normal="Grows with load.",
              act="Stays at 1 under load: see the batch limit at /admin/limits."),
    )  # fmt: skip


def _quality() -> tuple[Panel, ...]:
    spoiled = rate("kind", pick(catalog.ANOMALIES))
    looked = f"sum({_rate(catalog.IMAGES, '')})"
    signals = mean("signal", catalog.IMAGE_SIGNAL)
    before = share(*(f"sum by (signal) (rate({pick(catalog.IMAGE_SIGNAL, part)}[$__rate_interval] offset 1d))" for part in ("_sum", "_count")))  # fmt: skip
    return (
        Panel(place=catalog.ANOMALIES_BY_KIND, kind=Kind.LINES, unit="percentunit", empty="No fault was found",
              targets=(Target(share(spoiled, looked, "on () group_left ()"), "{{kind}}"),),
              shows="Share of the pictures in which a guard found a fault, by kind.",
              normal="None. duplicate counts clients that ask for the same twice.",
              act="black or nan: the model's precision or its VAE. noise: too few steps, or broken weights. All at once after a change: undo it."),
        Panel(place=catalog.RATINGS, kind=Kind.LINES, unit="suffix: stars", least=1, most=5, decimals=1, empty="No ratings",
              targets=(Target(mean("service", catalog.FEEDBACK_SCORE), "{{service}}"),),
              shows="Mean of users' ratings, 1 to 5 stars.",
              normal="Steady; a new model moves it.",
              act="Falls: look at the pictures behind the worst ratings in the usage history."),
        Panel(place=_place(31, "Sampled scores"), kind=Kind.LINES, unit="percentunit", most=1, empty="No scorer",
              targets=(Target(mean("scorer", catalog.QUALITY_SCORE), "{{scorer}}"),),
              shows="Mean score of sampled pictures by a scorer with weights of its own, if one is set.",
              normal="Steady for a model and a kind of prompts.",
              act="Falls without a change of model: prompts changed, or the weights did."),
        Panel(place=_place(32, "What pictures look like"), kind=Kind.LINES, unit="percentunit", most=1, width=12, targets=(Target(signals, "{{signal}}"),),
              shows="Mean of each signal of the pictures: light, sharpness, entropy, colour, clipping.",
              normal="Steady; that is all there is to it.",
              act="A step in one of them right after a change: the change did it."),
        Panel(place=_place(33, "Drift since yesterday"), kind=Kind.LINES, unit="percentunit", least=None, width=12, empty="Nothing from yesterday",
              targets=(Target(f"{signals} - {before}", "{{signal}}"),),
              shows="Each signal's mean less what it was at this time yesterday.",
              normal="Around 0.",
              act="Away from 0 for hours: another model, other prompts, or a fault that no guard knows; look at pictures."),
    )  # fmt: skip
