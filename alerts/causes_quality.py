"""What goes wrong in the pictures, and what users say of them. Pure."""

from __future__ import annotations

from alerts.causes_server import shop
from alerts.objectives import Slo
from alerts.promql import grown, series
from alerts.rule import Alert, Group, Severity, Trial
from lightmeter import catalog
from lightmeter.catalog import Anomaly


_SHOP = {"service": "shop"}
_FAULTY = 3
_REPEATED = 10
_RATED = 20


def group(slo: Slo) -> Group:
    """Make the rules on faults and ratings."""
    return Group(
        "lightmeter-quality", "quality", (_black(slo.by), _duplicates(slo.by), _feedback(slo.by))
    )


def _black(by: str) -> Alert:
    kinds = (Anomaly.BLACK, Anomaly.NAN, Anomaly.FLAT)
    faulty = grown(f"{by}, kind", series(catalog.ANOMALIES, kind=kinds), "10m")
    made = grown(by, series(catalog.IMAGES), "10m")
    ratio = f"{faulty}\n/ ignoring (kind) group_left ()\n({made} > 0)"
    return Alert(
        name="LightmeterBlackImages",
        severity=Severity.PAGE,
        expr=f"{ratio} > 0.05\nand\n{faulty} > {_FAULTY - 0.5:g}",
        keep="5m",
        summary="{{ $labels.service }}: {{ $value | humanizePercentage }} of the pictures of the last 10 minutes are {{ $labels.kind }}.",
        meaning="Users get pictures without a picture. Numbers overflow (half precision with this model gives black ones), weights are damaged, or a GPU computes wrong.",
        first="See whether one worker makes them all: drain it at /admin/workers. If all do, go back to the model or precision before.",
        then=("Run with `--guard reject`, so that a faulty picture is an honest 502.",),
        panel=catalog.ANOMALIES_BY_KIND,
        labels={"component": "quality"},
        trials=(Trial(
            bad={shop(catalog.ANOMALIES, kind=Anomaly.BLACK): "0x5 0+2x15 30x60", shop(catalog.IMAGES, resolution="512x512"): "0+10x90"},
            calm={shop(catalog.ANOMALIES, kind=Anomaly.BLACK): "0+0.48x80", shop(catalog.IMAGES, resolution="512x512"): "0+10x90"},
            fires="18m", over="45m", labels=_SHOP | {"kind": Anomaly.BLACK},
            says="shop: 20% of the pictures of the last 10 minutes are black.",
        ),),
    )  # fmt: skip


def _duplicates(by: str) -> Alert:
    repeated = grown(by, series(catalog.ANOMALIES, kind=Anomaly.DUPLICATE), "15m")
    made = grown(by, series(catalog.IMAGES), "15m")
    return Alert(
        name="LightmeterDuplicateBurst",
        severity=Severity.TICKET,
        expr=f"{repeated}\n/\n({made} > 0)\n> 0.2\nand\n{repeated} > {_REPEATED}",
        keep="10m",
        summary="{{ $labels.service }}: {{ $value | humanizePercentage }} of the pictures of the last 15 minutes are copies of earlier ones.",
        meaning="Different requests get the same picture: seeds are not applied, a cache answers what it should not, or one client repeats itself.",
        first="Compare two such requests in the history: same tenant and seed is the client, different seeds are our fault.",
        panel=catalog.ANOMALIES_BY_KIND,
        labels={"component": "quality"},
        trials=(Trial(
            bad={shop(catalog.ANOMALIES, kind=Anomaly.DUPLICATE): "0x5 0+5x20 100x60", shop(catalog.IMAGES, resolution="512x512"): "0+10x90"},
            calm={shop(catalog.ANOMALIES, kind=Anomaly.DUPLICATE): "0+1.9x80", shop(catalog.IMAGES, resolution="512x512"): "0+10x90"},
            fires="22m", over="60m", labels=_SHOP,
            says="shop: 50% of the pictures of the last 15 minutes are copies of earlier ones.",
        ),),
    )  # fmt: skip


def _feedback(by: str) -> Alert:
    def mean(window: str, back: str = "") -> str:
        stars = (
            f"sum by ({by}) (increase({series(catalog.FEEDBACK_SCORE, '_sum')}[{window}]{back}))"
        )
        ratings = (
            f"sum by ({by}) (increase({series(catalog.FEEDBACK_SCORE, '_count')}[{window}]{back}))"
        )
        return f"{stars} / ({ratings} > {_RATED})"

    return Alert(
        name="LightmeterFeedbackFalling",
        severity=Severity.TICKET,
        expr=f"{mean('6h')}\n< (\n{mean('7d', ' offset 6h')}\n) - 0.5",
        hold="15m",
        summary='{{ $labels.service }}: users gave {{ $value | printf "%.1f" }} stars on average in the last 6 hours, half a star less than in the week before.',
        meaning="Users like the pictures less than before, whatever the guards say.",
        first="Compare the model, LoRA and steps of the rated requests with last week's: `lightmeter history show`, columns model, loras, forwards, feedback.",
        panel=catalog.RATINGS,
        labels={"component": "quality"},
        trials=(Trial(
            bad={shop(catalog.FEEDBACK_SCORE, "_sum"): "0+4x600 2400+3x400 3600+4x1200", shop(catalog.FEEDBACK_SCORE, "_count"): "0+1x2300"},
            calm={shop(catalog.FEEDBACK_SCORE, "_sum"): "0+4x600 2400+3.55x400 3820+4x1200", shop(catalog.FEEDBACK_SCORE, "_count"): "0+1x2300"},
            fires="970m", over="1500m", labels=_SHOP, every="10m",
            says="shop: users gave 3.0 stars on average in the last 6 hours, half a star less than in the week before.",
        ),),
    )  # fmt: skip
