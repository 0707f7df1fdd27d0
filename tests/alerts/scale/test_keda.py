"""KEDA's external scaler, asked by a real gRPC client, in bytes that are put together by hand."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from alerts.scale import keda_wire as wire
from alerts.scale.keda import Keda, metric, wrong
from alerts.scale.scaler import Scaler
from alerts.scale.watch import Latest, Several
from lightmeter.errors import PortError
from lightmeter.scaling.signals import Observations
from lightmeter.tls import Files
from support.alerting import free_port
from support.certs import Authority
from support.clock import Clock
from support.promapi import Api
from support.scaling import BUSY, CALM, Refusing, scaler
from support.scaling_process import alert, running
from support.server import eventually


NOTHING = Observations(None, None, None, None, None, None)
TARGET = "deployment:images/shop"


def text(number: int, value: str | bytes) -> bytes:
    """Encode a field of text, or of a message: its tag, its length, its bytes (all are short)."""
    content = value.encode() if isinstance(value, str) else value
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def ref(service: str | None = "shop", namespace: str = "images", **more: str) -> bytes:
    given = more if service is None else {"service": service, **more}
    return text(1, "shop-object") + text(2, namespace) + b"".join(
        text(3, text(1, key) + text(2, value)) for key, value in given.items()
    )  # fmt: skip


def asked(name: str = "shop-desired-replicas") -> bytes:
    return text(1, ref()) + text(2, name)


class Served:
    """A scaler that sees what it is told, and KEDA's end of the wire."""

    def __init__(self, folder: Path, *seen: Observations, target: Any = None) -> None:
        self.clock = Clock()
        self.latest = Latest(60.0, self.clock)
        self.scaler: Scaler = scaler(folder, seen, target=target)
        self.scaler.watcher = Several(self.scaler.watcher, self.latest)
        self.keda = Keda(self.latest, "shop", TARGET)
        self.port = self.keda.open("127.0.0.1", 0)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")

    def ask(self, name: str, body: bytes) -> bytes:
        """Call, and return the answer's bytes."""
        answer: bytes = self.channel.unary_unary(f"/externalscaler.ExternalScaler/{name}")(body, timeout=10)  # fmt: skip
        return answer

    def refused(self, name: str, body: bytes) -> tuple[grpc.StatusCode, str]:
        """Call, and return how it was refused."""
        with pytest.raises(grpc.RpcError) as caught:
            self.ask(name, body)
        return caught.value.code(), caught.value.details()

    def stream(self, **options: Any) -> Any:
        """Open a stream of what is active."""
        return self.channel.unary_stream("/externalscaler.ExternalScaler/StreamIsActive")(ref(), **options)  # fmt: skip


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    one = Served(tmp_path, BUSY, NOTHING, CALM)
    yield one
    one.channel.close()
    one.keda.close()


def test_asked(served: Served) -> None:
    """KEDA is told the absolute number that was decided, for one replica each, byte for byte."""
    record = served.scaler.step()
    assert record is not None
    name = text(1, "shop-desired-replicas")

    assert text(1, name + b"\x10\x01\x19" + struct.pack("<d", 1.0)) == served.ask("GetMetricSpec", ref())  # fmt: skip
    value = name + b"\x10" + bytes([record["to"]]) + b"\x19" + struct.pack("<d", record["to"])
    assert record["to"] > 0
    assert text(1, value) == served.ask("GetMetrics", asked())
    assert b"\x08\x01" == served.ask("IsActive", ref())


def test_zero(tmp_path: Path) -> None:
    """Where nobody asks the number is 0, in the integer: the float is not on the wire at all."""
    served = Served(tmp_path, CALM)
    served.scaler.step()

    assert text(1, text(1, "shop-desired-replicas")) == served.ask("GetMetrics", asked())
    answer = wire.GetMetricsResponse.FromString(served.ask("GetMetrics", asked()))
    assert [(0, 0.0)] == [(one.metricValue, one.metricValueFloat) for one in answer.metricValues]
    assert b"" == served.ask("IsActive", ref())
    served.channel.close()
    served.keda.close()


@pytest.mark.parametrize("call", ["GetMetrics", "IsActive"])
def test_unknown(served: Served, call: str) -> None:
    """Before the first decision, without readings, or when the loop is stuck, it is UNAVAILABLE, never 0."""
    body = asked() if call == "GetMetrics" else ref()
    none = served.refused(call, body)
    served.scaler.step()
    served.ask(call, body)
    served.scaler.step()
    blind = served.refused(call, body)
    served.scaler.step()
    served.ask(call, body)
    served.clock.now += 61
    stuck = served.refused(call, body)

    assert {grpc.StatusCode.UNAVAILABLE} == {none[0], blind[0], stuck[0]}
    assert "nothing has been decided yet" in none[1]
    assert "in_flight, queued, rate_short, rate_long cannot be seen" in blind[1]
    assert "the last decision is 61 s old" in stuck[1]


def test_uncounted(tmp_path: Path) -> None:
    """A fleet that cannot be counted is not told as none, frozen or not."""
    served = Served(tmp_path, BUSY, target=Refusing())
    served.scaler.freeze(2e9)
    served.scaler.step()

    code, said = served.refused("GetMetrics", asked())
    assert (grpc.StatusCode.UNAVAILABLE, True) == (code, "ready" in said)
    served.channel.close()
    served.keda.close()


def test_pushed(served: Served) -> None:
    """A stream is told at once what is known, then each change, and nothing while nothing is known."""
    stream = served.stream()
    with ThreadPoolExecutor(1) as thread:
        for _ in range(3):  # work, nothing seen, calm: the hold keeps what stands
            served.scaler.step()
        assert b"\x08\x01" == thread.submit(next, stream).result(10)
        waiting = thread.submit(next, stream)
        idle = empty(served)
        assert not waiting.done()
        served.latest.decided(idle, CALM)

        assert b"" == waiting.result(10)
        stream.cancel()


def test_prompt(served: Served) -> None:
    """A wake is at the other end in a small part of KEDA's polling interval."""
    stream = served.stream()
    idle, busy = empty(served), served.scaler.audit.last[-1]
    served.latest.decided(idle, CALM)
    while next(stream):  # the busy look before it may have been told as well
        pass
    took = []
    for number in range(100):
        begin = time.perf_counter()
        served.latest.decided(busy if number % 2 == 0 else idle, CALM)
        next(stream)
        took.append(time.perf_counter() - begin)
    stream.cancel()

    assert sorted(took)[50] < 30 / 100


def empty(served: Served) -> dict[str, Any]:
    """Make a decision for none of one for some."""
    record = served.scaler.step()
    assert record is not None
    return {**record, "to": 0}


@pytest.mark.parametrize(
    ("call", "body", "said"),
    [
        ("IsActive", ref("other"), "asks for service 'other', and this scaler decides on 'shop'"),
        ("GetMetricSpec", ref(None), "add service: shop"),
        ("IsActive", ref(namespace="other"), "is in namespace 'other'"),
        ("IsActive", ref(target="deployment:images/x"), "asks for target 'deployment:images/x'"),
        ("GetMetrics", asked("s0-shop"), "there is 'shop-desired-replicas'"),
        ("GetMetrics", b"", "names no service"),
        ("StreamIsActive", ref("other"), "asks for service 'other'"),
    ],
)
def test_wrong(served: Served, call: str, body: bytes, said: str) -> None:
    """Who asks for another service, or for none, is told so, and gets no number."""
    served.scaler.step()
    if call == "StreamIsActive":
        with pytest.raises(grpc.RpcError) as caught:
            next(served.channel.unary_stream(f"/externalscaler.ExternalScaler/{call}")(body))
        found = caught.value.code(), caught.value.details()
    else:
        found = served.refused(call, body)

    assert grpc.StatusCode.INVALID_ARGUMENT is found[0]
    assert said in found[1]


def test_noise(served: Served) -> None:
    """Bytes that are no message, calls that there are not, and too much are refused; the next is served."""
    served.scaler.step()

    assert grpc.StatusCode.UNIMPLEMENTED is served.refused("StreamMetricSpec", ref())[0]
    assert grpc.StatusCode.OK is not served.refused("IsActive", b"\xff\xff\xff")[0]
    assert grpc.StatusCode.RESOURCE_EXHAUSTED is served.refused("IsActive", ref() + text(1, "x" * 100) * 1000)[0]  # fmt: skip
    assert b"\x08\x01" == served.ask("IsActive", ref())


def test_many_streams(served: Served) -> None:
    """Streams that hang about do not keep anybody from asking."""
    served.scaler.step()
    streams = [served.stream() for _ in range(50)]
    for stream in streams:
        assert b"\x08\x01" == next(stream)

    assert b"\x08\x01" == served.ask("IsActive", ref())
    for stream in streams:
        stream.cancel()


def test_names() -> None:
    """The metric's name fits Kubernetes, whatever the service is called."""
    assert "z-image-eu-desired-replicas" == metric("Z Image/eu")
    assert "" == wrong(wire.ScaledObjectRef.FromString(ref(namespace="any")), "shop", "null")


def test_port_taken(served: Served) -> None:
    """Two scalers do not share a port unnoticed."""
    other = Keda(served.latest, "shop", TARGET)
    with pytest.raises(PortError, match=r"give another scale\.keda_port"):
        other.open("127.0.0.1", served.port)


def test_mutual(tmp_path: Path) -> None:
    """With an authority only its clients are served; a certificate that changes is shown from then on."""
    ours, theirs = Authority(tmp_path), Authority(tmp_path, "other")
    ours.issue("scaler")
    ours.issue("keda")
    theirs.issue("stranger")
    latest = Latest(60.0)
    one = scaler(tmp_path, [BUSY])
    one.watcher = latest
    one.step()
    keda = Keda(latest, "shop", TARGET, Files(tmp_path / "scaler.crt", tmp_path / "scaler.key", ours.certificate))  # fmt: skip
    port = keda.open("127.0.0.1", 0)

    def ask(name: str | None, authority: Authority = ours) -> bytes:
        pair = [(tmp_path / f"{name}.{end}").read_bytes() if name else None for end in ("key", "crt")]  # fmt: skip
        seen = grpc.ssl_channel_credentials(authority.certificate.read_bytes(), *pair)
        with grpc.secure_channel(f"localhost:{port}", seen) as channel:
            call = channel.unary_unary("/externalscaler.ExternalScaler/IsActive")
            answer: bytes = call(ref(), timeout=10)
            return answer

    assert b"\x08\x01" == ask("keda")
    for name in (None, "stranger"):
        with pytest.raises(grpc.RpcError):
            ask(name)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as plain, pytest.raises(grpc.RpcError):
        plain.unary_unary("/externalscaler.ExternalScaler/IsActive")(ref(), timeout=10)
    theirs.issue("scaler")
    assert b"\x08\x01" == ask("keda", theirs)
    keda.close()


def test_command(tmp_path: Path) -> None:
    """The real command: an alert wakes KEDA's stream at once; without readings it is UNAVAILABLE."""
    api, port = Api(), free_port()
    api.value = "0"

    def answer(call: Any) -> Any:
        try:
            said = wire.GetMetricsResponse.FromString(call(asked(), timeout=10, wait_for_ready=True))  # fmt: skip
        except grpc.RpcError as error:
            return error.code()
        return said.metricValues[0].metricValue

    options = ["--keda-port", str(port), "--act", "--service", "shop", "--prometheus", api.url]
    with (
        running(tmp_path, *options) as url,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        call = channel.unary_unary("/externalscaler.ExternalScaler/GetMetrics")
        stream = channel.unary_stream("/externalscaler.ExternalScaler/StreamIsActive")(ref())
        assert b"" == next(stream)
        assert 0 == answer(call)
        httpx.post(f"{url}/v1/alerts", json=alert("firing"), trust_env=False).raise_for_status()
        assert b"\x08\x01" == next(stream)
        assert 1 == answer(call)
        api.status = 500
        assert eventually(lambda: answer(call) is grpc.StatusCode.UNAVAILABLE)
        stream.cancel()
    api.close()


def test_too_many_streams(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens one stream after the other is refused more, and KEDA goes on asking."""
    monkeypatch.setattr("alerts.scale.keda.MOST_STREAMS", 2)
    served.scaler.step()
    streams = [served.stream() for _ in range(2)]

    assert [b"\x08\x01"] * 2 == [next(stream) for stream in streams]
    with pytest.raises(grpc.RpcError) as caught:
        next(served.stream())
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == caught.value.code()
    assert b"\x08\x01" == served.ask("IsActive", ref())
    for stream in streams:
        stream.cancel()
