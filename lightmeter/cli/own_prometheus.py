"""Whether a Prometheus of one's own has what ``lightmeter up`` needs, and what to do where it has not."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx

from lightmeter import secret
from lightmeter.cli.house import House
from lightmeter.cli.own_files import ALERTING, ALERTMANAGER, ANYWHERE, TARGETS, WHOLE, Files, write
from lightmeter.listening import LOOPBACK
from lightmeter.trust import believe
from lightmeter.units import without_password


LOOK_SECONDS = 5.0
_CONTAINERS = "host.docker.internal", "host.containers.internal"
_LIFECYCLE = "web.enable-lifecycle"


@dataclass(frozen=True)
class Seen:
    """What a Prometheus has of ours."""

    unreachable: str = ""
    """Why it could not be asked; the rest is not known then."""
    missing: tuple[str, ...] = ()
    """Jobs that it does not scrape."""
    waiting: tuple[str, ...] = ()
    """Jobs that it will scrape in a moment."""
    down: tuple[tuple[str, str], ...] = ()
    """Jobs that it cannot scrape, each with its reason."""
    rules_missing: int = 0
    """Groups of rules that it does not have."""
    named: bool = False
    """Whether its configuration names our file of targets."""
    alertmanager: bool | None = None
    """Whether it tells an Alertmanager of alerts; None where it does not say."""
    config: str = ""
    """File of its configuration, where it says so."""
    lifecycle: bool = False
    """Whether it reloads when it is asked to over HTTP."""

    @property
    def complete(self) -> bool:
        """Whether nothing has to be done."""
        return not (self.unreachable or self.missing or self.down or self.rules_missing)

    @property
    def pending(self) -> bool:
        """Whether all is there but for the first scrape."""
        return self.complete and bool(self.waiting)


def short(seen: Seen) -> str:
    """Say it in a few words."""
    if seen.unreachable:
        return f"cannot be asked: {seen.unreachable}"
    words = [f"does not scrape the {_listed(seen.missing)} yet"] if seen.missing else []
    words += [f"cannot scrape the {job}: {why}" for job, why in seen.down]
    words += ["does not have our rules yet"] if seen.rules_missing else []
    return ", ".join(words) or ("is about to scrape all parts, and has our rules" if seen.pending else "scrapes all parts, and has our rules")  # fmt: skip


def advice(seen: Seen, files: Files, address: str) -> str:
    """Say what to do next, if anything; ``address`` is the Prometheus's."""
    base = without_password(address).rstrip("/")
    if seen.unreachable:
        return f"The live page stays empty and the scaler holds what there is until {base} answers. To start one here: prometheus --config.file={files.folder / WHOLE} --storage.tsdb.path={files.folder / 'tsdb'} --web.listen-address={urlsplit(base).netloc}"  # fmt: skip
    if seen.missing and seen.named:
        return f"Its configuration names {files.folder / TARGETS}, and it has no target from there: can its user read that file?"  # fmt: skip
    lines = []
    if seen.missing or seen.rules_missing:
        where = f" ({seen.config})" if seen.config else ""
        again = f"curl -X POST {base}/-/reload" if seen.lifecycle else "SIGHUP, or systemctl reload prometheus"  # fmt: skip
        lines = [
            f"Add this to its configuration{where}, below what is there of the same name:\n",
            *(f"    {line}" for line in files.snippet.splitlines()),
            f"\nand have it read that again: {again}",
        ]
    if lines and not _local(address):
        lines.append("It runs elsewhere: copy that folder to it, and start with --host and LIGHTMETER_EXPORT_HOST and LIGHTMETER_SCALE_HOST set to an address of this machine that it reaches.")  # fmt: skip
    if seen.down:
        lines.append("What it cannot scrape must be reachable from where it runs: a part listens on loopback until --host, LIGHTMETER_EXPORT_HOST or LIGHTMETER_SCALE_HOST says otherwise.")  # fmt: skip
    if seen.alertmanager is False:
        folder = files.folder
        lines.append(f"It has no Alertmanager, so alerts reach neither you nor the scaler. One that tells the scaler:\n\n    prometheus-alertmanager --config.file={folder / ALERTMANAGER} --storage.path={folder / 'alertmanager'}\n\nand what the Prometheus needs to know of it:\n\n    {ALERTING}")  # fmt: skip
    return "\n".join(lines).rstrip()


async def look(client: httpx.AsyncClient, address: str, files: Files) -> Seen:
    """Ask the Prometheus at ``address``, whose client brings the token; nothing is raised."""
    base = address.rstrip("/")

    async def ask(path: str, **params: str) -> Any:
        answer = await client.get(f"{base}/api/v1/{path}", params=params)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None  # Mimir and others leave these out
        answer.raise_for_status()
        return answer.json()["data"]

    try:
        known = await ask("targets", state="active") or await _by_query(ask)
        groups = {group["name"] for group in (await ask("rules") or {"groups": []})["groups"]}
        manager, flags, config = [await ask(path) for path in ("alertmanagers", "status/flags", "status/config")]  # fmt: skip
        return _judged(known["activeTargets"], groups, files, Seen(
            alertmanager=bool(manager["activeAlertmanagers"]) if manager else None,
            lifecycle=(flags or {}).get(_LIFECYCLE) == "true",
            config=(flags or {}).get("config.file", ""),
            named=str(files.folder / TARGETS) in (config or {}).get("yaml", ""),
        ))  # fmt: skip
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        hint = "; name the file with its token with --scaler-bearer-file" if code in (401, 403) else ""  # fmt: skip
        return Seen(unreachable=f"status {code}{hint}")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Seen(unreachable=f"{error}" or type(error).__name__)
    except (ValueError, LookupError, TypeError, AttributeError):
        return Seen(unreachable="it does not speak Prometheus's API")


async def _by_query(ask: Callable[..., Any]) -> Mapping[str, Any]:
    """List what is scraped where targets are not told, by the series ``up``."""
    found = await ask("query", query="up")
    return {"activeTargets": [
        {"scrapeUrl": f"http://{one['metric'].get('instance', '')}/metrics", "lastError": "", "health": "up" if one["value"][1] == "1" else "down"}
        for one in found["result"]
    ]}  # fmt: skip


def _judged(
    active: Iterable[Mapping[str, Any]], groups: set[str], files: Files, known: Seen
) -> Seen:
    """Hold what is scraped against what ought to be."""
    listed = list(active)
    by_job = {job: [one for one in listed if same(one["scrapeUrl"], page)] for job, page in files.pages.items()}  # fmt: skip
    health = {job: {one["health"] for one in found} for job, found in by_job.items()}
    return Seen(
        missing=tuple(job for job, found in health.items() if not found),
        waiting=tuple(job for job, found in health.items() if found == {"unknown"}),
        down=tuple((job, _why(by_job[job])) for job, found in health.items() if "down" in found and "up" not in found),
        rules_missing=len(files.groups - groups),
        named=known.named, alertmanager=known.alertmanager, config=known.config, lifecycle=known.lifecycle,
    )  # fmt: skip


def _why(found: Iterable[Mapping[str, Any]]) -> str:
    return next((str(one["lastError"]) for one in found if one.get("lastError")), "it does not say why")  # fmt: skip


def same(scraped: str, page: str) -> bool:
    """Say whether two addresses are one page, by whatever name this machine goes."""
    one, other = urlsplit(page), _split(scraped)
    if other is None or (one.port, one.path) != (other.port, other.path):
        return False
    hosts = {one.hostname or "", other.hostname or ""}
    return len(hosts) == 1 or hosts <= _here()


def _split(address: str) -> SplitResult | None:
    """Read an address; None of one that names no port, as an instance may that somebody has named."""
    try:
        found = urlsplit(address)
        port = found.port
    except ValueError:
        return None
    return found if port else None


@functools.cache
def _here() -> frozenset[str]:
    """Names by which this machine goes, from itself or from a container on it; to ask for them may take seconds."""
    names = socket.gethostname(), socket.getfqdn()
    return frozenset((*ANYWHERE, *LOOPBACK, *_CONTAINERS, *names))


def _local(address: str) -> bool:
    return (urlsplit(address).hostname or "") in _here()


def _listed(words: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


class Own:
    """That Prometheus, while ``lightmeter up`` runs."""

    def __init__(self, settled: House) -> None:
        self._files = write(settled)
        self._address = settled.up.prometheus
        token = secret.bearer(secret.word(settled.scale.bearer_file))
        trust = believe(httpx.create_ssl_context(trust_env=False), settled.scale.ca_file, "scale.ca_file")  # fmt: skip
        self._client = httpx.AsyncClient(trust_env=False, timeout=LOOK_SECONDS, headers=token, verify=trust)  # fmt: skip
        self._before = Seen()

    def forget(self) -> None:
        """Have it scrape no more."""
        self._files.forget()

    async def first(self) -> Seen:
        """Look for the first time."""
        self._before = await look(self._client, self._address, self._files)
        return self._before

    def advice(self) -> str:
        """Say what to do next, as far as was seen."""
        return advice(self._before, self._files, self._address)

    @contextlib.asynccontextmanager
    async def followed(self, tell: Callable[[str], None]) -> AsyncIterator[None]:
        """Look again and again meanwhile, and say what has changed."""
        task = asyncio.create_task(self._follow(tell))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self._client.aclose()

    async def _follow(self, tell: Callable[[str], None]) -> None:
        """Say a change at once, and what to do when it still stands at the next look: targets take one to be read."""
        said, advised = short(self._before), self.advice()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            before, now = self._before, await self.first()
            if short(now) != said:
                said = short(now)
                tell(f"Prometheus {said}")
            elif now == before and self.advice() != advised and not now.pending:
                advised = self.advice()
                if advised:
                    tell(advised)


@contextlib.contextmanager
def own(settled: House) -> Iterator[Own | None]:
    """Write the files for a Prometheus that is not ours, if one is named; take its targets back at the end.

    Raises:
        InputError: a file cannot be written. SettingError: the file of the token or of authorities cannot be used.
    """
    if not settled.up.prometheus:
        yield None
        return
    found = Own(settled)
    try:
        yield found
    finally:
        found.forget()
