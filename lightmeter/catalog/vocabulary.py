"""The closed vocabularies: what a label, a column or a decision may say."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a request ended; also the ``outcome`` column of the usage history."""

    OK = "ok"
    ANOMALOUS = "anomalous"
    INVALID = "invalid"
    SHED = "shed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    OOM = "oom"
    ERROR = "error"


class Priority(StrEnum):
    """Who is served first: a person who waits, or a batch job."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


class Stage(StrEnum):
    """Where the time of a request goes; the stages of one request add up to its duration."""

    QUEUE = "queue"
    BATCH_WAIT = "batch_wait"
    TEXT_ENCODE = "text_encode"
    DENOISE = "denoise"
    VAE_DECODE = "vae_decode"
    TRANSFER = "transfer"
    GUARD = "guard"
    ENCODE = "encode"
    RESPOND = "respond"
    UNACCOUNTED = "unaccounted"


class Clock(StrEnum):
    """What measured a time: the host's monotonic clock, or events on the GPU."""

    HOST = "host"
    CUDA_EVENT = "cuda_event"


class GpuTime(StrEnum):
    """What GPU seconds were spent on."""

    USEFUL = "useful"
    ABANDONED = "abandoned"
    WARMUP = "warmup"


class WorkerState(StrEnum):
    """Where a worker process is in its life."""

    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    DRAINING = "draining"
    DEAD = "dead"


class LoadPhase(StrEnum):
    """Parts of a cold start."""

    IMPORT = "import"
    WEIGHTS = "weights"
    TO_DEVICE = "to_device"
    COMPILE = "compile"
    WARMUP = "warmup"


class ShedReason(StrEnum):
    """Why a request was turned away unserved."""

    QUEUE_FULL = "queue_full"
    RATE_LIMIT = "rate_limit"
    STARTING = "starting"
    DRAINING = "draining"
    NO_WORKER = "no_worker"
    DEADLINE = "deadline"


class Anomaly(StrEnum):
    """What a guard found wrong with a picture."""

    BLACK = "black"
    FLAT = "flat"
    NAN = "nan"
    NOISE = "noise"
    BLUR = "blur"
    DUPLICATE = "duplicate"


class StopReason(StrEnum):
    """What closed a batch."""

    FULL = "full"
    INCOMPATIBLE = "incompatible"
    DRAINED = "drained"


class GpuState(StrEnum):
    """Whether a GPU answers, and why not."""

    OK = "ok"
    STARTING = "starting"
    LOST = "lost"
    HUNG = "hung"
    NO_PERMISSION = "no_permission"
    DRIVER_MISSING = "driver_missing"
    NO_GPU = "no_gpu"
    MIG_CHANGED = "mig_changed"
    UNREACHABLE = "unreachable"
    ERROR = "error"


class Throttle(StrEnum):
    """What holds a GPU's clocks down."""

    POWER = "power"
    THERMAL = "thermal"
    SYNC_BOOST = "sync_boost"
    BOARD_LIMIT = "board_limit"
    LOW_UTIL = "low_util"
    RELIABILITY = "reliability"


RESOLUTIONS = ("256x256", "512x512", "768x768", "1024x1024", "1536x1536", "2048x2048", "larger")
"""Classes by area: a picture counts under the smallest square that holds as many pixels."""

SIGNALS = ("luma", "sharpness", "entropy", "colourfulness", "clipping")
GPU_UP_REASONS = tuple(GpuState)
THROTTLE_REASONS = tuple(Throttle)
SOURCES = ("nvml", "demo", "replay", "dcgm")
"""Where the exporter's GPU readings come from."""
ACTIONS = ("up", "down", "hold", "freeze")


class Term(StrEnum):
    """What a scaling decision is made of; the one that decided is named in its record."""

    STAFFING = "staffing"
    BACKLOG = "backlog"
    USERS = "users"
    WAKE = "wake"
    HOLD = "hold"
    LAST_REPLICA = "last_replica"
    SLEEP = "sleep"
    BURN_RATE = "burn_rate"
    BOOT_TIMEOUT = "boot_timeout"
    BOUNDS = "bounds"
    RATE_LIMIT = "rate_limit"
    STALE = "stale"
    SAFE_FLOOR = "safe_floor"
    FREEZE = "freeze"


class TargetAsk(StrEnum):
    """What the scaler asks of its target."""

    COUNT = "count"
    ORDER = "order"


class TargetAnswer(StrEnum):
    """What came of it."""

    DONE = "done"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    OWNED = "owned"
    CONFLICT = "conflict"
    BUSY = "busy"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


REFUSALS = tuple(answer for answer in TargetAnswer if answer is not TargetAnswer.DONE)
"""Answers by which nothing was done."""
TARGET_STATUSES = {
    401: TargetAnswer.FORBIDDEN,
    403: TargetAnswer.FORBIDDEN,
    404: TargetAnswer.NOT_FOUND,
    408: TargetAnswer.TIMEOUT,
    409: TargetAnswer.CONFLICT,
    429: TargetAnswer.BUSY,
    503: TargetAnswer.BUSY,
    504: TargetAnswer.TIMEOUT,
}
"""What a target means by an HTTP status; any other but 2xx is a failure."""


def resolution(width: int, height: int) -> str:
    """Name the class in `RESOLUTIONS` of a picture, width and height in pixels."""
    for name in RESOLUTIONS[:-1]:
        side = int(name.partition("x")[0])
        if width * height <= side * side:
            return name
    return RESOLUTIONS[-1]
