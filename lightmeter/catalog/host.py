"""The host's metrics, under the names and labels of node_exporter.

https://github.com/prometheus/node_exporter; held against version 1.5.0 by a test.
"""

from __future__ import annotations

from lightmeter.catalog.metric import C, G, Kind, Metric


NODE_PREFIX = "node_"
"""What all names of node_exporter begin with."""
HOST_GROUPS = (
    "cpu", "memory", "load", "pressure", "vmstat", "filesystem", "disk", "network", "system",
)  # fmt: skip


def _node(name: str, kind: Kind, unit: str, text: str, *labels: str) -> Metric:
    return Metric(name, kind, unit, text, "host", labels)


_DISK = ("device",)
_MOUNT = ("device", "fstype", "mountpoint")
# fmt: off
NODE_CPU = _node("node_cpu_seconds_total", C, "seconds", "Time that each CPU spent in each mode.", "cpu", "mode")
NODE_STAT = {
    "ctxt": _node("node_context_switches_total", C, "switches", "Times that a CPU went from one thread to another."),
    "intr": _node("node_intr_total", C, "interrupts", "Interrupts served."),
    "processes": _node("node_forks_total", C, "forks", "Processes and threads started."),
    "procs_running": _node("node_procs_running", G, "threads", "Threads that run or could."),
    "procs_blocked": _node("node_procs_blocked", G, "threads", "Threads that wait for input or output."),
}
"""By the kernel's own names, as /proc/stat spells them."""
NODE_LOAD = (
    _node("node_load1", G, "processes", "Runnable processes, mean of 1 minute."),
    _node("node_load5", G, "processes", "Runnable processes, mean of 5 minutes."),
    _node("node_load15", G, "processes", "Runnable processes, mean of 15 minutes."),
)
NODE_PRESSURE = {
    ("cpu", "some"): _node("node_pressure_cpu_waiting_seconds_total", C, "seconds", "Time in which some thread waited for a CPU."),
    ("memory", "some"): _node("node_pressure_memory_waiting_seconds_total", C, "seconds", "Time in which some thread waited for memory."),
    ("memory", "full"): _node("node_pressure_memory_stalled_seconds_total", C, "seconds", "Time in which all threads waited for memory."),
    ("io", "some"): _node("node_pressure_io_waiting_seconds_total", C, "seconds", "Time in which some thread waited for input or output."),
    ("io", "full"): _node("node_pressure_io_stalled_seconds_total", C, "seconds", "Time in which all threads waited for input or output."),
}
"""By file and line of /proc/pressure, https://docs.kernel.org/accounting/psi.html."""
_VMSTAT = (
    ("oom_kill", "Processes that the kernel killed because memory ran out."),
    ("pgfault", "Page faults, the minor ones too."),
    ("pgmajfault", "Page faults that had to wait for a disk."),
    ("pgpgin", "KiB read from disks."),
    ("pgpgout", "KiB written to disks."),
    ("pswpin", "Pages brought back from swap space."),
    ("pswpout", "Pages moved to swap space."),
)
NODE_VMSTAT = {key: _node(f"node_vmstat_{key}", Kind.UNTYPED, "events", text) for key, text in _VMSTAT}
"""By the kernel's own names, as /proc/vmstat spells them."""
NODE_FILESYSTEM_SIZE = _node("node_filesystem_size_bytes", G, "bytes", "Size of the file system.", *_MOUNT)
NODE_FILESYSTEM_FREE = _node("node_filesystem_free_bytes", G, "bytes", "Free space of the file system.", *_MOUNT)
NODE_FILESYSTEM_AVAIL = _node("node_filesystem_avail_bytes", G, "bytes", "Space that is free to users without privileges.", *_MOUNT)
NODE_FILESYSTEM_ERROR = _node("node_filesystem_device_error", G, "boolean", "1 where the file system could not be asked, or has not answered.", *_MOUNT)
NODE_FILESYSTEM_FILES = _node("node_filesystem_files", G, "inodes", "Inodes of the file system.", *_MOUNT)
NODE_FILESYSTEM_FILES_FREE = _node("node_filesystem_files_free", G, "inodes", "Inodes that are free.", *_MOUNT)
NODE_FILESYSTEM_READONLY = _node("node_filesystem_readonly", G, "boolean", "1 where nothing can be written.", *_MOUNT)
NODE_DISK = tuple(
    _node(f"node_disk_{name}", kind, unit, text, *_DISK)
    for name, kind, unit, text in (
        ("reads_completed_total", C, "reads", "Reads completed."),
        ("reads_merged_total", C, "reads", "Reads merged into others."),
        ("read_bytes_total", C, "bytes", "Bytes read."),
        ("read_time_seconds_total", C, "seconds", "Time spent by all reads."),
        ("writes_completed_total", C, "writes", "Writes completed."),
        ("writes_merged_total", C, "writes", "Writes merged into others."),
        ("written_bytes_total", C, "bytes", "Bytes written."),
        ("write_time_seconds_total", C, "seconds", "Time spent by all writes."),
        ("io_now", G, "operations", "Reads and writes in progress."),
        ("io_time_seconds_total", C, "seconds", "Time with input or output in progress."),
        ("io_time_weighted_seconds_total", C, "seconds", "The same, times the number in progress."),
    )
)
"""In the order of the columns of /proc/diskstats."""
_NETWORK = (
    ("receive", (("bytes", "Bytes"), ("packets", "Packets"), ("errs", "Packets with errors"), ("drop", "Packets dropped"), ("fifo", "Overruns of the interface's buffer"), ("frame", "Packets badly framed"), ("compressed", "Compressed packets"), ("multicast", "Multicast packets"))),
    ("transmit", (("bytes", "Bytes"), ("packets", "Packets"), ("errs", "Packets with errors"), ("drop", "Packets dropped"), ("fifo", "Overruns of the interface's buffer"), ("colls", "Collisions"), ("carrier", "Losses of the carrier"), ("compressed", "Compressed packets"))),
)
NODE_NETWORK = tuple(
    _node(f"node_network_{way}_{what}_total", C, "bytes" if what == "bytes" else "events", f"{text}, {'received' if way == 'receive' else 'sent'}.", *_DISK)
    for way, columns in _NETWORK
    for what, text in columns
)
"""In the order of the columns of /proc/net/dev."""
NODE_FILES = (
    _node("node_filefd_allocated", G, "files", "Files that are open on the machine."),
    _node("node_filefd_maximum", G, "files", "Files that may be open on the machine."),
)
NODE_TIME = _node("node_time_seconds", G, "seconds", "The machine's clock, Unix time.")
NODE_BOOT_TIME = _node("node_boot_time_seconds", G, "seconds", "When the machine was started, Unix time.")
NODE_UNAME = _node("node_uname_info", G, "info", "What uname says of the machine; always 1.", "domainname", "machine", "nodename", "release", "sysname", "version")
_MEMORY = (
    ("MemTotal", "Memory of the machine."),
    ("MemFree", "Memory that nothing uses."),
    ("MemAvailable", "Memory that new programs can have without swapping, as the kernel estimates it."),
    ("Buffers", "Memory in block device buffers."),
    ("Cached", "Memory in the page cache."),
    ("SwapCached", "Swapped memory that is in memory as well."),
    ("Active", "Memory used not long ago."),
    ("Inactive", "Memory not used for some time."),
    ("Active(anon)", "Memory of programs, used not long ago."),
    ("Inactive(anon)", "Memory of programs, not used for some time."),
    ("Active(file)", "Page cache used not long ago."),
    ("Inactive(file)", "Page cache not used for some time."),
    ("Unevictable", "Memory that cannot be reclaimed."),
    ("Mlocked", "Memory locked by programs: what is pinned for a GPU is in it."),
    ("SwapTotal", "Swap space."),
    ("SwapFree", "Swap space that nothing uses."),
    ("Dirty", "Memory that waits to be written to disk."),
    ("Writeback", "Memory that is being written to disk."),
    ("AnonPages", "Memory of programs that no file is behind."),
    ("Mapped", "Files mapped into programs."),
    ("Shmem", "Shared memory and tmpfs: what workers hand to each other."),
    ("Slab", "The kernel's own structures."),
    ("SReclaimable", "The part of the slab that can be reclaimed."),
    ("SUnreclaim", "The part of the slab that cannot."),
    ("KernelStack", "Stacks of the kernel's threads."),
    ("PageTables", "Page tables."),
    ("CommitLimit", "Memory that may be promised to programs, where overcommitment is strict."),
    ("Committed_AS", "Memory promised to programs."),
    ("VmallocTotal", "The kernel's address space for large allocations."),
    ("VmallocUsed", "What of it is used."),
    ("AnonHugePages", "Memory of programs in transparent huge pages."),
    ("HugePages_Total", "Huge pages set aside, pages."),
    ("HugePages_Free", "Huge pages set aside that nothing uses, pages."),
    ("HugePages_Rsvd", "Huge pages promised, pages."),
    ("HugePages_Surp", "Huge pages beyond those set aside, pages."),
    ("Hugepagesize", "Size of a huge page."),
)


def _memory(key: str, text: str) -> Metric:
    """Name it as node_exporter does: what counts pages has no unit."""
    name = f"node_memory_{key.replace('(', '_').replace(')', '')}"
    return _node(name, G, "pages", text) if "_" in key and key.startswith("Huge") else _node(f"{name}_bytes", G, "bytes", text)


# fmt: on
NODE_MEMORY: dict[str, Metric] = {key: _memory(key, text) for key, text in _MEMORY}
"""By the kernel's own names, as /proc/meminfo spells them."""
