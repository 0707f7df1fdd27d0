"""Which container holds which device, as the kubelet tells on its PodResources socket.

An option: the log folders name containers without it. It adds the containers that hold a whole GPU
and use none of it, and names where log folders are not to be had. It is asked off the scrape path.
Field numbers: k8s.io/kubelet/pkg/apis/podresources/v1, stable since Kubernetes 1.28.
"""

from __future__ import annotations

import importlib
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.snapshot import Owner
from lightmeter.errors import InputError


METHOD = "/v1.PodResourcesLister/List"
EVERY_SECONDS = 15.0
TIMEOUT_SECONDS = 10.0
MAX_BYTES = 16 * 2**20
"""Largest answer; a node full of pods goes beyond gRPC's own 4 MiB."""
_WHOLE = re.compile(r"(?:GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""The id of a whole device. Shared ones carry more: ``::3``, ``/vgpu``, ``-_-7`` (gpushare, whose
UUID is not even that of the right GPU), ``-2`` (HAMi)."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holding:
    """A container and the ids of its devices."""

    owner: Owner
    devices: tuple[str, ...]


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Take a protobuf message apart into its length-delimited fields.

    Raises:
        ValueError: it is torn.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _BYTES:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("a protobuf field goes beyond its message")
            yield key >> 3, message[at : at + size]
            at += size
        elif kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"protobuf has no wire type {kind}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:  # noqa: PLR2004  (bits)
        byte = message[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:  # noqa: PLR2004  (the last byte has no high bit)
            return value, at
    raise ValueError("a protobuf number is torn")


def decode(response: bytes) -> list[Holding]:
    """Read a ListPodResourcesResponse.

    Raises:
        ValueError: it is none.
    """
    return [
        holding
        for number, pod in fields(response)
        if number == 1
        for holding in _pod(list(fields(pod)))
    ]


def _pod(parts: list[tuple[int, bytes]]) -> Iterator[Holding]:
    """Read PodResources: 1 name, 2 namespace, 3 containers (1 name, 2 devices (2 ids))."""
    texts = {number: value.decode(errors="replace") for number, value in parts if number in (1, 2)}
    for container in (list(fields(value)) for number, value in parts if number == 3):  # noqa: PLR2004
        name = next((value.decode(errors="replace") for n, value in container if n == 1), "")
        ids = (
            value.decode(errors="replace")
            for n, devices in container
            if n == 2  # noqa: PLR2004  (the field's number)
            for inner, value in fields(devices)
            if inner == 2  # noqa: PLR2004  (the field's number)
        )
        yield Holding(Owner(texts.get(2, ""), texts.get(1, ""), name), tuple(ids))


def exclusive(holdings: list[Holding]) -> dict[str, Owner]:
    """Map each whole device that exactly one container holds to that container."""
    holders: dict[str, set[Owner]] = {}
    for holding in holdings:
        for device in holding.devices:
            if _WHOLE.fullmatch(device):
                holders.setdefault(device, set()).add(holding.owner)
    return {device: owners.pop() for device, owners in holders.items() if len(owners) == 1}


class PodResources:
    """Asks the kubelet every few seconds, in a thread.

    Raises:
        InputError: grpcio is not installed.
    """

    def __init__(self, socket: Path) -> None:
        try:
            grpc = importlib.import_module("grpc")
        except ImportError as error:
            raise InputError(
                f"--pod-resources {socket} needs grpcio, which is not installed; "
                "pip install grpcio, or leave the option out"
            ) from error
        self._error: type[Exception] = grpc.RpcError
        options = [("grpc.max_receive_message_length", MAX_BYTES)]
        self._channel: Any = grpc.insecure_channel(f"unix://{socket.absolute()}", options)
        self._list = self._channel.unary_unary(METHOD)  # bytes in, bytes out
        self._found: Mapping[str, Owner] = {}
        self._silent = False
        self._end = threading.Event()
        threading.Thread(target=self._work, name="podresources", daemon=True).start()

    def exclusive(self) -> Mapping[str, Owner]:
        """Tell who holds a whole device, by its UUID, as of the last answer."""
        return self._found

    def close(self) -> None:
        """Stop asking."""
        self._end.set()
        self._channel.close()

    def _work(self) -> None:
        while not self._end.is_set():
            try:
                self._found = exclusive(decode(self._list(b"", timeout=TIMEOUT_SECONDS)))
                self._silent = False
            except (self._error, ValueError) as error:
                self._found = {}  # better nothing than who held it yesterday
                if not self._silent:
                    self._silent = True
                    _log.warning("the kubelet does not tell who holds which device: %s", error)
            self._end.wait(EVERY_SECONDS)
