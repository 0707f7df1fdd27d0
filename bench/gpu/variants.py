"""Ways to run the same model faster, each beside the pipeline as it is served."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.gpu.place import Line, Place


BACKENDS = ("_native_cudnn", "flash", "_flash_3")
SHAPES = ((512, 8), (1024, 1))
_LEAST_SECONDS = 25.0
"""No variant is begun with less time left: a compilation may take so long."""


@dataclass(frozen=True)
class Variant:
    """A way to run the model: what to do to the pipeline before, and after."""

    name: str
    begin: Callable[[Any], object]
    end: Callable[[Any], object] = bool
    shapes: tuple[tuple[int, int], ...] = SHAPES


def variants(place: Place) -> Iterator[Line]:
    """Measure each; one that cannot run says why, and the others go on."""
    place.need_memory(2)
    for variant in [*_all()] if place.cuda else [*_all()][:2]:
        if place.left < _LEAST_SECONDS:
            yield {"variant": variant.name, "said": "no time left"}
            continue
        try:
            variant.begin(place.pipe)
            yield _measure(place, variant)
        except Exception as error:  # noqa: BLE001  (what a library cannot do here is a finding)
            traceback.print_exc()
            said = " ".join(str(error).split())[:120]
            yield {"variant": variant.name, "said": f"{type(error).__name__}: {said}"}
        variant.end(place.pipe)


def _all() -> Iterator[Variant]:
    yield Variant("as served", bool)
    yield Variant("VAE channels-last", _channels_last, _channels_first)
    for backend in BACKENDS:
        yield Variant(f"attention {backend}", partial(_attend, backend), _attend_as_usual)
    yield Variant("CUDA graph of the transformer", _graph, _no_graph)
    yield Variant("blocks compiled, as serve.compile does", partial(_compile, dynamic=True))
    yield Variant("the same, VAE channels-last and CUDA graph", _both, _no_graph)
    yield Variant("blocks compiled for one shape", partial(_compile, dynamic=False), shapes=((1024, 1),))  # fmt: skip


def _measure(place: Place, variant: Variant) -> Line:
    line: Line = {"variant": variant.name}
    for nominal, images in variant.shapes:
        side = place.side(nominal)
        make = partial(place.make, place.job(side, images))
        first, seconds = place.seconds(make), place.seconds(make)
        line |= {f"{images} of {side}, pictures/s": images / seconds, f"first {images} of {side}, s": first}  # fmt: skip
    return line


def _channels_last(pipe: Any) -> None:
    import torch

    pipe.vae.to(memory_format=torch.channels_last)


def _channels_first(pipe: Any) -> None:
    import torch

    pipe.vae.to(memory_format=torch.contiguous_format)


def _attend(backend: str, pipe: Any) -> None:
    pipe.transformer.set_attention_backend(backend)


def _attend_as_usual(pipe: Any) -> None:
    pipe.transformer.reset_attention_backend()


def _compile(pipe: Any, *, dynamic: bool) -> None:
    pipe.transformer.compile_repeated_blocks(dynamic=dynamic)


class Graph:
    """The transformer's forward, recorded once for each shape and played back.

    Captions of one length only: nothing on the host may depend on what is on the device.
    """

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.forward = forward
        self._recorded: dict[Any, tuple[Any, list[Any], Any]] = {}

    def __call__(
        self, latents: list[Any], timestep: Any, captions: list[Any], **options: Any
    ) -> Any:
        """Play back what was recorded for such shapes, with these numbers."""
        inputs = [*latents, timestep, *captions]
        shapes = tuple(tuple(one.shape) for one in inputs)
        if shapes not in self._recorded:
            self._recorded[shapes] = self._record(len(latents), inputs, options)
        graph, kept, made = self._recorded[shapes]
        for to, now in zip(kept, inputs, strict=True):
            to.copy_(now)
        graph.replay()
        return made

    def _record(
        self, pictures: int, inputs: list[Any], options: dict[str, Any]
    ) -> tuple[Any, list[Any], Any]:
        import torch

        kept = [one.clone() for one in inputs]

        def forward() -> Any:
            return self.forward(kept[:pictures], kept[pictures], kept[pictures + 1 :], **options)

        aside: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # what libraries put off must be done before
            for _ in range(2):
                forward()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            made = forward()
        return graph, kept, made


def _graph(pipe: Any) -> None:
    pipe.transformer.forward = Graph(pipe.transformer.forward)


def _both(pipe: Any) -> None:
    _channels_last(pipe)
    _graph(pipe)


def _no_graph(pipe: Any) -> None:
    graph = pipe.transformer.forward
    if isinstance(graph, Graph):
        pipe.transformer.forward = graph.forward
