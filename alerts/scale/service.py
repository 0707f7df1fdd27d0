"""The life of a scaler: settle, look, listen, end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import uvicorn
from prometheus_client import CollectorRegistry

from alerts.levels import Bounds
from alerts.routes import Routing
from alerts.scale import shown, targets
from alerts.scale.app import Instruments, create_app
from alerts.scale.asks import Counted
from alerts.scale.audit import Audit
from alerts.scale.fleet import Leased, Target
from alerts.scale.lease import Both, Lease, Writer
from alerts.scale.memory import Memory, recall
from alerts.scale.observe import Prometheus, Windows
from alerts.scale.scaler import PATIENCE_SECONDS, Scaler
from alerts.scale.starts import Starts
from alerts.scale.watch import Latest, Several
from alerts.webhook import Webhook
from lightmeter import connections, secret, tls, visitors
from lightmeter.errors import SettingError
from lightmeter.listening import LOOPBACK, listen
from lightmeter.scaling.state import Settings
from lightmeter.settings_scale import Scale
from lightmeter.trust import believe
from lightmeter.units import url


def serve(settings: Scale, tell: Callable[[str], None]) -> None:
    """Scale until SIGINT or SIGTERM.

    Raises:
        SettingError: the target or a file cannot be used. InputError: the data folder cannot.
        PortError: the address is taken. ServerError: there is no Prometheus at the start.
    """
    _need_token(settings)
    connections.allow_many()
    registry, folder = CollectorRegistry(), settings.data / "scale"
    trust = believe(httpx.create_ssl_context(trust_env=False), settings.ca_file, "scale.ca_file")
    target = targets.parse(settings.target, secret.line(settings.secret_file), trust)
    source = Prometheus(settings.prometheus, settings.service, settings.wait, bearer=secret.word(settings.bearer_file), windows=Windows(settings.short_window, settings.long_window), target=target.name, demand=settings.demand, trust=trust)  # fmt: skip
    certificates = tls.files("scale", settings, settings.client_ca_file)
    latest = Latest(max(settings.max_age, 3 * settings.interval))
    bounds = Bounds(age_seconds=Routing().scaler.lapse_seconds)
    steady = _steady()
    counted = not isinstance(target, targets.Remembered)
    instruments = Instruments(registry, target.name)
    scaler = Scaler(
        target=Counted(target, registry),
        source=source,
        audit=Audit(folder),
        lease=_lease(folder, target, settings),
        settings=wanted(settings),
        mode="act" if settings.act else "advisory",
        watcher=Several(instruments, latest),
        clock=time.time,
        steady=steady,
        recall=lambda: _recall(folder, target, bounds),
        starts=Starts() if counted else None,
        started=instruments.started,
        patience=max(PATIENCE_SECONDS, 4 * settings.interval),
    )
    webhook = Webhook(scaler, bounds=bounds, token_file=settings.token_file, registry=registry, clock=steady, certificates=settings.client_ca_file is not None)  # fmt: skip
    app = visitors.guarded(create_app(scaler, webhook, registry, time.time), settings)
    server = connections.Ending(connections.config(app, certificates, http=shown.Protocol))
    with (
        _keda(settings, latest, target.name, tell),
        listen(settings.host, settings.port) as sock,
        contextlib.closing(scaler.audit),
        contextlib.closing(scaler.lease),
    ):
        _run(scaler, server, sock, interval=settings.interval, tell=tell)


@contextlib.contextmanager
def _keda(settings: Scale, latest: Latest, target: str, tell: Callable[[str], None]) -> Iterator[None]:  # fmt: skip
    """Answer KEDA meanwhile, where that is asked for.

    Raises:
        SettingError: grpc is not installed, or nobody could say how many replicas there are.
        PortError: the address is taken.
    """
    if settings.keda_port is None:
        yield
        return
    if target == "null" and not settings.act:
        raise SettingError("scale.keda_port needs a target whose replicas can be counted; give scale.target deployment:NAMESPACE/NAME, which KEDA scales")  # fmt: skip
    try:
        from alerts.scale.keda import Keda
    except ModuleNotFoundError as error:
        raise SettingError("scale.keda_port needs grpc; pip install 'lightmeter[keda]'") from error
    keda = Keda(
        latest, settings.service, target, tls.files("scale", settings, settings.client_ca_file)
    )
    listen(settings.host, settings.keda_port, "--keda-port").close()
    tell(f"keda     {settings.host}:{keda.open(settings.host, settings.keda_port)}")
    try:
        yield
    finally:
        keda.close()


def _need_token(settings: Scale) -> None:
    """Let nobody but this machine tell a scaler without a token what burns."""
    if (
        settings.token_file is None
        and settings.client_ca_file is None
        and settings.host not in LOOPBACK
    ):
        raise SettingError(f"scale.host is {settings.host!r} and there is no token: anybody who reaches it could scale; give scale.token_file or scale.client_ca_file, or listen on 127.0.0.1")  # fmt: skip


def wanted(settings: Scale) -> Settings:
    """Turn knobs into what decides.

    Raises:
        SettingError: the bounds exclude each other.
    """
    if settings.min > settings.max:
        raise SettingError(
            f"scale.min is {settings.min} and scale.max {settings.max}; min must not be above max"
        )
    return Settings(
        least=settings.min,
        most=settings.max,
        wait=settings.wait,
        price=settings.violation_price,
        violation_target=settings.violation_target,
        cold_start=settings.cold_start,
        hold_least=settings.hold_least,
        turn_price=settings.turn_price,
        max_age=settings.max_age,
        stale_hold=settings.stale_hold,
        safe_floor=settings.safe_floor,
    )


def _lease(folder: Path, target: Target, settings: Scale) -> Writer:
    """Lock the folder; who acts on a workload of a cluster needs its Lease as well."""
    own = Lease(folder)
    return Both(own, target.lease(settings.interval)) if settings.act and isinstance(target, Leased) else own  # fmt: skip


def _recall(folder: Path, target: Target, bounds: Bounds) -> Memory:
    """Remember what was decided, and how many that left where the target does not say."""
    known = recall(folder, target.name, now=time.time(), lapse=bounds.age_seconds)
    if isinstance(target, targets.Remembered):
        target.asked = known.standing
    return known


def _steady() -> Callable[[], float]:
    """Make a clock that tells Unix seconds, and goes on evenly where the machine's is set."""
    apart = time.time() - time.monotonic()
    return lambda: time.monotonic() + apart


def _run(
    scaler: Scaler,
    server: uvicorn.Server,
    sock: socket.socket,
    *,
    interval: float,
    tell: Callable[[str], None],
) -> None:
    stop = threading.Event()
    loop = threading.Thread(target=scaler.run, args=(interval, stop), name="scaler")
    loop.start()
    try:
        address = url(*sock.getsockname()[:2])
        if server.config.is_ssl:
            address = address.replace("http:", "https:", 1)
        tell(f"scaler   {address}  ({scaler.mode}; target {scaler.target.name})")
        server.run([sock])
    finally:
        stop.set()
        scaler.end()
        loop.join()
