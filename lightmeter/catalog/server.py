"""The inference server's metrics."""

from __future__ import annotations

from lightmeter.catalog.metric import (
    BATCH_BUCKETS,
    COLD_START_BUCKETS,
    LATENCY_BUCKETS,
    RATIO_BUCKETS,
    SCORE_BUCKETS,
    SLOWDOWN_BUCKETS,
    STAGE_BUCKETS,
    C,
    G,
    H,
    metric,
)
from lightmeter.catalog.vocabulary import GpuTime


# fmt: off
REQUESTS = metric("server", "lightmeter_requests_total", C, "requests", "Requests answered, by how they ended.", "outcome")
REQUEST_DURATION = metric("server", "lightmeter_request_duration_seconds", H, "seconds", "From the arrival of a request to its answer.", "priority", buckets=LATENCY_BUCKETS)
SLOWDOWN = metric("server", "lightmeter_request_slowdown_ratio", H, "ratio", "Duration of a served request over the time that its shape is expected to take alone.", "priority", buckets=SLOWDOWN_BUCKETS)
STAGE_DURATION = metric("server", "lightmeter_stage_duration_seconds", H, "seconds", "Time a request spent in each stage; the stages add up to its duration.", "stage", buckets=STAGE_BUCKETS)
DENOISE_STEP_DURATION = metric("server", "lightmeter_denoise_step_duration_seconds", H, "seconds", "Each denoise step, measured one by one.", "clock", buckets=STAGE_BUCKETS)
DENOISE_FORWARDS = metric("server", "lightmeter_denoise_forwards_total", C, "forwards", "Transformer forwards executed, counted at the model, not taken from the request.")
IMAGES = metric("server", "lightmeter_images_total", C, "images", "Pictures delivered, by area class.", "resolution")
OFFERED_WORK = metric("server", "lightmeter_offered_work_total", C, "megapixel-forwards", "Work asked for: megapixels x forwards of every valid arrival, shed ones too.")
DONE_WORK = metric("server", "lightmeter_done_work_total", C, "megapixel-forwards", "Work finished: megapixels x forwards of delivered pictures.")
GPU_SECONDS = metric("server", "lightmeter_gpu_seconds_total", C, "seconds", "Device time spent, by what it was for.", "kind", kind=tuple(GpuTime))
BATCH_SIZE = metric("server", "lightmeter_batch_size", H, "requests", "Requests in each batch, by what closed the batch.", "stop_reason", buckets=BATCH_BUCKETS)
BALANCE_RATIO = metric("server", "lightmeter_balance_ratio", G, "ratio", "Mean over maximum busy share of the workers; 1 is perfectly balanced.")
QUEUE_DEPTH = metric("server", "lightmeter_queue_depth", G, "requests", "Requests waiting for a worker.", "priority")
IN_FLIGHT = metric("server", "lightmeter_in_flight_requests", G, "requests", "Requests accepted and not yet answered.")
WORKERS = metric("server", "lightmeter_workers", G, "workers", "Worker processes in each state.", "state")
ACTIVE_USERS = metric("server", "lightmeter_active_users", G, "users", "Distinct users (key and user field, else address) seen in the last five minutes.")
MODEL_LOAD = metric("server", "lightmeter_model_load_seconds", H, "seconds", "Cold start of a worker, by phase.", "phase", buckets=COLD_START_BUCKETS)
OOM = metric("server", "lightmeter_oom_total", C, "events", "Out-of-memory errors on the device, by area class.", "resolution")
SHED = metric("server", "lightmeter_requests_shed_total", C, "requests", "Requests turned away unserved, by reason.", "reason")
ANOMALIES = metric("server", "lightmeter_image_anomalies_total", C, "images", "Pictures in which a guard found a fault.", "kind")
IMAGE_SIGNAL = metric("server", "lightmeter_image_signal", H, "ratio", "Weight-free signals of each picture, scaled to 0..1.", "signal", buckets=RATIO_BUCKETS)
QUALITY_SCORE = metric("server", "lightmeter_quality_score", H, "ratio", "Sampled scores of an optional scorer with weights of its own.", "scorer", buckets=RATIO_BUCKETS)
FEEDBACK_SCORE = metric("server", "lightmeter_feedback_score", H, "stars", "Ratings given by users, 1 to 5.", buckets=SCORE_BUCKETS)
TORCH_MEMORY_PEAK = metric("server", "lightmeter_torch_memory_peak_bytes", G, "bytes", "Most device memory that tensors took during the worker's last batch.", "UUID")
COST = metric("server", "lightmeter_cost_total", C, "currency units", "Price of the GPU seconds spent.", "currency")
ENERGY = metric("server", "lightmeter_energy_joules_total", C, "joules", "Energy of the GPUs while they served requests.")
# fmt: on
