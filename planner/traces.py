"""Public traces as usage columns: what their publishers call what we know by another name. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from lightmeter.catalog import Outcome
from lightmeter.errors import HistoryError


Unit = Literal["s", "ms", "us", "ns"]
_UNITS: tuple[tuple[Unit, float], ...] = ("s", 1e11), ("ms", 1e14), ("us", 1e17)
Columns = dict[str, "pd.Series[Any]"]


@dataclass(frozen=True)
class Format:
    """A trace that is known: the columns that tell it, how they are read, what must be said of it."""

    columns: tuple[str, ...]
    convert: Callable[[pd.DataFrame, str], Columns]
    notes: tuple[str, ...] = ()


NO_TIME = "no time on a GPU is known; the planner cannot price these rows"
_GENTD26_OUTCOMES = {"SUCCEED": Outcome.OK, "FAILED": Outcome.ERROR}
"""PENDING and PROCESSING had not ended: their outcome and time are unknown."""


def _gentd26(frame: pd.DataFrame, where: str) -> Columns:
    """Map the request log of https://github.com/alibaba/clusterdata cluster-trace-v2026-GenAI.

    The service is the checkpoint, the tenant the group. ``exec_time_seconds`` is seen from the
    client: it holds queueing and LoRA loading, and overstates the time on the GPU.
    """
    outcome = frame["predict_status"].map(_GENTD26_OUTCOMES)
    seconds = _number(frame, "exec_time_seconds", where).where(outcome.notna())
    return {
        "arrived_at": _time(frame, "gmt_create", where),
        "service": frame["checkpoint_model_version_id"],
        "model": frame["checkpoint_model_version_id"],
        "tenant": frame["groupId"],
        "images": _number(frame, "num_images_per_prompt", where),
        "forwards": _number(frame, "num_inference_steps", where),
        "loras": _number(frame, "num_lora", where),
        "service_seconds": seconds,
        "total_seconds": seconds,
        "outcome": outcome,
    }


def _azure_llm(frame: pd.DataFrame, where: str) -> Columns:
    """Map https://github.com/Azure/AzurePublicDataset, AzureLLMInferenceTrace: arrivals alone."""
    return {"arrived_at": _time(frame, "TIMESTAMP", where)}


def _katz(frame: pd.DataFrame, where: str) -> Columns:
    """Map the trace of https://github.com/modelscope/Katz: its scene is a service.

    ``ip`` names the serving machine, so the tenant is unknown. A null list of LoRAs is an empty one,
    as the publisher's own scripts count it.
    """
    return {
        "arrived_at": _time(frame, "timestamp", where),
        "service": _text(frame["scene_id"]),
        "model": _text(frame["base_model_id"]),
        "loras": frame["loras"].map(_count),
    }


def _diffusiondb(frame: pd.DataFrame, where: str) -> Columns:
    """Map the metadata of https://github.com/poloclub/diffusiondb: a row is one picture that exists."""
    return {
        "arrived_at": _time(frame, "timestamp", where),
        "tenant": _text(frame["user_name"]),
        "width": _number(frame, "width", where),
        "height": _number(frame, "height", where),
        "forwards": _number(frame, "step", where),
        "images": pd.Series(1, index=frame.index),
        "outcome": pd.Series(str(Outcome.OK), index=frame.index),
    }


def _time(frame: pd.DataFrame, name: str, where: str) -> pd.Series[Any]:
    column = frame[name]
    try:
        if pd.api.types.is_numeric_dtype(column):
            return pd.to_datetime(column, utc=True, unit=unit_of(column))
        return pd.to_datetime(column, utc=True, format="mixed")
    except (ValueError, TypeError, OverflowError) as error:
        raise HistoryError(f"{where}: {name}: {' '.join(str(error).split())[:120]}") from error


def unit_of(numbers: pd.Series[float]) -> Unit:
    """Tell Unix seconds from milli-, micro- and nanoseconds: by what lies in this millennium."""
    largest = float(numbers.abs().max())
    return next((unit for unit, most in _UNITS if largest < most), "ns")


def _number(frame: pd.DataFrame, name: str, where: str) -> pd.Series[Any]:
    try:
        return pd.to_numeric(frame[name]).astype(float)
    except (ValueError, TypeError) as error:
        raise HistoryError(f"{where}: {name}: {' '.join(str(error).split())[:120]}") from error


def _text(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.map(str, na_action="ignore")


def _count(value: object) -> int:
    """Count a list, or one that a CSV holds as text; null is an empty one."""
    if isinstance(value, str):
        try:
            value = json.loads(value.replace("'", '"'))
        except ValueError:
            return len([part for part in str(value).strip("[]() ").split(",") if part.strip()])
    if isinstance(value, list | tuple | dict):
        return len(value)
    return 0 if value is None or value != value else 1  # noqa: PLR0124  (NaN alone differs from itself)


FORMATS: dict[str, Format] = {
    "gentd26": Format(
        (
            "gmt_create",
            "predict_status",
            "exec_time_seconds",
            "groupId",
            "num_images_per_prompt",
            "num_inference_steps",
            "checkpoint_model_version_id",
            "num_lora",
        ),
        _gentd26,
    ),
    "azure-llm": Format(
        ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
        _azure_llm,
        (
            "these are requests to a language model, not for pictures: only their arrivals are imported, and they are no image demand",
            "times without a zone are taken to be UTC",
            NO_TIME,
        ),
    ),
    "katz": Format(
        ("timestamp", "scene_id", "base_model_id", "controlnets", "loras"), _katz, (NO_TIME,)
    ),
    "diffusiondb": Format(
        ("timestamp", "user_name", "step", "width", "height"),
        _diffusiondb,
        ("each row is one picture; requests for several are not known as such", NO_TIME),
    ),
}
