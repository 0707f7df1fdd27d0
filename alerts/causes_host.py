"""What goes wrong on hosts and with the exporters themselves. Pure."""

from __future__ import annotations

from alerts.promql import series
from alerts.rule import Alert, Group, Severity, Trial
from lightmeter import catalog
from lightmeter.catalog import Dcgm


_DISK = {"instance": "node1:9100", "device": "/dev/sda1", "fstype": "ext4", "mountpoint": "/data"}
_VIRTUAL = ("tmpfs", "squashfs", "overlay", "ramfs", "iso9660")
_SKEW_SECONDS = 5
_DAYS = 14


def group() -> Group:
    """Make the rules on hosts and exporters."""
    return Group("lightmeter-host", "host", (_exporter(), _disk(), _clock(), _certificate()))


def _exporter() -> Alert:
    known = (series(catalog.SCRAPES), series(Dcgm.GPU_TEMP.value))
    once = " or ".join(f"count by (instance) (last_over_time({one}[1d]))" for one in known)
    node = {"instance": "node1:9400"}
    target = series(catalog.UP, **node)
    return Alert(
        name="LightmeterExporterDead",
        severity=Severity.PAGE,
        expr=f"{series(catalog.UP)} == 0\nand on (instance)\n({once})",
        hold="3m",
        summary="The GPU exporter {{ $labels.instance }} does not answer, for 3 minutes.",
        meaning="Nothing is known of the GPUs and the memory on that node; alerts about them cannot fire. A node that was taken out of service discovery does not count.",
        first="See whether the node answers; if it does, read the exporter's log and start it again.",
        panel=catalog.TARGETS,
        labels={"component": "host", "cause": "exporter"},
        trials=(Trial(
            bad={series(catalog.SCRAPES, **node): "0+1x10 stale _x15 0+1x20", target: "1x10 0x16 1x20"},
            calm={series(catalog.SCRAPES, **node): "0+1x10 stale _x30", target: "1x10 stale"},
            fires="20m", over="35m", labels=node,
            says="The GPU exporter node1:9400 does not answer, for 3 minutes.",
        ),),
    )  # fmt: skip


def _disk() -> Alert:
    free = series(catalog.NODE_FILESYSTEM_AVAIL, not_fstype=_VIRTUAL)
    size = series(catalog.NODE_FILESYSTEM_SIZE, not_fstype=_VIRTUAL)
    soon = f"predict_linear({free}[1h], 4 * 3600) < 0\nand\n{free} / {size} < 0.2"
    return Alert(
        name="LightmeterDiskFull",
        severity=Severity.PAGE,
        expr=f"{free} / {size} < 0.03\nor\n{free} / {size}\nand (\n{soon}\n)",
        hold="5m",
        summary="{{ $labels.mountpoint }} of {{ $labels.instance }} has {{ $value | humanizePercentage }} of its space left, and is full now or within four hours.",
        meaning="A server whose usage history or picture store cannot be written answers 503.",
        first="Free space there: old pictures of the store, sealed history that has been copied, logs.",
        panel=catalog.HOST,
        labels={"component": "host"},
        trials=(
            Trial(
                bad={series(catalog.NODE_FILESYSTEM_AVAIL, **_DISK): "500x5 20x15 500x40", series(catalog.NODE_FILESYSTEM_SIZE, **_DISK): "1000x60"},
                calm={series(catalog.NODE_FILESYSTEM_AVAIL, **_DISK): "40x60", series(catalog.NODE_FILESYSTEM_SIZE, **_DISK): "1000x60"},
                fires="15m", over="40m", labels=_DISK,
                says="/data of node1:9100 has 2% of its space left, and is full now or within four hours.",
            ),
            Trial(
                bad={series(catalog.NODE_FILESYSTEM_AVAIL, **_DISK): "250-1x90 160x200", series(catalog.NODE_FILESYSTEM_SIZE, **_DISK): "1000x300"},
                calm={series(catalog.NODE_FILESYSTEM_AVAIL, **_DISK): "250-0.2x300", series(catalog.NODE_FILESYSTEM_SIZE, **_DISK): "1000x300"},
                fires="80m", over="200m", labels=_DISK,
                says="/data of node1:9100 has 17% of its space left, and is full now or within four hours.",
            ),
        ),
    )  # fmt: skip


def _clock() -> Alert:
    time, node = series(catalog.NODE_TIME), {"instance": "node1:9100"}
    return Alert(
        name="LightmeterClockSkew",
        severity=Severity.PAGE,
        expr=f"abs({time} - timestamp({time})) > {_SKEW_SECONDS}",
        hold="2m",
        summary="The clock of {{ $labels.instance }} is {{ $value | humanizeDuration }} away from Prometheus's.",
        meaning="Deadlines, Retry-After, TLS and the times in the usage history are wrong by as much; costs land in the wrong hour.",
        first="Start the host's time service again (`chronyc tracking`, `timedatectl`).",
        panel=catalog.HOST,
        labels={"component": "host"},
        trials=(Trial(
            bad={series(catalog.NODE_TIME, **node): "0+60x5 960+60x10 1020+60x20"},
            calm={series(catalog.NODE_TIME, **node): "4+60x40"},
            fires="10m", over="20m", labels=node,
            says="The clock of node1:9100 is 10m 0s away from Prometheus's.",
        ),),
    )  # fmt: skip


def _certificate() -> Alert:
    # blackbox_exporter's probe beside our own, for whatever stands in front of the servers
    expiry = f'{{__name__=~"{catalog.CERTIFICATE_EXPIRY.name}|probe_ssl_earliest_cert_expiry"}}'
    node = {"instance": "node1:9400"}
    return Alert(
        name="LightmeterCertificateExpiring",
        severity=Severity.TICKET,
        expr=f"{expiry} - time() < {_DAYS} * 86400",
        hold="10m",
        summary="The certificate of {{ $labels.instance }} expires in {{ $value | humanizeDuration }}.",
        meaning="From then on Prometheus and everybody else refuses to connect, and all of that host's alerts fall silent.",
        first="Renew the certificate file; it is read again by itself.",
        panel=catalog.TARGETS,
        labels={"component": "host"},
        trials=(Trial(
            bad={series(catalog.CERTIFICATE_EXPIRY, **node): "864000x20 8640000x40"},
            calm={series(catalog.CERTIFICATE_EXPIRY, **node): "1296000x60"},
            fires="15m", over="40m", labels=node,
            says="The certificate of node1:9400 expires in 9d 23h 45m 0s.",
        ),),
    )  # fmt: skip
