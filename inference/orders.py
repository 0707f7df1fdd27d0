"""What a client may ask for, checked before any memory is touched."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
    WithJsonSchema,
)

from inference import loras
from inference.engine import Job
from lightmeter.catalog import Priority
from lightmeter.errors import InputError, nearest
from lightmeter.settings import Serve
from lightmeter.units import STEP_OF_SIDE


SHOWN = 80
"""Characters of what a client sent that an error repeats."""
_SIZE = re.compile(r"(\d{1,9})x(\d{1,9})", re.ASCII)


class ImageRequest(BaseModel):
    """Body of ``POST /v1/images/generations``: OpenAI's fields and the usual extensions."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: StrictStr = Field(description="What to show.")
    model: StrictStr | None = Field(None, description="Name of the served model, or nothing.")
    n: int | None = Field(None, ge=1, description="Pictures; 1 by default.")
    size: StrictStr | None = Field(
        None, description="WIDTHxHEIGHT in pixels, multiples of 16, or 'auto'."
    )
    response_format: Literal["b64_json", "url"] | None = Field(
        None, description="How the pictures are returned: as text, by default, or as addresses."
    )
    output_format: Literal["png", "jpeg", "webp"] | None = Field(
        None, description="File format; png by default."
    )
    user: StrictStr | None = Field(
        None, max_length=256, description="The client's own user id; counted, not stored."
    )
    stream: bool | None = Field(
        None, description="Tell of the progress by server-sent events, then the result."
    )
    negative_prompt: StrictStr | None = Field(
        None, description="What not to show; needs guidance_scale above 0."
    )
    num_inference_steps: int | None = Field(None, ge=1, description="Denoise steps.")
    guidance_scale: Annotated[float, Field(ge=0, le=30, allow_inf_nan=False)] | None = Field(
        None, description="0 by default, as the distilled model wants."
    )
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="Picture i uses seed + i; random by default."
    )
    lora: StrictStr | None = Field(None, description="Name of a LoRA that this server offers.")
    lora_scale: Annotated[float, Field(ge=-4, le=4, allow_inf_nan=False)] | None = Field(
        None, description="Strength of the LoRA; 1 by default."
    )
    priority: (
        Annotated[Priority, WithJsonSchema({"type": "string", "enum": list(Priority)})] | None
    ) = Field(None, strict=False, description="interactive by default.")


class InvalidRequest(InputError):  # noqa: N818  (an answer, not a fault)
    """A request that cannot be served as asked; ``field`` is the culprit."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Order:
    """A valid request: the job, and how its pictures are wanted."""

    job: Job
    priority: Priority
    output_format: str
    as_url: bool = False
    stream: bool = False
    user: str | None = None


def read_order(body: bytes, limits: Serve, *, model: str, default_side: int | None) -> Order | None:
    """Parse and check a request body; None where it names no size and the default is not known yet.

    Raises:
        InvalidRequest: naming the field, the value and the limit.
    """
    try:
        asked = ImageRequest.model_validate_json(body)
    except ValidationError as error:
        raise explained(error.errors()[0], ImageRequest) from error
    if asked.model not in (None, model):
        raise InvalidRequest(
            "model", f"model is {(asked.model or '')[:SHOWN]!r}; this server serves {model!r}"
        )
    for field in ("prompt", "negative_prompt"):
        _check_text(field, getattr(asked, field) or "", limits.max_prompt_chars)
    steps = asked.num_inference_steps or min(limits.steps, limits.max_steps)
    check_most("num_inference_steps", steps, limits.max_steps)
    check_most("n", asked.n or 1, limits.max_images)
    check_most("seed", (asked.seed or 0) + (asked.n or 1) - 1, 2**63 - 1)
    _check_lora(asked.lora, asked.lora_scale, limits.loras)
    size = _size(asked.size, limits.max_side, default_side)
    if size is None:
        return None
    job = Job(
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt,
        width=size[0],
        height=size[1],
        images=asked.n or 1,
        steps=steps,
        guidance=asked.guidance_scale or 0.0,
        seed=secrets.randbits(32) if asked.seed is None else asked.seed,
        lora=None if asked.lora_scale == 0 else asked.lora,
        lora_scale=asked.lora_scale or 1.0,
    )
    return Order(
        job,
        asked.priority or Priority.INTERACTIVE,
        asked.output_format or "png",
        as_url=asked.response_format == "url",
        stream=asked.stream or False,
        user=asked.user,
    )


def explained(first: Any, kind: type[BaseModel]) -> InvalidRequest:
    """Say in one line what pydantic found first in a body of some kind."""
    field = ".".join(str(part) for part in first["loc"])[:SHOWN] or "body"
    if first["type"] == "extra_forbidden":
        return InvalidRequest(
            field, f"{field} is no field of this request{nearest(field, kind.model_fields)}"
        )
    shown = (
        ""
        if first["type"] in ("missing", "json_invalid")
        else f" is {str(first['input'])[:SHOWN]!r}"
    )
    return InvalidRequest(field, f"{field}{shown}: {first['msg'].lower()}")


def _check_text(field: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise InvalidRequest(
            field, f"{field} has {len(text)} characters; at most {longest} are allowed"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            field, f"{field} has a lone surrogate at character {error.start}; send valid Unicode"
        ) from error


def check_most(field: str, value: int, most: int) -> None:
    """Refuse a number beyond a bound.

    Raises:
        InvalidRequest: naming the field, the value and the bound.
    """
    if value > most:
        raise InvalidRequest(field, f"{field} is {str(value)[:SHOWN]}; at most {most} are allowed")


def _check_lora(name: str | None, scale: float | None, folder: Path | None) -> None:
    if name is None:
        if scale is not None:
            raise InvalidRequest("lora_scale", f"lora_scale is {scale:g}, but no lora is named")
        return
    try:
        loras.check(folder, name)
    except InputError as error:
        raise InvalidRequest("lora", str(error)) from error


def _size(text: str | None, max_side: int, default_side: int | None) -> tuple[int, int] | None:
    if text is None or text == "auto":
        side = min(default_side or 0, max_side // STEP_OF_SIDE * STEP_OF_SIDE)
        return (side, side) if side else None
    match = _SIZE.fullmatch(text)
    if not match:
        raise InvalidRequest("size", f"size is {text[:SHOWN]!r}; write it like 1024x1024")
    width, height = int(match[1]), int(match[2])
    for side in (width, height):
        if side % STEP_OF_SIDE or not STEP_OF_SIDE <= side <= max_side:
            raise InvalidRequest(
                "size",
                f"size is {text!r}; each side must be a multiple of {STEP_OF_SIDE} from {STEP_OF_SIDE} to {max_side}",
            )
    return width, height
