"""What is asked for: shapes, prompts and priorities, as request bodies. Pure."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.load.arrivals import Arrival
from lightmeter.catalog import Priority
from lightmeter.errors import InputError, SettingError, explain


PROMPTS = (
    "a red fox in fresh snow, morning light",
    "an old lighthouse in a storm, oil painting",
    "雨夜里的一家面馆, 霓虹灯",
    "a glass teapot on a wooden table, macro photograph",
    "a city of paper boats seen from above",
    "两只熊猫在竹林里下棋",
)
SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
_SHAPE = re.compile(SIZE.pattern + r"(?::(\d{1,4}))?(?:@(\d{1,6}(?:\.\d{1,6})?))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shape:
    """A picture to ask for: pixels, denoise steps (None: the server's default), weight in the mix."""

    width: int
    height: int
    steps: int | None = None
    weight: float = 1.0


def parse_shape(text: str) -> Shape:
    """Read ``512x512``, ``512x512:8`` (steps) or ``512x512:8@0.2`` (weight).

    Raises:
        SettingError: the text is none of these, or asks for nothing.
    """
    match = _SHAPE.fullmatch(text.strip())
    if match:
        width, height, steps, weight = match.groups()
        shape = Shape(int(width), int(height), int(steps) if steps else None, float(weight or 1))
        if shape.width and shape.height and shape.weight and shape.steps != 0:
            return shape
    raise SettingError(
        f"shape {text!r} is not understood; write it like 512x512, 512x512:8 or 512x512:8@0.2 (size, steps, weight)"
    )


def read_prompts(path: Path) -> tuple[str, ...]:
    """Read the prompts of a text file, one on each line.

    Raises:
        InputError: it cannot be read or has no prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"prompts {str(path)!r} {explain(error)}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"prompts {str(path)!r} is no UTF-8 text: {error}") from error
    found = tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise InputError(f"prompts {str(path)!r} has no line with a prompt")
    return found


@dataclass(frozen=True, kw_only=True)
class Mix:
    """What requests ask for where their arrival does not say.

    ``images`` is pictures for each request; without shapes the server's own size is taken. A
    ``batch_share`` of the requests has batch priority and the others interactive; None names none.
    ``picture_seeds`` gives each request a seed, so that no two are the same.
    """

    shapes: tuple[Shape, ...] = ()
    prompts: tuple[str, ...] = PROMPTS
    model: str = ""
    images: int = 1
    priority: Priority | None = None
    batch_share: float | None = None
    picture_seeds: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: when it is due, seconds after the start, its JSON body, and what that says."""

    at: float
    body: bytes
    width: int | None
    height: int | None
    steps: int | None
    images: int
    priority: Priority | None


def asks(arrivals: Iterable[Arrival], mix: Mix, seed: int) -> Iterator[Ask]:
    """Give each arrival its request; the same seed asks for the same.

    Only what was said to be asked for is in the body, so that endpoints which know OpenAI's fields
    alone can be asked too.
    """
    chance = random.Random(f"asks {seed}")  # noqa: S311  (a load, not a secret)
    weights = [shape.weight for shape in mix.shapes]
    for arrival in arrivals:
        shape = chance.choices(mix.shapes, weights)[0] if mix.shapes else None
        drawn = {
            "prompt": arrival.prompt or chance.choice(mix.prompts),
            "priority": _priority(mix, chance) or arrival.priority,
            "seed": chance.randrange(2**31) if mix.picture_seeds else None,
        }
        yield _ask(arrival, mix, shape, drawn)


def _priority(mix: Mix, chance: random.Random) -> Priority | None:
    if mix.batch_share is None:
        return mix.priority
    return Priority.BATCH if chance.random() < mix.batch_share else Priority.INTERACTIVE


def _ask(arrival: Arrival, mix: Mix, shape: Shape | None, drawn: Mapping[str, Any]) -> Ask:
    if shape is None and arrival.width and arrival.height:
        shape = Shape(arrival.width, arrival.height, arrival.steps)
    steps = shape.steps if shape else arrival.steps
    images = arrival.images or mix.images
    fields = {
        **drawn,
        "model": mix.model or None,
        "size": f"{shape.width}x{shape.height}" if shape else None,
        "num_inference_steps": steps,
        "n": images if images != 1 else None,
    }
    body = json.dumps({name: value for name, value in fields.items() if value is not None})
    return Ask(
        at=arrival.at,
        body=body.encode(),
        width=shape.width if shape else None,
        height=shape.height if shape else None,
        steps=steps,
        images=images,
        priority=drawn["priority"],
    )
