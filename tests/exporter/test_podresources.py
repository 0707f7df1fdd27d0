"""The kubelet's answer, taken apart by hand and held against protobuf's own encoder."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from exporter import podresources
from exporter.podresources import METHOD, Holding, PodResources, decode, exclusive
from exporter.snapshot import Owner
from lightmeter.errors import InputError
from support.fleet import gpu
from support.server import eventually


SCHEMA = {
    "Devices": [("resource_name", 1, ""), ("device_ids", 2, "*")],
    "Container": [("name", 1, ""), ("devices", 2, "*Devices"), ("cpu_ids", 3, "#")],
    "Pod": [("name", 1, ""), ("namespace", 2, ""), ("containers", 3, "*Container")],
    "List": [("pod_resources", 1, "*Pod")],
}


def kind(name: str) -> Callable[..., Any]:
    """Build a message class of the fields that the kubelet fills, and one that we skip."""
    file = descriptor_pb2.FileDescriptorProto(name="p.proto", package="p", syntax="proto3")
    for message, members in SCHEMA.items():
        made = file.message_type.add(name=message)
        for member, number, form in members:
            type_ = 11 if form[1:] else 3 if form == "#" else 9
            made.field.add(name=member, number=number, type=type_, label=3 if form else 1, type_name=f".p.{form[1:]}" if form[1:] else None)  # fmt: skip
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found: Callable[..., Any] = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"p.{name}"))  # fmt: skip
    return found


LIST = kind("List")


def answer(*pods: tuple[str, str, dict[str, list[str]]]) -> bytes:
    made = LIST()
    for name, namespace, containers in pods:
        pod = made.pod_resources.add(name=name, namespace=namespace)
        for container, ids in containers.items():
            inner = pod.containers.add(name=container, cpu_ids=[1, 300])
            inner.devices.add(resource_name="nvidia.com/gpu", device_ids=ids)
    encoded: bytes = made.SerializeToString()
    return encoded


NAMES = st.text(max_size=20)


@given(st.lists(st.tuples(NAMES, NAMES, st.dictionaries(NAMES, st.lists(NAMES, max_size=3), max_size=3)), max_size=5))  # fmt: skip
def test_decode(pods: list[tuple[str, str, dict[str, list[str]]]]) -> None:
    """Whatever protobuf encodes is read back."""
    expected = [
        Holding(Owner(namespace, pod, container), tuple(ids))
        for pod, namespace, containers in pods
        for container, ids in containers.items()
    ]

    assert expected == decode(answer(*pods))


@given(st.binary(max_size=200))
def test_torn(message: bytes) -> None:
    """What is no such message is refused as that, or read as far as it goes."""
    try:
        decode(message)
    except ValueError as error:
        assert "protobuf" in str(error)  # noqa: PT017  (either outcome is right)


UUID = gpu(0).uuid


@pytest.mark.parametrize(
    ("device", "whole"),
    [
        (UUID, True),
        (UUID.replace("GPU", "MIG"), True),
        (f"{UUID}::3", False),
        (f"{UUID}/vgpu", False),
        (f"{UUID}-_-7", False),
        (f"{UUID}-2", False),
        ("0", False),
    ],
)
def test_whole(device: str, *, whole: bool) -> None:
    """Only the id of a whole device says who holds it; gpushare's and others' do not."""
    owner = Owner("n", "p", "c")

    assert ({device: owner} if whole else {}) == exclusive([Holding(owner, (device,))])


def test_two_holders() -> None:
    """A device that two containers hold is neither's."""
    assert {} == exclusive([Holding(Owner("n", p, "c"), (UUID,)) for p in "ab"])


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without grpcio the option is refused with what to do."""
    monkeypatch.setitem(sys.modules, "grpc", None)

    with pytest.raises(InputError, match="pip install grpcio"):
        PodResources(Path("kubelet.sock"))


@contextmanager
def kubelet(socket: Path, response: bytes) -> Iterator[None]:
    """Serve as the kubelet does."""
    grpc: Any = pytest.importorskip("grpc", reason="grpcio is missing; pip install grpcio")
    service, method = METHOD.removeprefix("/").split("/")
    handlers = {method: grpc.unary_unary_rpc_method_handler(lambda _request, _context: response)}
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(f"unix://{socket}")
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()


@pytest.mark.skipif(importlib.util.find_spec("grpc") is None, reason="grpcio is missing; pip install grpcio")  # fmt: skip
def test_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kubelet is asked over its socket; a dead one is forgotten and asked again."""
    monkeypatch.setattr(podresources, "EVERY_SECONDS", 0.1)
    socket = tmp_path / "kubelet.sock"
    owner = Owner("studio", "a", "main")
    with kubelet(socket, answer(("a", "studio", {"main": [UUID]}))):
        asking = PodResources(socket)
        try:
            assert eventually(lambda: {UUID: owner} == asking.exclusive(), 20)
        finally:
            asking.close()
