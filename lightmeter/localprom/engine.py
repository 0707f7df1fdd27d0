"""Everything of localprom in one event loop: scrape, evaluate, tell, forget, answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette

from lightmeter import secret
from lightmeter.errors import HistoryError, SettingError
from lightmeter.localprom import archive, notify, resume, rules
from lightmeter.localprom.api import Api
from lightmeter.localprom.archive import Archive
from lightmeter.localprom.evaluate import Options
from lightmeter.localprom.keep import Keeper
from lightmeter.localprom.rules import Rules
from lightmeter.localprom.scrape import Clock, Scraper, Target, follow
from lightmeter.localprom.store import Store


_FORGET_SECONDS = 60.0
_POST_SECONDS = 5.0
Alerts = list[dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """What to scrape, keep and evaluate; without a folder nothing outlives the process."""

    targets: Sequence[Target] = ()
    rule_files: Sequence[Path] = ()
    folder: Path | None = None
    retention_seconds: float = 3 * 86_400.0
    most_series: int = 50_000
    rule_interval_seconds: float = 15.0
    alertmanager_url: str = ""
    webhook_url: str = ""
    """Told of the alerts that concern scaling, as Alertmanager tells its receivers."""
    webhook_token_file: Path | None = None
    """Its first token is shown there; read again for each message, so that it can be changed."""


class Engine:
    """Holds all parts; `run` is their life.

    ``said`` hears in one line what an operator should know; ``tell`` gets the alerts after each
    evaluation, as Alertmanager would.
    """

    def __init__(self, plan: Plan, *, said: Callable[[str], None], tell: Callable[[Alerts], None] | None = None) -> None:  # fmt: skip
        """Read what the folder holds, and the rules.

        Raises:
            HistoryError: the folder cannot be used.
            RuleError: a rule file cannot be used.
            SettingError: the file of the token cannot be used.
        """
        secret.first(plan.webhook_token_file)
        self.plan = plan
        self._said = said
        self._complaints: dict[str, str] = {}
        self._tell = tell
        store = Store(retention_ms=round(plan.retention_seconds * 1000), most_series=plan.most_series)  # fmt: skip
        for line in archive.load(plan.folder, store) if plan.folder else ():
            said(line)
        before = resume.left(store)
        store.end()  # an instance of before may never be scraped again
        self._archive = Archive(plan.folder) if plan.folder else None
        self.keeper = Keeper(store, self._archive)
        step = Options(inner_step_ms=round(plan.rule_interval_seconds * 1000))
        groups = [group for path in plan.rule_files for group in rules.load(path)]
        self.rules = Rules(groups, store, self.keeper.write, options=step, before=before)
        self._client = httpx.AsyncClient(trust_env=False, timeout=_POST_SECONDS)
        self.scrapers = [Scraper(target, self.keeper, self._client) for target in plan.targets]
        self.api = Api(self.keeper, rules=self.rules, targets=[each.state for each in self.scrapers], options=step)  # fmt: skip

    def app(self) -> Starlette:
        """Make the application that answers as Prometheus does."""
        return self.api.app()

    async def run(self, *, clock: Clock = time.time) -> None:
        """Work until cancelled, then close what is open."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for scraper in self.scrapers:
                    tasks.create_task(follow(scraper, self._said, clock=clock))
                tasks.create_task(self._evaluating(clock))
                tasks.create_task(self._forgetting(clock))
        finally:
            await self._client.aclose()
            if self._archive is not None:
                self._archive.close()

    async def _evaluating(self, clock: Clock) -> None:
        while True:
            await asyncio.sleep(self.plan.rule_interval_seconds)
            await self.evaluate(round(clock() * 1000))

    async def evaluate(self, now_ms: int) -> None:
        """Evaluate all rules once and tell what fires or has ended."""
        try:
            self.rules.evaluate(now_ms)
        except HistoryError as error:
            self._said(str(error))
        interval = round(self.plan.rule_interval_seconds * 1000)
        alerts = rules.posted(self.rules, now_ms, interval_ms=interval)
        if self._tell is not None:
            self._tell(alerts)
        if self.plan.alertmanager_url and alerts:
            await self._post(f"{self.plan.alertmanager_url.rstrip('/')}/api/v2/alerts", alerts)
        message = notify.message(alerts, now_ms)
        if self.plan.webhook_url and message["alerts"]:
            await self._post(self.plan.webhook_url, message, self.plan.webhook_token_file)

    async def _post(self, url: str, told: Any, token_file: Path | None = None) -> None:
        """Tell an address; say once what is in the way, and when it no longer is."""
        complaint = await self._complaint(url, told, token_file)
        if complaint != self._complaints.get(url, ""):
            self._said(complaint or f"{url} takes alerts again")
        self._complaints[url] = complaint

    async def _complaint(self, url: str, told: Any, token_file: Path | None) -> str:
        try:
            shown = secret.bearer(secret.first(token_file))
            answer = await self._client.post(url, json=told, headers=shown)
        except (httpx.HTTPError, SettingError) as error:
            return f"{url} cannot be told of alerts: {str(error) or type(error).__name__}"
        if not answer.is_error:
            return ""
        return f"{url} answers {answer.status_code} to alerts: {answer.text[:200]}"

    async def _forgetting(self, clock: Clock) -> None:
        while True:
            await asyncio.sleep(_FORGET_SECONDS)
            self.keeper.forget(round(clock() * 1000))
