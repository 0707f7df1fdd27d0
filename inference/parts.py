"""What a server is put together from, opened before anybody is served and closed after the last."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from prometheus_client import CollectorRegistry

from inference import scoring
from inference.feedback import Feedback
from inference.instruments import Instruments
from inference.judge import Judge, scores
from inference.keys import Keys
from inference.money import Price
from inference.recorder import Recorder
from inference.sampled import Sampled
from inference.service import ImageService
from inference.shots import Darkroom
from inference.store import PictureStore
from inference.tracing import Tracer, open_tracer
from lightmeter.settings import Serve


@dataclass(frozen=True)
class Parts:
    """The parts of one server."""

    settings: Serve
    model: str
    keys: Keys
    registry: CollectorRegistry
    instruments: Instruments
    tracer: Tracer
    store: PictureStore
    recorder: Recorder
    feedback: Feedback
    judge: Judge
    scorer: Sampled | None

    @classmethod
    def open(cls, settings: Serve, model: str, environ: Mapping[str, str]) -> Self:
        """Open them; ``environ`` is asked for OpenTelemetry's standard variables.

        Raises:
            HistoryError, StoreError: the history folder or the picture store cannot be written.
            SettingError, ModelError: a file or place that a setting names cannot be used.
        """
        name, history = settings.service or model, settings.data / "history"
        keys = Keys.read(settings.keys, settings.admin_key_file)
        if settings.scorer:
            scoring.check(settings.scorer)
        registry = CollectorRegistry()
        instruments = Instruments(registry, name, model, Price.of(settings))
        store = PictureStore.of(settings)
        recorder = Recorder(history, seal_rows=settings.seal_rows, fsync=settings.fsync)
        return cls(
            settings=settings,
            model=model,
            keys=keys,
            registry=registry,
            instruments=instruments,
            tracer=open_tracer(environ, name),
            store=store,
            recorder=recorder,
            feedback=Feedback(
                history,
                is_recent=recorder.is_recent,
                observe=instruments.rated,
                search_seconds=settings.feedback_seconds,
                fsync=settings.fsync,
            ),
            judge=Judge(registry, service=name, model=model, guard=settings.guard),
            scorer=_scorer(settings, registry, name, model),
        )

    def service(self) -> ImageService:
        """Build the service; on a running event loop."""
        return ImageService(
            self.settings,
            model=self.model,
            keys=self.keys,
            instruments=self.instruments,
            recorder=self.recorder,
            store=self.store,
            darkroom=Darkroom(self.judge, self.store, self.scorer),
        )

    def close(self) -> None:
        """Close them; the history is sealed, which may take a while."""
        self.store.close()
        self.feedback.close()
        self.recorder.close()
        self.tracer.close()


def _scorer(
    settings: Serve, registry: CollectorRegistry, service: str, model: str
) -> Sampled | None:
    if settings.scorer is None:
        return None
    name = scoring.name(settings.scorer)
    found = scores(registry, service=service, model=model, scorer=name)
    chance = random.Random()  # noqa: S311  (a sample, not a secret)
    return Sampled(
        settings.scorer, share=settings.scorer_share, chance=chance, scored=found.observe
    )
