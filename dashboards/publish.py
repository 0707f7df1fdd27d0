"""Publishing the boards to a Grafana: look, decide, write. The same twice changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from dashboards.boards import all_boards
from dashboards.changes import Action, Change, Held, change, stamped
from dashboards.render import dashboard


FOLDER_UID = "lightmeter"
SOURCE_UID = "lightmeter-prometheus"
SOURCE_NAME = "Prometheus (lightmeter)"


class Grafana(Protocol):
    """What publishing asks of a Grafana.

    Each may raise `lightmeter.errors.ServerError`.
    """

    def folder(self, uid: str) -> str | None:
        """Return the title of a folder, or None where there is none."""
        ...

    def make_folder(self, uid: str, title: str) -> None:
        """Make a folder."""
        ...

    def source(self, uid: str) -> Mapping[str, Any] | None:
        """Return a data source, or None where there is none."""
        ...

    def save_source(self, source: Mapping[str, Any], *, new: bool) -> None:
        """Make or change a data source."""
        ...

    def board(self, uid: str) -> Held | None:
        """Return a board, or None where there is none."""
        ...

    def save_board(self, board: Mapping[str, Any], held: Held | None, folder: str) -> None:
        """Make a board in a folder, or change the one that is held where it is."""
        ...


@dataclass(frozen=True)
class Wish:
    """What is to be published; ``prometheus`` is an address as Grafana reaches it, or empty."""

    folder: str
    prometheus: str
    runbook: str
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Done:
    """What became of one thing: a folder, a data source or a dashboard."""

    kind: str
    uid: str
    title: str
    change: Change

    def row(self) -> dict[str, str]:
        """Return it for programs."""
        return {"kind": self.kind, "uid": self.uid, "title": self.title, **asdict(self.change)}


def publish(grafana: Grafana, wish: Wish) -> Iterator[Done]:
    """Publish, and tell of each thing as it is done.

    Raises:
        ServerError: Grafana cannot be reached, or refuses.
    """
    yield _folder(grafana, wish)
    if wish.prometheus:
        yield _source(grafana, wish)
    for one in all_boards():
        yield _board(grafana, wish, _chosen(dashboard(one, wish.runbook), wish))


def _folder(grafana: Grafana, wish: Wish) -> Done:
    title = grafana.folder(FOLDER_UID)
    if title is not None:
        return Done("folder", FOLDER_UID, title, Change(Action.UNCHANGED, "it is there"))
    if not wish.dry_run:
        grafana.make_folder(FOLDER_UID, wish.folder)
    return Done("folder", FOLDER_UID, wish.folder, Change(Action.CREATE, "Grafana does not have it"))  # fmt: skip


def _source(grafana: Grafana, wish: Wish) -> Done:
    wanted = {
        "uid": SOURCE_UID,
        "name": SOURCE_NAME,
        "type": "prometheus",
        "access": "proxy",
        "url": wish.prometheus,
        "jsonData": {"httpMethod": "POST", "timeInterval": "15s"},
    }
    held = grafana.source(SOURCE_UID)
    found = _source_change(held, wish)
    if found.action in (Action.CREATE, Action.UPDATE) and not wish.dry_run:
        grafana.save_source({**(held or {}), **wanted, "jsonData": {**wanted["jsonData"], **(held or {}).get("jsonData", {})}}, new=held is None)  # type: ignore[dict-item]  # fmt: skip
    return Done("data source", SOURCE_UID, SOURCE_NAME, found)


def _source_change(held: Mapping[str, Any] | None, wish: Wish) -> Change:
    if held is None:
        return Change(Action.CREATE, "Grafana does not have it", f"+url {wish.prometheus}")
    if held.get("url") == wish.prometheus:
        return Change(Action.UNCHANGED, "it is as it should be")
    diff = f"-url {held.get('url')}\n+url {wish.prometheus}"
    if held.get("readOnly"):
        return Change(Action.KEEP, "it is provisioned from files; change the files", diff)
    if not wish.force:
        return Change(Action.KEEP, "it leads elsewhere; --force overwrites it", diff)
    return Change(Action.UPDATE, "it leads elsewhere, and --force was given", diff)


def _chosen(made: dict[str, Any], wish: Wish) -> dict[str, Any]:
    """Have the board begin with the data source that is published with it."""
    if wish.prometheus:
        source = made["templating"]["list"][0]
        source["current"] = {"text": SOURCE_NAME, "value": SOURCE_UID}
    return made


def _board(grafana: Grafana, wish: Wish, made: dict[str, Any]) -> Done:
    held = grafana.board(made["uid"])
    found = change(made, held, force=wish.force)
    if found.action in (Action.CREATE, Action.UPDATE) and not wish.dry_run:
        grafana.save_board(stamped(made, held), held, held.folder if held else FOLDER_UID)
    return Done("dashboard", made["uid"], made["title"], found)
