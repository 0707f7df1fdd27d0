"""The exporter's metrics: ours, and DCGM's under its own names."""

from __future__ import annotations

from enum import StrEnum

from lightmeter.catalog.metric import C, G, Kind, Metric, metric
from lightmeter.catalog.vocabulary import SOURCES, THROTTLE_REASONS


def _own(name: str, kind: Kind, unit: str, text: str, *labels: str) -> Metric:
    """Make a metric of the exporter itself, which belongs to no GPU."""
    words = tuple((label, SOURCES) for label in labels if label == "source")
    return Metric(name, kind, unit, text, "exporter", labels, words)


# fmt: off
GPU_UP = metric("exporter", "lightmeter_gpu_up", G, "boolean", "1 where the GPU answers; 0 with the reason where not.", "reason")
GPU_BUSY = metric("exporter", "lightmeter_gpu_busy_seconds_total", C, "seconds", "Time with a kernel running.")
GPU_SAMPLED = metric("exporter", "lightmeter_gpu_sampled_seconds_total", C, "seconds", "Time that the samples cover; busy over sampled is the true utilisation.")
GPU_SM_ACTIVE = metric("exporter", "lightmeter_gpu_sm_active_seconds_total", C, "seconds", "Time with work on the multiprocessors, weighted by their share.")
GPU_MEMORY_PEAK = metric("exporter", "lightmeter_gpu_memory_used_peak_bytes", G, "bytes", "Highest memory use in a sliding window.", "window")
GPU_ENERGY = metric("exporter", "lightmeter_gpu_energy_joules_total", C, "joules", "Energy drawn by the GPU.")
GPU_THROTTLE = metric("exporter", "lightmeter_gpu_throttle_seconds_total", C, "seconds", "Time with clocks held down, by reason.", "reason", reason=THROTTLE_REASONS)
GPU_XID = metric("exporter", "lightmeter_gpu_xid_errors_total", C, "events", "XID errors reported by the driver.", "xid")
GPU_XID_LAST = metric("exporter", "lightmeter_gpu_xid_last_timestamp_seconds", G, "seconds", "When the last XID error of that number came, Unix time.", "xid")
POD_MEMORY_USED = metric("exporter", "lightmeter_gpu_pod_memory_used_bytes", G, "bytes", "GPU memory that a container's processes hold.", "namespace", "pod", "container")
POD_MEMORY_GRANTED = metric("exporter", "lightmeter_gpu_pod_memory_granted_bytes", G, "bytes", "GPU memory granted to a container by the device plugin.", "namespace", "pod", "container")
POD_BUSY = metric("exporter", "lightmeter_gpu_pod_busy_seconds_total", C, "seconds", "Busy time of a container's processes.", "namespace", "pod", "container")
UNATTRIBUTED_MEMORY = metric("exporter", "lightmeter_gpu_unattributed_memory_bytes", G, "bytes", "GPU memory in use that belongs to no known container; with the containers' it adds up to the device's.")
SAMPLE_AGE = metric("exporter", "lightmeter_exporter_sample_age_seconds", G, "seconds", "Age of the newest sample of the GPU.")
GPUS_EXPECTED = _own("lightmeter_exporter_gpus_expected", G, "GPUs", "GPUs that there should be: as configured, or the most ever seen.")
GPUS_SEEN = _own("lightmeter_exporter_gpus_seen", G, "GPUs", "GPUs that answer.")
SOURCE_INFO = _own("lightmeter_exporter_source_info", G, "info", "Where the GPU readings come from; always 1. Readings of a demo are made up.", "source")
EXPORTER_BUILD = _own("lightmeter_exporter_build_info", G, "info", "Version of the exporter; always 1.", "version")
EXPORTER_START = _own("lightmeter_exporter_start_time_seconds", G, "seconds", "When the exporter was started, Unix time.")
SCRAPES = _own("lightmeter_exporter_scrapes_total", C, "scrapes", "Pages of metrics served.")
SERIES_DROPPED = _own("lightmeter_exporter_series_dropped_total", C, "series", "Series left out of a page because it was full or had them already.")
CONFIG_RELOADED = _own("lightmeter_exporter_config_last_reload_successful", G, "boolean", "1 where the web configuration in force is the one on disk; 0 where that was refused.")
CERTIFICATE_EXPIRY = _own("lightmeter_exporter_certificate_expiry_timestamp_seconds", G, "seconds", "When the certificate that the exporter serves with expires, Unix time.")
DCGM_LINES_SKIPPED = _own("lightmeter_exporter_dcgm_lines_skipped_total", C, "lines", "Lines of another exporter's text that were not understood.")

DCGM_PREFIX = "DCGM_FI_"
"""What all names of DCGM begin with."""
DCGM_DRIVER = "DCGM_FI_DRIVER_VERSION"
DCGM_LABELS = ("gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname", DCGM_DRIVER)
DCGM_MIG_LABELS = ("GPU_I_PROFILE", "GPU_I_ID")
"""What a MIG instance has beside."""
HOSTNAME_LABELS = {"Hostname": ("Hostname",), "hostname": ("hostname",), "both": ("Hostname", "hostname")}
"""dcgm-exporter up to 4.8.2 says Hostname, from 4.8.3 on hostname."""
# fmt: on


class Dcgm(StrEnum):
    """DCGM's field names, the old ones: dcgm-exporter 4.8 still ships them (read 2026-11)."""

    GPU_UTIL = "DCGM_FI_DEV_GPU_UTIL"
    MEM_COPY_UTIL = "DCGM_FI_DEV_MEM_COPY_UTIL"
    ENC_UTIL = "DCGM_FI_DEV_ENC_UTIL"
    DEC_UTIL = "DCGM_FI_DEV_DEC_UTIL"
    FB_USED = "DCGM_FI_DEV_FB_USED"
    FB_FREE = "DCGM_FI_DEV_FB_FREE"
    FB_RESERVED = "DCGM_FI_DEV_FB_RESERVED"
    FB_TOTAL = "DCGM_FI_DEV_FB_TOTAL"
    GPU_TEMP = "DCGM_FI_DEV_GPU_TEMP"
    MEMORY_TEMP = "DCGM_FI_DEV_MEMORY_TEMP"
    POWER_USAGE = "DCGM_FI_DEV_POWER_USAGE"
    ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
    SM_CLOCK = "DCGM_FI_DEV_SM_CLOCK"
    MEM_CLOCK = "DCGM_FI_DEV_MEM_CLOCK"
    PCIE_REPLAY = "DCGM_FI_DEV_PCIE_REPLAY_COUNTER"
    ECC_SBE_VOL = "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL"
    ECC_DBE_VOL = "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"
    ECC_SBE_AGG = "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL"
    ECC_DBE_AGG = "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL"
    REMAPPED_CORRECTABLE = "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS"
    REMAPPED_UNCORRECTABLE = "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS"
    REMAP_FAILURE = "DCGM_FI_DEV_ROW_REMAP_FAILURE"
    XID = "DCGM_FI_DEV_XID_ERRORS"
    THROTTLE = "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"
    GR_ACTIVE = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
    SM_ACTIVE = "DCGM_FI_PROF_SM_ACTIVE"
    SM_OCCUPANCY = "DCGM_FI_PROF_SM_OCCUPANCY"
    TENSOR_ACTIVE = "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"
    DRAM_ACTIVE = "DCGM_FI_PROF_DRAM_ACTIVE"
    FP64_ACTIVE = "DCGM_FI_PROF_PIPE_FP64_ACTIVE"
    FP32_ACTIVE = "DCGM_FI_PROF_PIPE_FP32_ACTIVE"
    FP16_ACTIVE = "DCGM_FI_PROF_PIPE_FP16_ACTIVE"


DCGM_ENERGY = Dcgm.ENERGY.value
DCGM_RENAMED = {
    "DCGM_FI_DEV_GPU_TEMP_CELSIUS": Dcgm.GPU_TEMP,
    "DCGM_FI_DEV_BOARD_POWER_WATTS": Dcgm.POWER_USAGE,
    "DCGM_FI_DEV_GPU_UTIL_RATIO": Dcgm.GPU_UTIL,
    "DCGM_FI_DEV_XID_ERROR": Dcgm.XID,
    "DCGM_FI_DEV_PCIE_REPLAY_TOTAL": Dcgm.PCIE_REPLAY,
    "DCGM_FI_PROF_GR_ENGINE_UTIL_RATIO": Dcgm.GR_ACTIVE,
    "DCGM_FI_PROF_SM_UTIL_RATIO": Dcgm.SM_ACTIVE,
    "DCGM_FI_PROF_TENSOR_UTIL_RATIO": Dcgm.TENSOR_ACTIVE,
    "DCGM_FI_PROF_DRAM_UTIL_RATIO": Dcgm.DRAM_ACTIVE,
}
"""Names of DCGM 4.6 (its dcgm_fields.h, read 2026-11) for what has an old one; values are the same."""
DCGM_VIOLATIONS = {f"DCGM_FI_DEV_{reason.upper()}_VIOLATION": reason for reason in THROTTLE_REASONS}
"""Counters of nanoseconds with clocks held down, by our reason."""
# fmt: off
_DCGM = (
    (Dcgm.GPU_UTIL, G, "percent", "GPU utilisation."),
    (Dcgm.MEM_COPY_UTIL, G, "percent", "Memory-controller activity; this is not memory use."),
    (Dcgm.ENC_UTIL, G, "percent", "Video encoder utilisation."),
    (Dcgm.DEC_UTIL, G, "percent", "Video decoder utilisation."),
    (Dcgm.FB_USED, G, "MiB", "Frame buffer used."),
    (Dcgm.FB_FREE, G, "MiB", "Frame buffer free."),
    (Dcgm.FB_RESERVED, G, "MiB", "Frame buffer reserved by the driver."),
    (Dcgm.FB_TOTAL, G, "MiB", "Frame buffer in all."),
    (Dcgm.GPU_TEMP, G, "celsius", "GPU temperature."),
    (Dcgm.MEMORY_TEMP, G, "celsius", "Memory temperature."),
    (Dcgm.POWER_USAGE, G, "watts", "Power draw."),
    (Dcgm.ENERGY, C, "millijoules", "Energy drawn since the driver was loaded."),
    (Dcgm.SM_CLOCK, G, "MHz", "Multiprocessor clock."),
    (Dcgm.MEM_CLOCK, G, "MHz", "Memory clock."),
    (Dcgm.PCIE_REPLAY, C, "replays", "PCIe packets sent again."),
    (Dcgm.ECC_SBE_VOL, C, "errors", "Corrected memory errors since the driver was loaded."),
    (Dcgm.ECC_DBE_VOL, C, "errors", "Uncorrected memory errors since the driver was loaded."),
    (Dcgm.ECC_SBE_AGG, C, "errors", "Corrected memory errors in the GPU's life."),
    (Dcgm.ECC_DBE_AGG, C, "errors", "Uncorrected memory errors in the GPU's life."),
    (Dcgm.REMAPPED_CORRECTABLE, C, "rows", "Memory rows remapped after corrected errors."),
    (Dcgm.REMAPPED_UNCORRECTABLE, C, "rows", "Memory rows remapped after uncorrected errors."),
    (Dcgm.REMAP_FAILURE, G, "boolean", "1 where a remapping failed."),
    (Dcgm.XID, G, "number", "The last XID error; 0 where none was seen."),
    (Dcgm.THROTTLE, G, "bit mask", "Why clocks are held down at this moment, as the driver codes it."),
    (Dcgm.GR_ACTIVE, G, "ratio", "Share of time with the graphics or compute engine active."),
    (Dcgm.SM_ACTIVE, G, "ratio", "Share of time with work on the multiprocessors."),
    (Dcgm.SM_OCCUPANCY, G, "ratio", "Warps resident, as a share of those possible."),
    (Dcgm.TENSOR_ACTIVE, G, "ratio", "Share of time with the tensor cores active."),
    (Dcgm.DRAM_ACTIVE, G, "ratio", "Share of time with device memory active."),
    (Dcgm.FP64_ACTIVE, G, "ratio", "Share of time with the FP64 units active."),
    (Dcgm.FP32_ACTIVE, G, "ratio", "Share of time with the FP32 units active."),
    (Dcgm.FP16_ACTIVE, G, "ratio", "Share of time with the FP16 units active."),
)
# fmt: on
DCGM: tuple[Metric, ...] = tuple(
    Metric(name.value, kind, unit, text, "exporter", DCGM_LABELS)
    for name, kind, unit, text in _DCGM
)
