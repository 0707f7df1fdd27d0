"""The LoRAs of a loaded pipeline: read when first asked for, kept while there is room."""

from __future__ import annotations

import contextlib
import itertools
import textwrap
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inference import loras
from lightmeter.errors import InputError, WorkerError


_REASON_CHARS = 160
_File = tuple[Path, int, int]
"""A file as it was: path, time of its last change in nanoseconds, size in bytes."""


class Adapters:
    """Switches a pipeline between its own weights and LoRAs beside them.

    A LoRA is never merged into the weights, so the pipeline without one is bit for bit what it was.
    """

    def __init__(self, pipe: Any, folder: str, slots: int) -> None:
        """Offer the LoRAs of a folder; at most ``slots`` of them stay in memory."""
        self._pipe = pipe
        self._folder = Path(folder) if folder else None
        self._slots = slots
        self._held: OrderedDict[_File, str] = OrderedDict()
        self._numbers = itertools.count()
        self._active = False

    def use(self, name: str | None, scale: float) -> None:
        """Make the next pictures with a LoRA, or with none; a scale of 0 is none, too.

        Raises:
            InputError: it does not fit this model, has gone, or is none. WorkerError: there is no
            memory for it. Either way the pipeline is as good as before.
        """
        if self._active:
            self._pipe.disable_lora()
            self._active = False
        if name is None or scale == 0:
            return
        path = loras.check(self._folder, name)
        self._active = True  # from here on layers may be changed, even by a file that fails
        with _without_warnings():
            adapter = self._adapter(path)
            self._pipe.enable_lora()
            self._pipe.set_adapters([adapter], [scale])

    def _adapter(self, path: Path) -> str:
        state = path.stat()
        file = (path, state.st_mtime_ns, state.st_size)
        if file not in self._held:
            while len(self._held) >= self._slots:
                self._pipe.delete_adapters(self._held.popitem(last=False)[1])
            self._held[file] = self._read(path)
        self._held.move_to_end(file)
        return self._held[file]

    def _read(self, path: Path) -> str:
        import torch

        adapter = f"lora{next(self._numbers)}"
        try:
            self._pipe.load_lora_weights(
                str(path.parent),
                weight_name=path.name,
                adapter_name=adapter,
                use_safetensors=True,
                local_files_only=True,
            )
        except (ValueError, RuntimeError, LookupError) as error:
            cause = error.__context__ or error  # diffusers may trip while it tidies up
            if isinstance(cause, torch.OutOfMemoryError):
                raise WorkerError(f"there is no memory for lora {path.stem!r}") from error
            raise _misfit(path, str(cause)) from error
        if not any(adapter in found for found in self._pipe.get_list_adapters().values()):
            raise _misfit(path, "it has none of its layers")
        return adapter


def _misfit(path: Path, why: str) -> InputError:
    """Say so in one line, although diffusers lists every layer."""
    why = textwrap.shorten(why, _REASON_CHARS, placeholder=" ...")
    return InputError(f"lora {path.stem!r} does not fit this model, it was made for another: {why}")


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep PEFT from warning of several adapters in one model, and of those that give way."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        warnings.filterwarnings("ignore", message=r"Adapter \S+ was active which is now deleted")
        yield
