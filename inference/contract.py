"""What each route takes and answers, for ``/openapi.json``: the one table of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from inference.feedback import RatingRequest
from inference.limits import LimitsChange
from inference.orders import ImageRequest
from lightmeter.catalog import Anomaly, WorkerState


JSON = "application/json"
KEY = Security(HTTPBearer(auto_error=False, description="An API key, where the server has keys."))
"""Says that a route may ask for a key; `inference.keys` is who asks."""


TAKEN = (ImageRequest, RatingRequest, LimitsChange)
"""Models of request bodies."""
_REF = "#/components/schemas/{model}"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", use_enum_values=True)


class ErrorFacts(_Body):
    """What went wrong."""

    message: str = Field(description="One line: what is wrong, the value, what to do.")
    type: str
    param: str | None = Field(description="The field at fault.")
    code: str = Field(description="The status.")


class ErrorAnswer(_Body):
    """Every error, OpenAI-shaped."""

    error: ErrorFacts


class Usage(_Body):
    """What a request used."""

    gpu_seconds: float = Field(description="Its own share of its batch.")
    forwards: int = Field(description="Passes of the transformer, executed for each picture.")
    batch_size: int = Field(description="Requests that rode together.")
    energy_joules: float | None = None


class Finding(_Body):
    """What the guards saw in a picture."""

    anomalies: list[Anomaly]
    signals: dict[str, float]


class PictureFacts(_Body):
    """One picture, as base64 text or as an address."""

    seed: int
    b64_json: str | None = None
    url: str | None = None


class PicturesAnswer(_Body):
    """The pictures of a request."""

    id: str
    created: int = Field(description="Seconds since 1970.")
    model: str
    size: str
    output_format: str
    usage: Usage
    timings: dict[str, float] = Field(description="Seconds by stage, and their total.")
    quality: list[Finding] | None = None
    cost: float | None = None
    currency: str | None = None
    data: list[PictureFacts]


class Event(_Body):
    """One of the server-sent events of a stream; ``data`` is JSON."""

    event: Literal["image_generation.progress", "image_generation.completed", "error"]
    data: str


class Step(_Body):
    """How far the denoising is."""

    step: int
    steps: int


class JobAnswer(_Body):
    """How a job is."""

    id: str
    object: str
    status: str
    created: int
    finished: int | None = None
    predicted_wait_seconds: float | None = None
    progress: Step | None = None
    result: PicturesAnswer | None = None
    error: ErrorFacts | None = None
    status_code: int | None = None
    retry_after: int | None = None


class RatingAnswer(_Body):
    """A rating that was taken."""

    request_id: str
    score: int
    tags: list[str]


class ModelFacts(_Body):
    """A model that is served."""

    id: str
    object: str
    created: int
    owned_by: str
    loras: list[str]


class ModelsAnswer(_Body):
    """The models that are served."""

    object: str
    data: list[ModelFacts]


class LimitsAnswer(_Body):
    """The limits in force."""

    concurrency: int
    queue: int
    batch: int
    max_wait: float
    wake: bool


class WorkerFacts(_Body):
    """One worker."""

    id: str
    state: WorkerState
    state_seconds: float
    start_seconds_left: float | None
    pid: int | None
    index: int
    batches: int
    deaths: int
    device: str | None
    gpu_name: str | None
    gpu_uuid: str | None


class WorkersAnswer(_Body):
    """The workers."""

    workers: list[WorkerFacts]
    in_flight: int


class HealthAnswer(_Body):
    """The process lives."""

    status: str


class ReadyAnswer(_Body):
    """Whether requests are let in, whether one would have a worker started, the workers by state."""

    ready: bool
    wakes: bool
    workers: dict[WorkerState, int]


class VersionAnswer(_Body):
    """What is running."""

    version: str
    model: str
    service: str
    replica: str = Field(description="Its name in job ids.")


_WHOLE = {"schema": {"type": "integer", "minimum": 1}}
_RETRY = {"Retry-After": {"description": "Seconds after which to ask again.", **_WHOLE}}
_CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string"}}}
_ERRORS: dict[int, tuple[str, Mapping[str, Any]]] = {
    401: ("No key, or an unknown one.", _CHALLENGE),
    403: ("The key is no admin's; or a page of another site asks, and no keys are needed.", {}),
    404: ("It is not here.", {}),
    408: ("The body did not come in time.", {}),
    413: ("The body is too large.", {}),
    422: ("A parameter is invalid or over a limit.", {}),
    429: ("The queue is full, or the key's rate is used up.", _RETRY),
    502: ("A guard refused the picture.", {}),
    503: ("The model loads, the server ends, or the request could not be made or kept.", _RETRY),
    504: ("Not done in time.", _RETRY),
    507: ("It does not fit the device's memory.", {}),
}
READING = (408, 413, 422)
"""What may be wrong with a body."""
MAKING = (401, 403, *READING, 429, 502, 503, 504, 507)
"""What may become of a request for pictures."""


def route(
    summary: str,
    *errors: int,
    ok: type[BaseModel] | Mapping[str, Any],
    status: int = 200,
    takes: type[BaseModel] | None = None,
    key: bool = True,
) -> dict[str, Any]:
    """Describe a route: what FastAPI's decorators are given beside its path.

    ``ok`` is what it answers when all is well, a model or OpenAI's response object; ``takes`` the
    model of its body; ``key`` whether it may ask for one.
    """
    done = {"model": ok} if isinstance(ok, type) else dict(ok)
    failed = {
        error: {
            "model": ErrorAnswer,
            "description": _ERRORS[error][0],
            "headers": _ERRORS[error][1],
        }
        for error in errors
    }
    body = {"content": {JSON: {"schema": {"$ref": _REF.format(model=takes.__name__)}}}, "required": True} if takes else None  # fmt: skip
    return {
        "summary": summary,
        "status_code": status,
        "response_model": None,  # what is answered is not made by FastAPI, only told
        "responses": {status: {"description": summary, **done}, **failed},
        "openapi_extra": {"requestBody": body} if body else None,
        "dependencies": [KEY] if key else None,
    }


class Described(FastAPI):
    """An application whose description names nothing that it does not do."""

    def openapi(self) -> dict[str, Any]:
        """Describe the routes, without the errors that FastAPI would give: we read the bodies."""
        schema = super().openapi()
        named = schema["components"]["schemas"]
        _, taken = models_json_schema([(one, "validation") for one in TAKEN], ref_template=_REF)
        named |= taken["$defs"]
        for surplus in ("HTTPValidationError", "ValidationError"):
            named.pop(surplus, None)
        for operation in (one for path in schema["paths"].values() for one in path.values()):
            told = operation["responses"].get("422", {}).get("content", {}).get(JSON, {})
            if told.get("schema", {}).get("$ref", "").endswith("/HTTPValidationError"):
                del operation["responses"]["422"]
        return schema
