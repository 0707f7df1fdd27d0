"""Takes a finished report where it belongs: a folder, object storage, or a webhook.

A delivery has an id made of the bytes of its files. A target that has them already is left alone, and
one that has others gets these in their place. Files come whole or not at all; ``manifest.json`` comes
last, so who finds it finds the rest.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from lightmeter.errors import PlanError, ServerError, StoreError, explain
from lightmeter.units import without_password


MANIFEST = "manifest.json"
SIGNATURE, KEY = "X-Lightmeter-Signature", "Idempotency-Key"
"""Headers: HMAC-SHA256 of the body in hexadecimal after ``sha256=``; the id of the delivery."""
TRIES, WAIT_SECONDS = 3, 30.0
SCHEMA = 1


@dataclass(frozen=True)
class Parcel:
    """The files of a report, and the name of the folder that they belong in, like ``2026-10``."""

    name: str
    files: Mapping[str, bytes]

    @property
    def sums(self) -> dict[str, str]:
        """SHA-256 of each file."""
        return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(self.files.items())}

    @property
    def id(self) -> str:
        """What tells this delivery from another: the same files have the same."""
        whole = json.dumps([self.name, self.sums], sort_keys=True).encode()
        return hashlib.sha256(whole).hexdigest()[:32]

    @property
    def manifest(self) -> bytes:
        """What lies beside the files: the id, and a checksum of each."""
        said = {"schema": SCHEMA, "id": self.id, "name": self.name, "files": self.sums}
        return json.dumps(said, indent=2).encode() + b"\n"


def name_of(document: Mapping[str, Any]) -> str:
    """Name a report's folder: its month, or its first and last day."""
    days = document["generated_from"]
    return str(document["month"] or f"{days['first'][:10]}_{days['last'][:10]}")


def summary(document: Mapping[str, Any], parcel: Parcel) -> dict[str, Any]:
    """Say in a few fields what the report says, for a webhook."""
    advice, actual = document["recommendation"], document.get("actual")
    chosen = None if advice["option"] is None else document["options"][advice["option"]]
    return {
        "schema": SCHEMA,
        "kind": "lightmeter.plan",
        "id": parcel.id,
        "name": parcel.name,
        "month": document["month"],
        "currency": document["currency"],
        "recommendation": {
            "kind": advice["kind"],
            "monthly_cost": None if chosen is None else chosen["monthly_cost"],
            "saving_ratio": advice["saving_ratio"],
            "reason": advice["reason"],
        },
        "actual": None if not actual else {key: actual[key] for key in ("cost", "idle_cost", "idle_ratio", "gpus_held")},
        "files": parcel.sums,
    }  # fmt: skip


def to_store(target: str, parcel: Parcel) -> str:
    """Write a parcel under a folder or an fsspec URL; say what became of it.

    Raises:
        PlanError: the URL is not understood, or wants a package that is not here.
        StoreError: the store refuses.
    """
    files, root = _store(target)
    where = f"{root.rstrip('/')}/{parcel.name}"
    shown = without_password(f"{target.rstrip('/')}/{parcel.name}")
    try:
        there = _there(files, where)
        if there == parcel.id and all(files.exists(f"{where}/{name}") for name in parcel.files):
            return f"{shown} has this report already"
        for name, data in (*parcel.files.items(), (MANIFEST, parcel.manifest)):
            _put(files, f"{where}/{name}", data)
    except Exception as error:
        reason = explain(error) if isinstance(error, OSError) and error.errno else " ".join(str(error).split())[:200]  # fmt: skip
        raise StoreError(f"report is not delivered to {shown!r}: it {reason or type(error).__name__}") from error  # fmt: skip
    return f"{shown} {'replaced' if there else 'written'}"


def _store(target: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    try:
        files, root = url_to_fs(target)
    except (ImportError, ValueError) as error:
        raise PlanError(f"--deliver {without_password(target)!r}: {' '.join(str(error).split())[:200]}") from error  # fmt: skip
    return files, str(root)


def _there(files: Any, where: str) -> str | None:
    """Return the id of what was delivered before; None if nothing, "" if it cannot be told."""
    try:
        found = json.loads(files.cat_file(f"{where}/{MANIFEST}"))
    except FileNotFoundError:
        return None
    except ValueError:
        return ""
    return str(found.get("id", "")) if isinstance(found, dict) else ""


def _put(files: Any, path: str, data: bytes) -> None:
    """Put a file in its place in one step; an object appears whole by itself."""
    if "file" not in files.protocol:
        files.pipe_file(path, data)
        return
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


def to_webhook(url: str, said: Mapping[str, Any], secret: bytes | None, pause: float = 1.0) -> str:
    """Post a summary; try again where the receiver is away. Say what became of it.

    Raises:
        ServerError: it refuses, or does not answer.
    """
    body = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json", KEY: str(said["id"])}
    if secret:
        headers[SIGNATURE] = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    shown = _address(url)
    reason = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            answer = httpx.post(url, content=body, headers=headers, timeout=WAIT_SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = f"cannot be reached: {error}"
            continue
        if answer.is_success:
            return f"{shown} told"
        reason = f"answers {answer.status_code}"
        if not answer.is_server_error and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
            break
    raise ServerError(f"webhook {shown} {reason}; the report itself is written")


def _address(url: str) -> str:
    """Show where a webhook goes without what may be a secret in its path."""
    parts = httpx.URL(url)
    return f"{parts.scheme}://{parts.host}{'' if parts.port is None else f':{parts.port}'}/..."
