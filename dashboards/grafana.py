"""Talking to a Grafana. The only file that imports grafana_api (the extra ``grafana``).

Two forms: `Classic` speaks ``/api``, which Grafana 10 to 13 have; `Apis` speaks ``/apis``, which
takes over from Grafana 12 on and is asked where the former is gone.
https://grafana.com/docs/grafana/latest/developer-resources/api-reference/http-api/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import requests
from grafana_api.grafana_api import GrafanaException
from grafana_api.grafana_face import GrafanaFace

from dashboards.changes import Held
from lightmeter.errors import ServerError, SettingError


T = TypeVar("T")
_GONE = 410
_NOT_FOUND = 404
_SAYS = {
    401: "it does not know this token; make one for a service account under Administration, Service accounts",
    403: "this token may not; give its service account the role Editor (Admin for data sources)",
    409: "somebody saved it at the same moment; publish again to see what changed",
    412: "somebody saved it at the same moment; publish again to see what changed",
}
_FOLDER = "grafana.app/folder"
_MANAGED = "grafana.app/managedBy"
_VERSIONS = ("v1", "v1beta1", "v0alpha1")
"""Of ``/apis``, which hold a board in its classic form; best first."""


class GoneError(ServerError):
    """This Grafana does not have ``/api`` for boards or folders any more."""


class Link:
    """A Grafana's address and token; all that goes wrong comes out as ServerError."""

    def __init__(self, url: str, token: str, *, ca_file: str | None, timeout: float) -> None:
        """Connect to ``url``, which may have a path, with a service account's ``token``.

        Raises:
            SettingError: the address is none, or has a password in it.
        """
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise SettingError("grafana.url has a user in it; make a token for a service account and give it with grafana.token_file")  # fmt: skip
        if not parts.hostname:
            raise SettingError(f"grafana.url is {url!r}; it must be like http://grafana.example:3000")  # fmt: skip
        prefix = parts.path.strip("/")
        self.url = url.rstrip("/")
        self.face = GrafanaFace(
            auth=token,
            host=parts.netloc,
            url_path_prefix=f"{prefix}/" if prefix else "",
            protocol=parts.scheme,
            verify=ca_file or True,
            timeout=timeout,
        )

    def ask(self, call: Callable[[], T]) -> T:
        """Make a call.

        Raises:
            ServerError: with what to do about it.
        """
        try:
            return call()
        except GrafanaException as error:
            raise ServerError(f"Grafana at {self.url}: {self._why(error)}") from error
        except requests.exceptions.JSONDecodeError as error:
            raise ServerError(f"{self.url} answers, but not as Grafana does; is that its address, with its path?") from error  # fmt: skip
        except requests.exceptions.SSLError as error:
            raise ServerError(f"Grafana at {self.url}: its certificate is not trusted; name its authority with --ca-file") from error  # fmt: skip
        except requests.exceptions.Timeout as error:
            raise ServerError(f"Grafana at {self.url} does not answer in time; is it healthy? --timeout waits longer") from error  # fmt: skip
        except (requests.exceptions.RequestException, OSError) as error:
            raise ServerError(f"Grafana at {self.url} cannot be reached; is it running there?") from error  # fmt: skip

    def find(self, call: Callable[[], T]) -> T | None:
        """Make a call; what is not found is None.

        Raises:
            ServerError: as `ask` does.
        """
        try:
            return self.ask(call)
        except ServerError as error:
            if _status(error) == _NOT_FOUND:
                return None
            raise

    @staticmethod
    def _why(error: GrafanaException) -> str:
        said = " ".join(str(error.message).split())[:200]
        known = _SAYS.get(error.status_code)
        return f"{known} ({error.status_code})" if known else said


def _status(error: ServerError) -> int | None:
    cause = error.__cause__
    return cause.status_code if isinstance(cause, GrafanaException) else None


def connect(link: Link) -> Classic | Apis:
    """Choose the form that this Grafana speaks."""
    api = link.face.api
    return Apis(link) if link.find(lambda: api.GET("/folders?limit=1")) is None else Classic(link)


def may(link: Link) -> frozenset[str] | None:
    """List the actions that the token is good for somewhere; None where this Grafana does not tell.

    Raises:
        ServerError: it cannot be asked, or does not know the token.
    """
    link.ask(lambda: link.face.api.GET("/folders?limit=1"))
    found = link.find(lambda: link.face.api.GET("/access-control/user/permissions"))
    return frozenset(found) if isinstance(found, dict) else None


class _Sources:
    """Data sources, which both forms reach in the same way."""

    def __init__(self, link: Link) -> None:
        self._link, self._face, self._api = link, link.face, link.face.api

    def source(self, uid: str) -> Mapping[str, Any] | None:
        """Return a data source."""
        found: Mapping[str, Any] | None = self._link.find(lambda: self._api.GET(f"/datasources/uid/{quote(uid)}"))  # fmt: skip
        return found

    def save_source(self, source: Mapping[str, Any], *, new: bool) -> None:
        """Make or change a data source."""
        if new:
            self._link.ask(lambda: self._face.datasource.create_datasource(source))
        else:
            path = f"/datasources/uid/{quote(source['uid'])}"
            self._link.ask(lambda: self._api.PUT(path, json=source))


class Classic(_Sources):
    """Folders and boards through ``/api``."""

    def folder(self, uid: str) -> str | None:
        """Return the title of a folder."""
        found = self._link.find(lambda: self._face.folder.get_folder(uid))
        return None if found is None else str(found["title"])

    def make_folder(self, uid: str, title: str) -> None:
        """Make a folder."""
        self._link.ask(lambda: self._face.folder.create_folder(title, uid))

    def board(self, uid: str) -> Held | None:
        """Return a board."""
        found = self._link.find(lambda: self._face.dashboard.get_dashboard(uid))
        if found is None:
            return None
        board, meta = found["dashboard"], found["meta"]
        revision = int(board.get("version", 0))
        return Held(board, revision, str(revision), str(meta.get("folderUid", "")), bool(meta.get("provisioned")))  # fmt: skip

    def save_board(self, board: Mapping[str, Any], held: Held | None, folder: str) -> None:
        """Save a board; another revision than the held one is refused.

        Raises:
            GoneError: boards are not saved here any more.
        """
        body = {
            "dashboard": {**board, "id": None, "version": held.revision if held else 0},
            "folderUid": folder,
            "overwrite": False,
            "message": f"lightmeter {metadata.version('lightmeter')}",
        }
        try:
            self._link.ask(lambda: self._face.dashboard.update_dashboard(body))
        except ServerError as error:
            if _status(error) in (_NOT_FOUND, _GONE):
                raise GoneError(str(error)) from error
            raise


class Apis(_Sources):
    """Folders and boards through ``/apis``."""

    def __init__(self, link: Link) -> None:
        """Ask which versions there are, and in which namespace.

        Raises:
            ServerError: it has no version that holds classic boards.
        """
        super().__init__(link)
        front = link.find(lambda: self._api.GET("/frontend/settings")) or {}
        space = quote(str(front.get("namespace") or "default"))
        self._boards = f"{self._group('dashboard')}/namespaces/{space}/dashboards"
        self._folders = f"{self._group('folder')}/namespaces/{space}/folders"

    def _group(self, name: str) -> str:
        root = f"s/{name}.grafana.app"  # grafana_api ends its base with "/api"
        found = self._link.ask(lambda: self._api.GET(root))
        there = {one["version"] for one in found.get("versions", ())}
        for version in _VERSIONS:
            if version in there:
                return f"{root}/{version}"
        raise ServerError(f"Grafana at {self._link.url} has {name}s of the versions {', '.join(sorted(there))}; lightmeter knows {', '.join(_VERSIONS)}")  # fmt: skip

    def folder(self, uid: str) -> str | None:
        """Return the title of a folder."""
        found = self._link.find(lambda: self._api.GET(f"{self._folders}/{quote(uid)}"))
        return None if found is None else str(found["spec"]["title"])

    def make_folder(self, uid: str, title: str) -> None:
        """Make a folder."""
        body = {"metadata": {"name": uid}, "spec": {"title": title}}
        self._link.ask(lambda: self._api.POST(self._folders, json=body))

    def board(self, uid: str) -> Held | None:
        """Return a board."""
        found = self._link.find(lambda: self._api.GET(f"{self._boards}/{quote(uid)}"))
        if found is None:
            return None
        meta = found["metadata"]
        notes = meta.get("annotations") or {}
        board = {**found["spec"], "uid": meta["name"]}
        return Held(board, int(meta.get("generation", 0)), str(meta.get("resourceVersion", "")), notes.get(_FOLDER, ""), _MANAGED in notes)  # fmt: skip

    def save_board(self, board: Mapping[str, Any], held: Held | None, folder: str) -> None:
        """Save a board; another revision than the held one is refused."""
        meta = {"name": board["uid"], "annotations": {_FOLDER: folder} if folder else {}}
        body = {"metadata": meta, "spec": dict(board)}
        if held is None:
            self._link.ask(lambda: self._api.POST(self._boards, json=body))
            return
        meta["resourceVersion"] = held.token
        self._link.ask(lambda: self._api.PUT(f"{self._boards}/{quote(board['uid'])}", json=body))
