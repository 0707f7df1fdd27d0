"""This month against the last plan: what changed, and whether its saving came. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lightmeter.errors import PlanError, explain


SCHEMA = 1


def load(path: Path) -> dict[str, Any]:
    """Read a plan.json of before.

    Raises:
        PlanError: unreadable, or no plan of ours.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(
            f"previous plan {str(path)!r} {explain(error)}; name a plan.json"
        ) from error
    except (ValueError, RecursionError) as error:
        raise PlanError(f"previous plan {str(path)!r} is no JSON; name a plan.json") from error
    keys = {"schema", "options", "recommendation", "generated_from", "currency"}
    if not isinstance(found, dict) or not keys <= found.keys() or found["schema"] != SCHEMA:
        raise PlanError(f"previous plan {str(path)!r} is no plan.json of schema {SCHEMA}")
    return found


def held_gpu_hours(frame: pd.DataFrame, gpus: float | None, month_hours: float) -> float | None:
    """GPU-hours that were really held in a month: the GPUs seen on each day, or those stated.

    A GPU that served nobody all day is not seen. None where neither is known.
    """
    if gpus is not None:
        return gpus * month_hours
    seen = frame[frame["gpu_uuid"].notna()]
    if seen.empty:
        return None
    by_day = seen["gpu_uuid"].groupby(seen["arrived_at"].dt.floor("D")).nunique()
    days = (by_day.index[-1] - by_day.index[0]).days + 1
    return float(by_day.sum()) / float(days) * month_hours


def compare(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    *,
    gpu_hours: float | None,
    price_per_hour: float,
) -> dict[str, Any]:
    """Return the ``previous`` of plan.json. ``gpu_hours`` were held in a month like this one.

    Raises:
        PlanError: the plans are in different currencies.
    """
    if before["currency"] != now["currency"]:
        raise PlanError(
            f"the previous plan is in {before['currency']}, this one in {now['currency']}; nothing is converted"
        )
    return {
        "month": before.get("month"),
        "advice": _advice(before),
        "advice_changed": _advice(before) != _advice(now),
        "load": _change(before["generated_from"], now["generated_from"], "busy_gpus_mean"),
        "requests_per_day": {
            "before": _per_day(before),
            "now": _per_day(now),
        },
        "options": _options(before, now),
        "saving": _saving(before, gpu_hours, price_per_hour),
    }


def _advice(plan: Mapping[str, Any]) -> str | None:
    index = plan["recommendation"].get("option")
    return None if index is None else _name(plan["options"][index])


def _name(option: Mapping[str, Any]) -> str:
    return str(option.get("name") or option["kind"])


def _change(before: Mapping[str, Any], now: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {"before": before.get(key), "now": now.get(key)}


def _per_day(plan: Mapping[str, Any]) -> float | None:
    evidence = plan["generated_from"]
    seconds = evidence.get("span_seconds") or 0.0
    return round(evidence["requests"] / seconds * 86_400, 3) if seconds else None


def _options(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    costs = {_name(option): option["monthly_cost"] for option in before["options"]}
    return [
        {
            "name": _name(option),
            "monthly_cost_before": costs.get(_name(option)),
            "monthly_cost_now": option["monthly_cost"],
        }
        for option in now["options"]
    ]


def _saving(before: Mapping[str, Any], gpu_hours: float | None, price: float) -> dict[str, Any]:
    """Set what the advice promised against what was spent; all of a month."""
    index = before["recommendation"].get("option")
    if index is None:
        return {"reason": "the previous plan gave no advice"}
    dedicated = next((o["monthly_cost"] for o in before["options"] if o["kind"] == "dedicated"), None)  # fmt: skip
    advised = before["options"][index]["monthly_cost"]
    promised = {"dedicated_cost": dedicated, "advised_cost": advised, "promised_ratio": before["recommendation"].get("saving_ratio")}  # fmt: skip
    if gpu_hours is None or not dedicated:
        return promised | {
            "reason": "the rows name no GPUs, so what was held is not known; --held-gpus states it"
        }
    spent = round(gpu_hours * price, 2)
    realised = round(1 - spent / dedicated, 6)
    share = None if dedicated == advised else round((dedicated - spent) / (dedicated - advised), 6)
    return promised | {
        "gpu_hours_held": round(gpu_hours, 3),
        "spent": spent,
        "realised_ratio": realised,
        "share_of_promise": share,
        "reason": "GPUs seen at work on each day, at the price of this plan; one that served nobody all day is not seen",
    }
