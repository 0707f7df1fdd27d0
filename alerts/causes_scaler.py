"""What keeps a scaler from deciding, and its orders from being carried out. Pure."""

from __future__ import annotations

from alerts.promql import grown, series, total
from alerts.rule import Alert, Group, Severity, Trial
from lightmeter import catalog
from lightmeter.catalog import TargetAnswer, TargetAsk, Term


_SHOP = {"target": "shop"}


def group() -> Group:
    """Make the rules on the scaler and its target."""
    return Group("lightmeter-scaler", "scaler", (_refused(), _missing(), _nobody()))


def _asks(ask: TargetAsk, answer: TargetAnswer) -> str:
    return series(catalog.TARGET_ASKS, target="shop", ask=ask, answer=answer)


def _refused() -> Alert:
    by, window = "target, ask", "10m"
    refused = grown(by, series(catalog.TARGET_ASKS, answer=catalog.REFUSALS), window)
    done = grown(by, series(catalog.TARGET_ASKS, answer=TargetAnswer.DONE), window)
    forbidden, owned, ok = TargetAnswer.FORBIDDEN, TargetAnswer.OWNED, TargetAnswer.DONE
    return Alert(
        name="LightmeterTargetRefuses",
        severity=Severity.TICKET,
        expr=f"{refused} > 1.5\nunless\n{done} > 0",
        hold="5m",
        summary='{{ $labels.target }}: nothing came of any {{ $labels.ask }} that the scaler asked its target for in 10 minutes, {{ $value | printf "%.0f" }} of them.',
        meaning="The scaler decides and nothing happens: replicas that are wanted do not come, or those that are not wanted stay and are paid for. A target that cannot be counted is held as it is.",
        first="Read why on the panel, and the whole line in `lightmeter explain last` or the scaler's log.",
        then=(
            "forbidden: a right or a key is missing; `lightmeter doctor --target` asks the cluster for each right. owned: an HPA or a ScaledObject scales it; delete that, or let the scaler only advise. not_found: the target's name is wrong. unreachable, timeout, busy: the API server or the program, not the scaler.",
            "Until it is mended, set the number by hand (`kubectl scale`); the scaler takes over from there.",
        ),
        panel=catalog.TARGET_ANSWERS,
        labels={"component": "scaler"},
        trials=(Trial(
            bad={_asks(TargetAsk.ORDER, forbidden): "0x5 0+4x20 80x60", _asks(TargetAsk.ORDER, ok): "3x90", _asks(TargetAsk.COUNT, ok): "0+4x90"},
            calm={_asks(TargetAsk.ORDER, forbidden): "0x5 0+4x20 80x60", _asks(TargetAsk.ORDER, ok): "3x10 3+1x80", _asks(TargetAsk.COUNT, ok): "0+4x90"},
            fires="20m", over="45m", labels=_SHOP | {"ask": TargetAsk.ORDER},
            says="shop: nothing came of any order that the scaler asked its target for in 10 minutes, 40 of them.",
        ), Trial(  # one order that an HPA stood in the way of, and none was needed after it
            bad={_asks(TargetAsk.ORDER, owned): "0x5 0+4x20 80x60", _asks(TargetAsk.ORDER, ok): "3x90"},
            calm={_asks(TargetAsk.ORDER, owned): "0x5 1x80", _asks(TargetAsk.ORDER, ok): "3x90"},
            fires="20m", over="45m", labels=_SHOP | {"ask": TargetAsk.ORDER},
            says="shop: nothing came of any order that the scaler asked its target for in 10 minutes, 40 of them.",
        ), Trial(  # now and then a count fails
            bad={_asks(TargetAsk.COUNT, forbidden): "0x5 0+4x20 80x60", _asks(TargetAsk.COUNT, ok): "3x90"},
            calm={_asks(TargetAsk.COUNT, forbidden): "0x5 0+3x80", _asks(TargetAsk.COUNT, ok): "0+1x90"},
            fires="20m", over="45m", labels=_SHOP | {"ask": TargetAsk.COUNT},
            says="shop: nothing came of any count that the scaler asked its target for in 10 minutes, 40 of them.",
        )),
    )  # fmt: skip


def _missing() -> Alert:
    wanted, ready, starting = (
        total("target", series(metric))
        for metric in (catalog.DESIRED_REPLICAS, catalog.READY_REPLICAS, catalog.STARTING_REPLICAS)
    )
    desired, there, coming = (
        series(metric, target="shop")
        for metric in (catalog.DESIRED_REPLICAS, catalog.READY_REPLICAS, catalog.STARTING_REPLICAS)
    )
    return Alert(
        name="LightmeterReplicasDoNotCome",
        severity=Severity.TICKET,
        expr=f"{wanted} - {ready} > 0\nand\n{starting} > 0",
        hold="30m",
        summary='{{ $labels.target }}: {{ $value | printf "%.0f" }} replicas fewer are ready than wanted, for half an hour at least, though they were ordered.',
        meaning="The target took the order, and the replicas do not get ready: no node has a GPU free, an image or a model cannot be loaded, or they end as soon as they begin. Those who come wait, or are turned away.",
        first="Look at what was ordered: `kubectl describe pod` of one that is pending says what it waits for; a worker that ends says why in the server's log.",
        then=("Where there are no GPUs left, lower `scale.max` to what there is: the scaler then reckons with what it can have.",),
        panel=catalog.REPLICAS,
        labels={"component": "scaler"},
        trials=(Trial(
            bad={desired: "2x5 5x60 2x30", there: "2x95", coming: "0x5 3x60 0x30"},
            calm={desired: "2x5 5x60 2x30", there: "2x25 5x70", coming: "0x5 3x20 0x70"},
            fires="40m", over="70m", labels=_SHOP,
            says="shop: 3 replicas fewer are ready than wanted, for half an hour at least, though they were ordered.",
        ), Trial(  # advice that nobody follows orders nothing
            bad={desired: "2x5 5x60 2x30", there: "2x95", coming: "0x5 3x60 0x30"},
            calm={desired: "2x5 5x90", there: "2x95", coming: "0x95"},
            fires="40m", over="70m", labels=_SHOP,
            says="shop: 3 replicas fewer are ready than wanted, for half an hour at least, though they were ordered.",
        )),
    )  # fmt: skip


def _nobody() -> Alert:
    by, window = "target", "10m"
    decided = series(catalog.DECISIONS, target="shop", action=catalog.ACTIONS[2], term=Term.STAFFING)  # fmt: skip
    other = series(catalog.DECISIONS, target="shop", action=catalog.ACTIONS[2], term=Term.STAFFING, instance="b")  # fmt: skip
    return Alert(
        name="LightmeterNobodyScales",
        severity=Severity.TICKET,
        expr=f"{grown(by, series(catalog.DECISIONS), window)} == 0",
        hold="5m",
        summary="{{ $labels.target }}: no scaler has decided anything for 10 minutes, though there is one.",
        meaning="Each scaler waits for its turn, or cannot write down what it decides: the replicas stay as they are, whoever comes, and a service that sleeps is not woken.",
        first="Read the scalers' logs: a lease that may not be had (rights, an API server that is away), another process that has the folder, or a full disk.",
        then=("`lightmeter doctor --target` asks the cluster for each right. Until it is mended, set the number by hand (`kubectl scale`).",),
        panel=catalog.DECIDED,
        labels={"component": "scaler"},
        trials=(Trial(
            bad={decided: "0+4x20 80x40 80+4x40"},
            calm={decided: "0+4x20 80x12 80+4x68"},
            fires="40m", over="75m", labels=_SHOP,
            says="shop: no scaler has decided anything for 10 minutes, though there is one.",
        ), Trial(  # one of two waits for its turn
            bad={decided: "0+4x20 80x40 80+4x40", other: "0x100"},
            calm={decided: "0+4x20 80x80", other: "0x20 0+4x80"},
            fires="40m", over="75m", labels=_SHOP,
            says="shop: no scaler has decided anything for 10 minutes, though there is one.",
        )),
    )  # fmt: skip
