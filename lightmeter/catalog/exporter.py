"""The exporter's metrics: ours, and DCGM's under its own names."""

from __future__ import annotations

from lightmeter.catalog.metric import C, G, Metric, metric
from lightmeter.catalog.vocabulary import THROTTLE_REASONS


# fmt: off
GPU_UP = metric("exporter", "lightmeter_gpu_up", G, "boolean", "1 where the GPU answers; 0 with the reason where not.", "reason")
GPU_BUSY = metric("exporter", "lightmeter_gpu_busy_seconds_total", C, "seconds", "Time with a kernel running.")
GPU_SAMPLED = metric("exporter", "lightmeter_gpu_sampled_seconds_total", C, "seconds", "Time that the samples cover; busy over sampled is the true utilisation.")
GPU_SM_ACTIVE = metric("exporter", "lightmeter_gpu_sm_active_seconds_total", C, "seconds", "Time with work on the multiprocessors, weighted by their share.")
GPU_MEMORY_PEAK = metric("exporter", "lightmeter_gpu_memory_used_peak_bytes", G, "bytes", "Highest memory use in a sliding window.", "window")
GPU_ENERGY = metric("exporter", "lightmeter_gpu_energy_joules_total", C, "joules", "Energy drawn by the GPU.")
GPU_THROTTLE = metric("exporter", "lightmeter_gpu_throttle_seconds_total", C, "seconds", "Time with clocks held down, by reason.", "reason", reason=THROTTLE_REASONS)
GPU_XID = metric("exporter", "lightmeter_gpu_xid_errors_total", C, "events", "XID errors reported by the driver.", "xid")
POD_MEMORY_USED = metric("exporter", "lightmeter_gpu_pod_memory_used_bytes", G, "bytes", "GPU memory that a container's processes hold.", "namespace", "pod", "container")
POD_MEMORY_GRANTED = metric("exporter", "lightmeter_gpu_pod_memory_granted_bytes", G, "bytes", "GPU memory granted to a container by the device plugin.", "namespace", "pod", "container")
POD_BUSY = metric("exporter", "lightmeter_gpu_pod_busy_seconds_total", C, "seconds", "Busy time of a container's processes.", "namespace", "pod", "container")
UNATTRIBUTED_MEMORY = metric("exporter", "lightmeter_gpu_unattributed_memory_bytes", G, "bytes", "GPU memory in use that belongs to no known container.")
SAMPLE_AGE = metric("exporter", "lightmeter_exporter_sample_age_seconds", G, "seconds", "Age of the newest sample of the GPU.")

DCGM_ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
DCGM_LABELS = ("gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname")
_DCGM = (
    ("DCGM_FI_DEV_GPU_UTIL", G, "percent", "GPU utilisation."),
    ("DCGM_FI_DEV_MEM_COPY_UTIL", G, "percent", "Memory-controller activity; this is not memory use."),
    ("DCGM_FI_DEV_FB_USED", G, "MiB", "Frame buffer used."),
    ("DCGM_FI_DEV_FB_FREE", G, "MiB", "Frame buffer free."),
    ("DCGM_FI_DEV_FB_RESERVED", G, "MiB", "Frame buffer reserved by the driver."),
    ("DCGM_FI_DEV_GPU_TEMP", G, "celsius", "GPU temperature."),
    ("DCGM_FI_DEV_POWER_USAGE", G, "watts", "Power draw."),
    (DCGM_ENERGY, C, "millijoules", "Energy drawn since the driver was loaded."),
    ("DCGM_FI_DEV_SM_CLOCK", G, "MHz", "Multiprocessor clock."),
    ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", G, "ratio", "Share of time with the graphics or compute engine active."),
    ("DCGM_FI_PROF_SM_ACTIVE", G, "ratio", "Share of time with work on the multiprocessors."),
    ("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", G, "ratio", "Share of time with the tensor cores active."),
    ("DCGM_FI_PROF_DRAM_ACTIVE", G, "ratio", "Share of time with device memory active."),
)
# fmt: on
DCGM: tuple[Metric, ...] = tuple(
    Metric(name, kind, unit, text, "exporter", DCGM_LABELS) for name, kind, unit, text in _DCGM
)
