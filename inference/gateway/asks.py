"""What a request asks for, as far as a gateway has to know: its size, its class, its user.

The replicas look at everything once more, with limits of their own. What no replica would take is
refused here, so that nonsense neither waits nor wakes anybody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import ValidationError

from inference.engine import Job
from inference.orders import SHOWN, ImageRequest, InvalidRequest, check_most, explained
from lightmeter.catalog import Priority
from lightmeter.settings import Serve
from lightmeter.settings_gateway import Gateway


_MOST = {
    name: next(one.le for one in Serve.model_fields[name].metadata if hasattr(one, "le"))
    for name in ("max_images", "max_steps", "max_side")
}
"""What a server can be set to allow at most: beyond that none takes a request, and its work would
only spoil the sums."""
_SIZE = re.compile(r"([1-9]\d{0,5})x([1-9]\d{0,5})", re.ASCII)


@dataclass(frozen=True)
class Ask:
    """A request for pictures; ``job`` stands for its size, and nobody makes it here."""

    job: Job
    priority: Priority
    user: str | None


def read(body: bytes, settings: Gateway) -> Ask:
    """Understand a request's body.

    Raises:
        InvalidRequest: no server would take it; naming the field and the value.
    """
    try:
        asked = ImageRequest.model_validate_json(body)
    except ValidationError as error:
        raise explained(error.errors()[0], ImageRequest) from error
    images, steps = asked.n or 1, asked.num_inference_steps or settings.steps
    check_most("n", images, _MOST["max_images"])
    check_most("num_inference_steps", steps, _MOST["max_steps"])
    width, height = _size(asked.size, settings.side)
    job = Job(
        prompt="",
        negative_prompt=None,
        width=width,
        height=height,
        images=images,
        steps=steps,
        guidance=asked.guidance_scale or 0.0,
        seed=0,
        lora=asked.lora,
        lora_scale=asked.lora_scale or 1.0,
    )
    return Ask(job, asked.priority or Priority.INTERACTIVE, asked.user)


def _size(text: str | None, side: int) -> tuple[int, int]:
    if text is None or text == "auto":
        return side, side
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidRequest("size", f"size is {text[:SHOWN]!r}; write it like 1024x1024")
    width, height = int(match[1]), int(match[2])
    check_most("size", max(width, height), _MOST["max_side"])
    return width, height
