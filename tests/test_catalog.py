"""The words that dashboards, rules and other programs use literally: DESIGN 3.3, typed out."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter

import pytest

from lightmeter import catalog
from lightmeter.catalog import CATALOG, Kind, Metric


SERVER = {
    "lightmeter_requests_total": ["outcome"],
    "lightmeter_request_duration_seconds": ["priority"],
    "lightmeter_request_slowdown_ratio": ["priority"],
    "lightmeter_stage_duration_seconds": ["stage"],
    "lightmeter_denoise_step_duration_seconds": ["clock"],
    "lightmeter_denoise_forwards_total": [],
    "lightmeter_images_total": ["resolution"],
    "lightmeter_offered_work_total": [],
    "lightmeter_done_work_total": [],
    "lightmeter_gpu_seconds_total": ["kind"],
    "lightmeter_batch_size": ["stop_reason"],
    "lightmeter_balance_ratio": [],
    "lightmeter_queue_depth": ["priority"],
    "lightmeter_in_flight_requests": [],
    "lightmeter_workers": ["state"],
    "lightmeter_active_users": [],
    "lightmeter_model_load_seconds": ["phase"],
    "lightmeter_oom_total": ["resolution"],
    "lightmeter_requests_shed_total": ["reason"],
    "lightmeter_image_anomalies_total": ["kind"],
    "lightmeter_image_signal": ["signal"],
    "lightmeter_quality_score": ["scorer"],
    "lightmeter_feedback_score": [],
    "lightmeter_torch_memory_peak_bytes": ["UUID"],
    "lightmeter_cost_total": ["currency"],
    "lightmeter_energy_joules_total": [],
}
EXPORTER = {
    "lightmeter_gpu_up": ["reason"],
    "lightmeter_gpu_busy_seconds_total": [],
    "lightmeter_gpu_sampled_seconds_total": [],
    "lightmeter_gpu_sm_active_seconds_total": [],
    "lightmeter_gpu_memory_used_peak_bytes": ["window"],
    "lightmeter_gpu_energy_joules_total": [],
    "lightmeter_gpu_throttle_seconds_total": ["reason"],
    "lightmeter_gpu_xid_errors_total": ["xid"],
    "lightmeter_gpu_xid_last_timestamp_seconds": ["xid"],
    "lightmeter_gpu_pod_memory_used_bytes": ["namespace", "pod", "container"],
    "lightmeter_gpu_pod_memory_granted_bytes": ["namespace", "pod", "container"],
    "lightmeter_gpu_pod_busy_seconds_total": ["namespace", "pod", "container"],
    "lightmeter_gpu_unattributed_memory_bytes": [],
    "lightmeter_exporter_sample_age_seconds": [],
}
SELF = {
    "lightmeter_exporter_gpus_expected": [],
    "lightmeter_exporter_gpus_seen": [],
    "lightmeter_exporter_source_info": ["source"],
    "lightmeter_exporter_build_info": ["version"],
    "lightmeter_exporter_start_time_seconds": [],
    "lightmeter_exporter_scrapes_total": [],
    "lightmeter_exporter_series_dropped_total": [],
    "lightmeter_exporter_config_last_reload_successful": [],
    "lightmeter_exporter_dcgm_lines_skipped_total": [],
    "lightmeter_exporter_certificate_expiry_timestamp_seconds": [],
}
SCALER = {
    "lightmeter_desired_replicas": [],
    "lightmeter_ready_replicas": [],
    "lightmeter_starting_replicas": [],
    "lightmeter_decisions_total": ["action", "term"],
    "lightmeter_signal_age_seconds": ["signal"],
    "lightmeter_cold_start_seconds": [],
}
GATEWAY = {
    "lightmeter_gateway_replicas": ["state"],
    "lightmeter_gateway_resent_total": ["reason"],
    "lightmeter_gateway_wakes_total": ["result"],
    "lightmeter_gateway_wake_wait_seconds": [],
}
WEBHOOK = {
    "lightmeter_scaler_target_asks_total": ["target", "ask", "answer"],
    "lightmeter_scaler_webhook_posts_total": ["result"],
    "lightmeter_scaler_webhook_alerts_total": ["result"],
}
DCGM = (
    "DCGM_FI_DEV_GPU_UTIL",
    "DCGM_FI_DEV_FB_USED",
    "DCGM_FI_DEV_FB_FREE",
    "DCGM_FI_DEV_FB_RESERVED",
    "DCGM_FI_DEV_GPU_TEMP",
    "DCGM_FI_DEV_POWER_USAGE",
    "DCGM_FI_DEV_SM_CLOCK",
    "DCGM_FI_DEV_MEM_COPY_UTIL",
)
CONTRACT = {
    name: [*leading, *labels]
    for leading, names in (
        (("service", "model"), SERVER),
        (("gpu", "UUID"), EXPORTER),
        ((), SELF | WEBHOOK),
        (("target",), SCALER),
        (("service",), GATEWAY),
    )
    for name, labels in names.items()
}
VOCABULARIES = {
    ("lightmeter_requests_total", "outcome"): "ok anomalous invalid shed timeout cancelled oom error",
    ("lightmeter_request_duration_seconds", "priority"): "interactive batch",
    ("lightmeter_stage_duration_seconds", "stage"): "queue batch_wait text_encode denoise vae_decode transfer guard encode respond unaccounted",
    ("lightmeter_gpu_seconds_total", "kind"): "useful abandoned warmup",
    ("lightmeter_image_anomalies_total", "kind"): "black flat nan noise blur duplicate",
    ("lightmeter_image_signal", "signal"): "luma sharpness entropy colourfulness clipping",
    ("lightmeter_decisions_total", "action"): "up down hold freeze",
}  # fmt: skip
BY_NAME = {metric.name: metric for metric in CATALOG}
OURS = [metric for metric in CATALOG if metric.name.startswith("lightmeter_")]
HISTOGRAMS = [metric for metric in CATALOG if metric.kind is Kind.HISTOGRAM]
BASE = ("seconds", "bytes", "joules")


def named(metric: Metric) -> str:
    """Name a metric in a test's id."""
    return metric.name


@pytest.mark.parametrize("name", CONTRACT)
def test_contract(name: str) -> None:
    """Each metric of the contract is in the catalogue with its labels, in order."""
    assert CONTRACT[name] == list(BY_NAME[name].labels)


def test_ours_only() -> None:
    """Nothing that carries our prefix is outside the contract."""
    assert sorted(CONTRACT) == sorted(metric.name for metric in OURS)


@pytest.mark.parametrize("name", DCGM)
def test_dcgm(name: str) -> None:
    """GPU readings keep dcgm-exporter's names and labels, so that either can stand in."""
    labels = {"gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname"}

    assert labels | {"DCGM_FI_DRIVER_VERSION"} == set(BY_NAME[name].labels)


def test_dcgm_profiling() -> None:
    """The profiling readings are there under their old names too, and nothing foreign beside."""
    foreign = [m.name for m in CATALOG if m not in OURS and not m.name.startswith("node_")]

    assert any(name.startswith("DCGM_FI_PROF_") for name in foreign)
    assert all(re.match(r"DCGM_FI_(DEV|PROF)_", name) for name in foreign)


def test_names_once() -> None:
    """No name is spelled twice."""
    assert {1} == set(Counter(metric.name for metric in CATALOG).values())


def test_total() -> None:
    """Counters end in _total, and nothing else does."""
    for metric in OURS:
        assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total"), metric.name


@pytest.mark.parametrize("metric", OURS, ids=named)
def test_units(metric: Metric) -> None:
    """A name that measures time, memory or energy says so, in the base unit."""
    words = metric.name.split("_")

    assert [unit for unit in BASE if unit in words] == [u for u in BASE if u == metric.unit]
    assert not {"ms", "milliseconds", "mb", "mib", "gb", "gib", "kb", "percent"} & set(words)


@pytest.mark.parametrize("metric", CATALOG, ids=named)
def test_help(metric: Metric) -> None:
    """Every metric says in a sentence what it is, and its labels are legal and distinct."""
    assert metric.help.endswith(".")
    assert metric.unit
    assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", metric.name)
    assert len(metric.labels) == len(set(metric.labels))


def test_no_latency_gauge() -> None:
    """A latency is never a Gauge."""
    assert not [
        metric.name
        for metric in OURS
        if metric.kind is Kind.GAUGE
        and metric.unit == "seconds"
        and not re.search("_age_|_start_time_|_timestamp_", metric.name)
    ]


@pytest.mark.parametrize("metric", HISTOGRAMS, ids=named)
def test_buckets(metric: Metric) -> None:
    """Every histogram has finite bounds of its own, rising."""
    assert len(metric.buckets) >= 2
    assert all(low < high for low, high in itertools.pairwise(metric.buckets))
    assert all(map(math.isfinite, metric.buckets))


def test_buckets_only_there() -> None:
    """Counters and gauges have no bounds."""
    assert not [m.name for m in CATALOG if m.kind is not Kind.HISTOGRAM and m.buckets]


def test_request_latency() -> None:
    """Request latency has 28 geometric bounds, factor 1.3, from 0.1 s to no more than 120 s."""
    bounds = BY_NAME["lightmeter_request_duration_seconds"].buckets

    assert 28 == len(bounds)
    assert 0.1 == bounds[0]
    assert 120 / 1.3 < bounds[-1] <= 120
    for low, high in itertools.pairwise(bounds):
        assert high / low == pytest.approx(1.3, rel=0.01)


@pytest.mark.parametrize(
    "name", ["lightmeter_stage_duration_seconds", "lightmeter_denoise_step_duration_seconds"]
)
def test_stage_latency(name: str) -> None:
    """Stages and steps start at a millisecond, with a coarser factor."""
    bounds = BY_NAME[name].buckets

    assert 0.001 == bounds[0]
    assert min(high / low for low, high in itertools.pairwise(bounds)) > 1.3


@pytest.mark.parametrize(("name", "label"), VOCABULARIES)
def test_vocabulary(name: str, label: str) -> None:
    """A label's closed set of values is the contract's."""
    assert VOCABULARIES[name, label].split() == list(dict(BY_NAME[name].vocabulary)[label])


@pytest.mark.parametrize("metric", CATALOG, ids=named)
def test_open_labels(metric: Metric) -> None:
    """A label without a closed set takes its values from configuration, hardware or a pod."""
    hardware = {"gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname", "xid", "window"}
    configured = {"service", "model", "scorer", "currency", "target", "term", "signal"}
    pod = {"namespace", "pod", "container"}
    host = {"cpu", "mode", "fstype", "mountpoint", "nodename", "domainname", "machine"}
    host |= {"sysname", "release", "version", "DCGM_FI_DRIVER_VERSION"}

    open_ = set(metric.labels) - dict(metric.vocabulary).keys()
    assert open_ <= hardware | configured | pod | host


def test_few_series() -> None:
    """A server with eight GPUs, two scorers and a currency stays under 2,000 series."""
    open_ = {"service": 1, "model": 1, "UUID": 8, "scorer": 2, "currency": 1}
    series = 0
    for metric in CATALOG:
        if metric.room == "server":
            closed = {label: len(words) for label, words in metric.vocabulary}
            each = len(metric.buckets) + 3 if metric.kind is Kind.HISTOGRAM else 1
            series += each * math.prod((open_ | closed)[label] for label in metric.labels)

    assert 500 < series < 2000


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("256x256", (1, 1)),
        ("256x256", (256, 256)),
        ("256x256", (512, 128)),
        ("512x512", (257, 256)),
        ("512x512", (512, 512)),
        ("768x768", (1024, 512)),
        ("1024x1024", (1024, 1024)),
        ("1536x1536", (1025, 1024)),
        ("2048x2048", (2048, 2048)),
        ("larger", (2049, 2048)),
        ("larger", (16384, 16384)),
    ],
)
def test_resolution(name: str, size: tuple[int, int]) -> None:
    """A picture counts under the smallest square that holds as many pixels."""
    assert name == catalog.resolution(*size)
    assert name in catalog.RESOLUTIONS


def test_geometric() -> None:
    """Bounds grow by the factor and stop before the end."""
    assert (1.0, 2.0, 4.0, 8.0) == catalog.geometric(1, 15.9, 2)
    assert (1.0, 2.0, 4.0, 8.0, 16.0) == catalog.geometric(1, 16, 2)
