"""The host's metrics, under the names and labels of node_exporter.

https://github.com/prometheus/node_exporter; held against version 1.5.0 by a test.
"""

from __future__ import annotations

from lightmeter.catalog.metric import C, G, Kind, Metric


NODE_PREFIX = "node_"
"""What all names of node_exporter begin with."""
HOST_GROUPS = ("cpu", "memory", "load", "filesystem", "disk", "network", "system")


def _node(name: str, kind: Kind, unit: str, text: str, *labels: str) -> Metric:
    return Metric(name, kind, unit, text, "host", labels)


_DISK = ("device",)
_MOUNT = ("device", "fstype", "mountpoint")
# fmt: off
NODE_CPU = _node("node_cpu_seconds_total", C, "seconds", "Time that each CPU spent in each mode.", "cpu", "mode")
NODE_LOAD = (
    _node("node_load1", G, "processes", "Runnable processes, mean of 1 minute."),
    _node("node_load5", G, "processes", "Runnable processes, mean of 5 minutes."),
    _node("node_load15", G, "processes", "Runnable processes, mean of 15 minutes."),
)
NODE_FILESYSTEM_SIZE = _node("node_filesystem_size_bytes", G, "bytes", "Size of the file system.", *_MOUNT)
NODE_FILESYSTEM_FREE = _node("node_filesystem_free_bytes", G, "bytes", "Free space of the file system.", *_MOUNT)
NODE_FILESYSTEM_AVAIL = _node("node_filesystem_avail_bytes", G, "bytes", "Space that is free to users without privileges.", *_MOUNT)
NODE_FILESYSTEM_ERROR = _node("node_filesystem_device_error", G, "boolean", "1 where the file system could not be asked, or has not answered.", *_MOUNT)
NODE_DISK_READS = _node("node_disk_reads_completed_total", C, "reads", "Reads completed.", *_DISK)
NODE_DISK_READ_BYTES = _node("node_disk_read_bytes_total", C, "bytes", "Bytes read.", *_DISK)
NODE_DISK_READ_TIME = _node("node_disk_read_time_seconds_total", C, "seconds", "Time spent by all reads.", *_DISK)
NODE_DISK_WRITES = _node("node_disk_writes_completed_total", C, "writes", "Writes completed.", *_DISK)
NODE_DISK_WRITTEN_BYTES = _node("node_disk_written_bytes_total", C, "bytes", "Bytes written.", *_DISK)
NODE_DISK_WRITE_TIME = _node("node_disk_write_time_seconds_total", C, "seconds", "Time spent by all writes.", *_DISK)
NODE_DISK_IO_TIME = _node("node_disk_io_time_seconds_total", C, "seconds", "Time with input or output in progress.", *_DISK)
NODE_NETWORK_RECEIVE = _node("node_network_receive_bytes_total", C, "bytes", "Bytes received.", *_DISK)
NODE_NETWORK_TRANSMIT = _node("node_network_transmit_bytes_total", C, "bytes", "Bytes sent.", *_DISK)
NODE_TIME = _node("node_time_seconds", G, "seconds", "The machine's clock, Unix time.")
NODE_BOOT_TIME = _node("node_boot_time_seconds", G, "seconds", "When the machine was started, Unix time.")
NODE_UNAME = _node("node_uname_info", G, "info", "What uname says of the machine; always 1.", "domainname", "machine", "nodename", "release", "sysname", "version")
_MEMORY = (
    ("MemTotal", "Memory of the machine."),
    ("MemFree", "Memory that nothing uses."),
    ("MemAvailable", "Memory that new programs can have without swapping, as the kernel estimates it."),
    ("Buffers", "Memory in block device buffers."),
    ("Cached", "Memory in the page cache."),
    ("SwapTotal", "Swap space."),
    ("SwapFree", "Swap space that nothing uses."),
)
# fmt: on
NODE_MEMORY: dict[str, Metric] = {
    key: _node(f"node_memory_{key}_bytes", G, "bytes", text) for key, text in _MEMORY
}
"""By the kernel's own names, as /proc/meminfo spells them."""
