"""The scaler's metrics, and the words by which alerts reach it."""

from __future__ import annotations

from enum import StrEnum

from lightmeter.catalog.metric import COLD_START_BUCKETS, C, G, H, Metric, metric


SCALING_LABEL = "scaling"
"""On an alert that the scaler has to know of."""
ACTION_LABEL = "action"
"""On an alert of the pack `classic`, whose rules scale by themselves."""


class Scaling(StrEnum):
    """What an alert may do to the scaler: keep up a floor, or keep it from scaling down."""

    RAISE = "raise"
    FREEZE = "freeze"


class ScaleAction(StrEnum):
    """What an alert of the pack `classic` asks for: one replica more, or one less."""

    UP = "scale_up"
    DOWN = "scale_down"


class AlertResult(StrEnum):
    """What became of an alert in a message of Alertmanager."""

    BEGAN = "began"
    REPEATED = "repeated"
    ENDED = "ended"
    OVER = "over"
    DROPPED = "dropped"
    TRUNCATED = "truncated"


class PostResult(StrEnum):
    """What became of a message of Alertmanager."""

    TAKEN = "taken"
    UNAUTHORIZED = "unauthorized"
    INVALID = "invalid"
    TOO_LARGE = "too_large"
    UNAVAILABLE = "unavailable"


def _own(name: str, unit: str, text: str, results: type[StrEnum]) -> Metric:
    """Make a counter of the scaler itself, which belongs to no target."""
    return Metric(name, C, unit, text, "scaler", ("result",), (("result", tuple(results)),))


# fmt: off
DESIRED_REPLICAS = metric("scaler", "lightmeter_desired_replicas", G, "replicas", "Replicas that the decision asks for.")
READY_REPLICAS = metric("scaler", "lightmeter_ready_replicas", G, "replicas", "Replicas that can serve.")
STARTING_REPLICAS = metric("scaler", "lightmeter_starting_replicas", G, "replicas", "Replicas ordered and not yet ready.")
DECISIONS = metric("scaler", "lightmeter_decisions_total", C, "decisions", "Scaling decisions, by what was done (or advised) and the term that decided; one that repeats the one before counts as a hold.", "action", "term")
SIGNAL_AGE = metric("scaler", "lightmeter_signal_age_seconds", G, "seconds", "Age of each observed signal.", "signal")
COLD_START = metric("scaler", "lightmeter_cold_start_seconds", H, "seconds", "From ordering a replica to its being ready.", buckets=COLD_START_BUCKETS)
TARGET_ASKS = metric("scaler", "lightmeter_scaler_target_asks_total", C, "questions", "What the scaler asked of its target (to count its replicas, to have another number of them), by what came of it.", "ask", "answer")
WEBHOOK_POSTS = _own("lightmeter_scaler_webhook_posts_total", "messages", "Messages of Alertmanager, by what became of them.", PostResult)
WEBHOOK_ALERTS = _own("lightmeter_scaler_webhook_alerts_total", "alerts", "Alerts in messages that were taken: began, ended; repeated while they hold; over already when they came; dropped since there are too many; truncated by Alertmanager.", AlertResult)
# fmt: on
