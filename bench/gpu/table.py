"""What is measured on a GPU, in order of value. To add a row, add it here and write its function."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing to measure.

    ``seconds`` is how long it takes on a card like the H200, an estimate: a row is begun only where
    so much time is left. ``measure`` names the function, see `bench.gpu.place.Measure`. Rows that
    follow each other and name the same ``process`` share one, and the model in it. ``anywhere``: it
    can also be tried out on a CPU with the tiny model.
    """

    name: str
    what: str
    target: str = ""
    seconds: float
    measure: str
    process: str = "pipeline"
    anywhere: bool = True


ROWS = (
    Row(
        name="picture",
        what="Z-Image-Turbo's full size with random weights, made on the GPU; 1024x1024 pictures in 8 forwards, from the prompt to the PNG",
        target="under 1 s a picture",
        seconds=25,
        measure="bench.gpu.pictures:picture",
    ),
    Row(
        name="matrix",
        what="The matrix rate that the card reaches, and the share of it in the denoise stage",
        target="at least 0.6",
        seconds=10,
        measure="bench.gpu.pictures:matrix",
    ),
    Row(
        name="stages-512",
        what="Stages of 512x512 pictures by events in the GPU's queue, beside synchronised profiling and beside none",
        target="within 2 % of the one, at most 0.5 % slower than the other",
        seconds=28,
        measure="bench.gpu.stages:stages_512",
    ),
    Row(
        name="stages-1024",
        what="The same for 1024x1024",
        target="the same",
        seconds=28,
        measure="bench.gpu.stages:stages_1024",
    ),
    Row(
        name="server",
        what="`lightmeter serve` full of requests for 512x512, beside a bare diffusers loop and a lock-and-generate server; 1024x1024 for one client at a time",
        target="0.97 of the loop; 1.3 times the lock server, with a lower p95; 1024x1024 in under 1 s from end to end",
        seconds=73,
        measure="bench.gpu.serving:server",
        process="server",
    ),
    Row(
        name="memory",
        what="The memory model of the server, from its three small lessons, against the peak of every shape; running out of memory; slices sized from the model",
        target="within 5 %; the next picture as before; a picture fits its slice",
        seconds=33,
        measure="bench.gpu.memory:memory",
        anywhere=False,
    ),
    Row(
        name="stages-2048",
        what="The stages of 2048x2048",
        target="as for 512x512",
        seconds=30,
        measure="bench.gpu.stages:stages_2048",
    ),
    Row(
        name="loras",
        what="Reading, applying and changing a LoRA",
        seconds=10,
        measure="bench.gpu.loras:loras",
    ),
    Row(
        name="guards",
        what="Pictures of weights that overflow are told as no numbers, black ones as black, in BF16 and with the weights in FP16; what looking costs on the device",
        target="each told as what it is",
        seconds=8,
        measure="bench.gpu.guards:guards",
    ),
    Row(
        name="sameness",
        what="How far a BF16 picture depends on its batch, as served and with `serve.deterministic`",
        target="not at all with `serve.deterministic`",
        seconds=10,
        measure="bench.gpu.guards:sameness",
    ),
    Row(
        name="variants",
        what="Attention backends, channels-last VAE, compiled blocks, CUDA graphs: pictures a second with each",
        seconds=82,
        measure="bench.gpu.variants:variants",
        process="variants",
    ),
    Row(
        name="sharing",
        what="Several workers on one GPU that share it by time slices: the interference curve",
        seconds=40,
        measure="bench.gpu.sharing:sliced",
        process="sharing",
    ),
    Row(
        name="sharing-mps",
        what="The same through NVIDIA's multi-process service",
        seconds=40,
        measure="bench.gpu.sharing:mps",
        process="sharing",
        anywhere=False,
    ),
    Row(
        name="driver",
        what="The exporter beside nvidia-smi, what each call of the driver's library costs, how its ring of samples behaves (`bench/driver.py`)",
        target="readings agree",
        seconds=16,
        measure="bench.gpu.exporting:driver",
        process="driver",
        anywhere=False,
    ),
    Row(
        name="exporter",
        what="The exporter under known loads: work, energy beside the integral of power, memory spikes, its CPU time",
        target="work within 1 percentage point; every spike seen",
        seconds=55,
        measure="bench.gpu.exporting:exporter",
        process="exporter",
        anywhere=False,
    ),
    Row(
        name="exporters",
        what="Three exporters at once under a known load: none takes samples from another",
        target="each within 1 percentage point",
        seconds=12,
        measure="bench.gpu.counters:several",
        process="exporters",
        anywhere=False,
    ),
    Row(
        name="gpm",
        what="What GPM's shares say of loads that fill the GPU, one multiprocessor, or nothing; whether a user without rights may ask",
        seconds=22,
        measure="bench.gpu.counters:gpm",
        process="gpm",
        anywhere=False,
    ),
    Row(
        name="cold-start",
        what="From nothing to a worker that serves, by phase, beside from_pretrained and to",
        seconds=62,
        measure="bench.gpu.starting:cold_start",
        process="starting",
    ),
)
BY_NAME = {row.name: row for row in ROWS}
