"""A model folder that would run code, given to what loads models."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from inference.tinymodel import build_tiny
from support.cli import python


pytestmark = pytest.mark.proof
LOAD = (
    "import sys, torch; from inference import zimage; zimage.read(sys.argv[1], torch.device('cpu'))"
)


class _Trap:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_model_folder(tmp_path: Path) -> None:
    """A model folder whose weights are a pickle is refused; what is in it does not run."""
    folder, mark = tmp_path / "model", tmp_path / "ran"
    build_tiny(folder)
    assert 0 == python(LOAD, folder).code

    for weights in (folder / "vae").glob("*.safetensors"):
        weights.unlink()
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(_Trap(mark)))
    ran = python(LOAD, folder)

    assert (1, False) == (ran.code, mark.exists())
    assert "safetensors" in ran.err
