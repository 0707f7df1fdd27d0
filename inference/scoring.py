"""Scorers: optional judges with weights of their own, in a process of their own.

``python -m inference.scoring SCORER`` answers frames (`inference.wire`): in, the prompt and the
shape, with the pixels as payload; out, a score. It runs at low priority and ends when stdin closes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO, Protocol

from inference import pictures, signals, wire
from inference.engine import Pixels
from lightmeter.errors import ModelError, explain


SHARPNESS, CLIP = "sharpness", "clip"
"""Names of the scorers, as the metric's label has them."""
_NICE = 10


class Scorer(Protocol):
    """Scores a picture against its prompt."""

    def score(self, picture: Pixels, prompt: str) -> float:
        """Return 0..1 for a picture (h, w, 3) uint8; more is better."""
        ...


class SharpnessScorer:
    """A stand-in without weights: the sharpness signal, whatever the prompt."""

    def score(self, picture: Pixels, prompt: str) -> float:  # noqa: ARG002  (the protocol's)
        """Return the sharpness of the picture."""
        return signals.sharpness(signals.look(picture))


def name(scorer: Path) -> str:
    """Name a scorer for the metric's label."""
    return SHARPNESS if str(scorer) == SHARPNESS else CLIP


def check(scorer: Path) -> None:
    """Refuse what is no scorer, before any process is started for it.

    Raises:
        ModelError: naming the folder, what is missing and what to do.
    """
    if name(scorer) == SHARPNESS:
        return
    said = f"scorer {str(scorer)!r} is no CLIP model"
    advice = f"give a folder saved with save_pretrained, or {SHARPNESS!r}"
    try:
        kind = json.loads((scorer / "config.json").read_text())["model_type"]
    except OSError as error:
        raise ModelError(f"{said}: its config.json {explain(error)}; {advice}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{said}: its config.json is damaged; {advice}") from error
    if kind != CLIP:
        raise ModelError(f"{said} but {str(kind)[:40]!r}; {advice}")
    if not any(scorer.glob("*.safetensors")):
        raise ModelError(f"{said} that can be trusted: it has no .safetensors; save it as such")


def load(scorer: Path) -> Scorer:
    """Load a scorer.

    Raises:
        ModelError: it is no scorer, which is seen before seconds go into importing torch.
        OSError, ValueError: the folder is not whole; transformers says what is missing.
    """
    check(scorer)
    if name(scorer) == SHARPNESS:
        return SharpnessScorer()
    from inference.clip import ClipScorer

    return ClipScorer(scorer)


def main() -> None:
    """Load the scorer, say so, then score until stdin closes."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; the API decides
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICE)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print goes to stderr
    try:
        scorer = load(Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001  (process edge: the API logs it)
        named = "" if isinstance(error, ModelError) else f"{sys.argv[1]}: {type(error).__name__}: "
        _send(out, {"kind": "failed", "error": f"{named}{error}"})
        return
    _send(out, {"kind": "ready"})
    while (frame := wire.read_whole(sys.stdin.buffer)) is not None:
        _send(out, _answer(scorer, *frame))


def _send(out: BinaryIO, header: wire.Header) -> None:
    """Send a frame; where nobody reads any more the API process is gone, and this one ends."""
    try:
        out.write(wire.pack(header))
        out.flush()
    except BrokenPipeError:
        os._exit(1)  # no trace: nothing is wrong with the scorer


def _answer(scorer: Scorer, header: wire.Header, payload: bytes) -> wire.Header:
    try:
        score = scorer.score(pictures.from_bytes(payload, header["shape"]), header["prompt"])
    except Exception as error:  # noqa: BLE001  (process edge: one bad picture must not end it)
        return {"kind": "error", "error": f"{type(error).__name__}: {error}"}
    if not 0 <= score <= 1:
        return {"kind": "error", "error": f"the score is {score}, outside 0..1"}
    return {"kind": "score", "score": score}


if __name__ == "__main__":
    main()
