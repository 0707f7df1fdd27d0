"""What ``lightmeter up`` starts, with which settings, so that each part finds the others."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from lightmeter.cli.child import Child, free_port
from lightmeter.cli.options import sources
from lightmeter.configuration import S, Value, resolve
from lightmeter.errors import InputError, SettingError, explain
from lightmeter.section import Section
from lightmeter.settings import Serve
from lightmeter.settings_dashboards import Dashboards
from lightmeter.settings_export import Export
from lightmeter.settings_localprom import Localprom
from lightmeter.settings_scale import Scale
from lightmeter.settings_up import Up
from lightmeter.units import url


EXPORTER, SCALER, LOCALPROM = "exporter_", "scaler_", "localprom_"
"""Prefixes of the options of those parts."""
DEFAULTS = {
    "min": "1, or 0 where no worker is started",
    "max": "as many as the GPUs have room for, 2 on a CPU",
}
"""What the scaler's settings are here, where nothing else is asked for, in words."""
LOOK_SECONDS = 5.0
"""Between two looks of the scaler, where nothing else is asked for: somebody watches."""
MOST_ON_CPU = 2
KEY_FILE, TOKEN_FILE = "admin.key", "scaler.token"
"""Made once: what opens the server's admin routes, and what the scaler asks for."""
LOCK_FILE = "up.lock"
"""Held by the kernel for as long as the process lives, however it ends."""
Tell = Callable[[str], None]


class Ports:
    """Moves ports that nobody asked for out of the way of other programs, and of each other."""

    def __init__(self, ctx: click.Context, tell: Tell) -> None:
        self._ctx = ctx
        self._tell = tell
        self._taken: list[int] = []

    def settle(
        self, kind: type[S], options: Mapping[str, Any], *ports: str, prefix: str = ""
    ) -> tuple[S, set[str]]:
        """Settle a section whose options bear a prefix; also name the keys that nobody set.

        Raises:
            PortError: a port that was asked for is taken.
        """
        given = {key: options.get(prefix + key) for key in kind.model_fields}
        settled, values = resolve(kind, sources(self._ctx), given)
        host = str(settled.model_dump()["host"])
        moved = {
            value.key: self._port(host, value, prefix) for value in values if value.key in ports
        }
        unset = {value.key for value in values if value.origin == "default"}
        return settled.model_copy(update=moved), unset

    def _port(self, host: str, value: Value, prefix: str) -> int:
        option = "--" + (prefix + value.key).replace("_", "-")
        port = free_port(
            host, value.value, option, move=value.origin == "default", taken=self._taken
        )
        self._taken.append(port)
        if value.value not in (port, 0):
            self._tell(f"port {value.value} is taken, using {port} for {option}")
        return port


@dataclass(frozen=True)
class House:
    """The settled parts."""

    up: Up
    serve: Serve
    export: Export
    scale: Scale
    localprom: Localprom | None = None
    """None where a Prometheus that is already there is read."""
    page: Dashboards | None = None
    """The live page alone, over that Prometheus."""

    @property
    def api(self) -> str:
        """Address of the server."""
        return url(self.serve.host, self.serve.port)

    @property
    def pages(self) -> dict[str, str]:
        """Pages of metrics, by the job that they are scraped as."""
        return {
            "server": f"{url(self.serve.host, self.serve.metrics_port)}/metrics",
            "exporter": f"{url(self.export.host, self.export.port)}/metrics",
            "scaler": f"{url(self.scale.host, self.scale.port)}/metrics",
        }

    def children(self) -> Iterable[tuple[str, Section]]:
        """List the commands to start, in that order, with their settings."""
        yield "export", self.export
        yield "serve", self.serve
        if self.localprom:
            yield "localprom", self.localprom
        if self.page:
            yield "dashboards serve", self.page
        yield "scale", self.scale

    def start(self, command: str, settings: Section) -> Child:
        """Start one part, its words in a log of its own."""
        return Child(command, settings, self.serve.data / "logs")


def settle(ctx: click.Context, options: Mapping[str, Any], up: Up, tell: Tell) -> House:
    """Settle everything, and make the key with which the scaler starts and ends workers, and its own token.

    Raises:
        PortError: a port that was asked for is taken. InputError: the data folder cannot be written.
    """
    ports = Ports(ctx, tell)
    serve, _ = ports.settle(Serve, options, "port", "metrics_port")
    export, _ = ports.settle(Export, options, "port", prefix=EXPORTER)
    if not serve.exporter_url and not export.web_config:
        address = f"{url(export.host, export.port)}/metrics"
        serve = serve.model_copy(update={"exporter_url": address})
    scale, free = ports.settle(Scale, options, "port", prefix=SCALER)
    for name, one in (("serve", serve), ("scale", scale)):
        _plain(name, one)
    if serve.admin_key_file is None:
        serve = serve.model_copy(update={"admin_key_file": _key(serve.data / KEY_FILE)})
    scale = scale.model_copy(update=_scaled(up, serve, scale, free))
    if scale.token_file is None:
        scale = scale.model_copy(update={"token_file": _key(serve.data / TOKEN_FILE)})
    house = House(up, serve, export, scale)
    localprom, unset = ports.settle(Localprom, options, "port", prefix=LOCALPROM)
    wired: dict[str, Any] = {
        "data": serve.data,
        "scaler": url(scale.host, scale.port),
        "places": f"Make pictures={house.api}/",
        "targets": ",".join(f"{job}={page}" for job, page in house.pages.items()),
    }
    _plain("localprom", localprom)
    if "scaler" in unset:  # another one is not shown our token
        wired["scaler_token_file"] = scale.token_file
    kept = {key: value for key, value in wired.items() if key in unset or key == "data"}
    localprom = localprom.model_copy(update=kept)
    if up.prometheus:
        return replace(house, page=_page(ctx, up, scale, localprom))
    read = {"prometheus": url(localprom.host, localprom.port)}
    return replace(house, scale=scale.model_copy(update=read), localprom=localprom)


def _page(ctx: click.Context, up: Up, scale: Scale, localprom: Localprom) -> Dashboards:
    """Show the boards over a Prometheus that is there, where the store would have shown them."""
    settled = resolve(Dashboards, sources(ctx), {})[0]
    wired = {
        "host": localprom.host,
        "port": localprom.port,
        "prometheus": up.prometheus,
        "scaler": localprom.scaler,
        "places": settled.places or localprom.places,
        "report": localprom.data / "report",
        "bearer_file": settled.bearer_file or scale.bearer_file,
        "ca_file": settled.ca_file or scale.ca_file,
    }
    _plain("dashboards", settled)
    return settled.model_copy(update=wired)


def _scaled(up: Up, serve: Serve, scale: Scale, free: set[str]) -> dict[str, Any]:
    """Point the scaler at the server's pool; what nobody set becomes what suits one machine."""
    from inference.server import model_name

    wanted = {
        "service": serve.service or model_name(serve.model),
        "target": f"pool:{url(serve.host, serve.port)}",
        "secret_file": serve.admin_key_file,
        "act": not up.advisory,
        "interval": LOOK_SECONDS,
        "min": min(1, serve.workers),
        "max": max(serve.workers, most_workers(serve.device, serve.gpus_per_worker)),
    }
    always = {"data": serve.data, "prometheus": up.prometheus or scale.prometheus}
    if up.advisory:
        always["act"] = False
    return {key: value for key, value in wanted.items() if key in free} | always


def _plain(section: str, settings: Section) -> None:
    """Refuse a part whom nothing else here could talk to.

    Raises:
        SettingError: it would speak TLS.
    """
    for name in ("tls_cert_file", "tls_key_file", "client_ca_file"):
        if value := getattr(settings, name, None):
            raise SettingError(f"{section}.{name} is {str(value)!r}; the parts of 'lightmeter up' speak plain HTTP with each other: leave it out here, and have TLS with 'lightmeter {section}'")  # fmt: skip


def most_workers(device: str, gpus_each: int) -> int:
    """Say how many workers this machine has room for: by its GPUs, or two on a CPU of two cores."""
    gpus = len(list(Path("/proc/driver/nvidia/gpus").glob("*"))) if device != "cpu" else 0
    return max(1, gpus // gpus_each) if gpus else min(MOST_ON_CPU, os.cpu_count() or 1)


@contextlib.contextmanager
def claimed(data: Path) -> Iterator[None]:
    """Hold the data folder: two that write one history would each plan for both.

    Raises:
        InputError: another `lightmeter up` holds it, or it cannot be written.
    """
    try:
        file = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InputError(f"data folder {str(data)!r} {explain(error)}; name another with --data") from error  # fmt: skip
    with os.fdopen(file):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"data folder {str(data)!r} is in use by another lightmeter up; end that one, or name another folder with --data") from error  # fmt: skip
        yield


def _key(path: Path) -> Path:
    """Make a key that only this user can read; the one that is there stays."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123  (its mode)
            file.write(secrets.token_hex(32) + "\n")
    except FileExistsError:
        pass
    except OSError as error:
        raise InputError(f"data folder {str(path.parent)!r} {explain(error)}; name another with --data") from error  # fmt: skip
    return path
