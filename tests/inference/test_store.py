"""The picture store: its bounds, its names, and what several servers see in one place."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from inference import stock, store
from inference.links import base_url, is_trusted
from inference.shelf import Entry
from inference.stock import Bounds, Stock
from inference.store import PictureStore, kind_of, picture_names
from lightmeter.errors import SettingError, StoreError
from lightmeter.settings import Serve
from support.cli import lightmeter


T = TypeVar("T")
ROOMY = Bounds(most_bytes=10_000, most_seconds=100.0)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


class Clock:
    """A clock that a test moves; it starts at the file system's time, which dates the files."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        """Say what time it is, in seconds since 1970."""
        return time.time() + self.ahead


def name() -> str:
    return picture_names(1, "png")[0]


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh place of each kind."""
    urls = {"folder": str(tmp_path / "images"), "memory": f"memory://{secrets.token_hex(8)}"}
    return urls[request.param]


def test_round_trip(place: str) -> None:
    """What is put into the store comes out, and nothing else does."""
    shop, one = PictureStore(place, ROOMY), name()
    run(shop.put(one, b"picture"))

    assert b"picture" == run(shop.get(one))
    assert run(shop.get(name())) is None
    entry = run(shop.look(one))
    assert entry is not None
    assert (one, 7) == (entry.name, entry.size)
    assert 0 < shop.left(entry) <= 100


def test_bytes(place: str) -> None:
    """The store never holds more bytes than it may; the oldest pictures go."""
    clock = Clock()
    shop, names = PictureStore(place, Bounds(100, 1000.0), clock=clock), [name() for _ in range(5)]
    for one in names:
        clock.ahead += 1
        run(shop.put(one, b"x" * 40))

    assert [None, None, None] == [run(shop.get(one)) for one in names[:3]]
    assert [b"x" * 40] * 2 == [run(shop.get(one)) for one in names[3:]]


def test_too_large(place: str) -> None:
    """A picture larger than the whole store is refused, and drives out no other."""
    shop, small = PictureStore(place, Bounds(100, 1000.0)), name()
    run(shop.put(small, b"x"))

    with pytest.raises(StoreError, match="101 bytes; the picture store holds 100"):
        run(shop.put(name(), b"x" * 101))
    assert b"x" == run(shop.get(small))


def test_age(place: str) -> None:
    """A picture that is too old is gone at once for clients, and soon from the disk."""
    clock = Clock()
    shop, old = PictureStore(place, ROOMY, clock=clock), name()
    run(shop.put(old, b"x"))
    clock.ahead = 101

    assert run(shop.get(old)) is None
    assert run(shop.look(old)) is None
    run(shop.put(name(), b"y"))
    clock.ahead = 0
    assert run(shop.get(old)) is None


def test_restart(place: str) -> None:
    """A new server finds the pictures of the last one, and counts them."""
    first, old = PictureStore(place, ROOMY), name()
    run(first.put(old, b"x" * 60))

    second = PictureStore(place, Bounds(100, 1000.0))
    assert b"x" * 60 == run(second.get(old))
    run(second.put(name(), b"y" * 60))
    assert run(second.get(old)) is None


def test_smaller_bounds(place: str) -> None:
    """A server started with smaller bounds makes the store fit them."""
    first, names = PictureStore(place, ROOMY), [name(), name()]
    for one in names:
        run(first.put(one, b"x" * 60))

    PictureStore(place, Bounds(100, 1000.0))
    assert 1 == sum(run(first.get(one)) is not None for one in names)


def test_shared(place: str) -> None:
    """A picture that one replica made is served by the other at once."""
    one, other, shown = PictureStore(place, ROOMY), PictureStore(place, ROOMY), name()
    run(one.put(shown, b"x"))

    assert b"x" == run(other.get(shown))


def test_foreign_files(tmp_path: Path) -> None:
    """Files that are not ours are neither counted nor served nor removed."""
    (tmp_path / "diary.txt").write_text("x" * 500)
    (tmp_path / "img_holiday").write_text("x")
    shop = PictureStore(str(tmp_path), Bounds(100, 1000.0))
    one = name()
    run(shop.put(one, b"x" * 90))

    assert b"x" * 90 == run(shop.get(one))
    assert run(shop.get("diary.txt")) is None
    assert {"diary.txt", "img_holiday", one} == {path.name for path in tmp_path.iterdir()}


def test_half_written(tmp_path: Path) -> None:
    """What a crash left half written is never served, and goes when it is too old."""
    shop, one = PictureStore(str(tmp_path), ROOMY), name()
    partial = tmp_path / f".{one}.123-456"
    partial.write_bytes(b"ha")
    os.utime(partial, (0, 0))

    assert run(shop.get(one)) is None
    PictureStore(str(tmp_path), ROOMY)
    assert [] == list(tmp_path.iterdir())


def test_kept(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that are too old go although nobody asks and nothing new comes."""
    monkeypatch.setattr(store, "LOOK_SECONDS", 0.01)
    clock = Clock()
    shop, old = PictureStore(place, ROOMY, clock=clock), name()

    async def wait() -> bool:
        await shop.put(old, b"x")
        clock.ahead = 101
        keeping = asyncio.create_task(shop.keep())
        for _ in range(500):
            await asyncio.sleep(0.01)
            if await asyncio.to_thread(shop._shelf.entry, old) is None:
                break
        keeping.cancel()
        return await asyncio.to_thread(shop._shelf.entry, old) is None

    assert run(wait())


def test_many_at_once(place: str) -> None:
    """Pictures stored at the same time are all there, whole, within the bounds."""
    shop = PictureStore(place, Bounds(1000, 1000.0))
    names = [name() for _ in range(60)]

    async def store_all() -> list[bytes | None]:
        await asyncio.gather(*(shop.put(one, one.encode()[:10] * 10) for one in names))
        return await asyncio.gather(*(shop.get(one) for one in names))

    found = [data for data in run(store_all()) if data is not None]
    assert 1 <= len(found) <= 10
    assert {100} == {len(data) for data in found}


def test_stored_during_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that is stored while a slow place is being listed stays."""
    shop, one = PictureStore(str(tmp_path), ROOMY), name()
    monkeypatch.setattr(shop._shelf, "entries", list)  # as listed before it was written
    looking = threading.Thread(target=shop._look)

    class Writing(set[str]):
        def discard(self, element: object) -> None:
            super().discard(element)
            looking.start()
            looking.join(0.2)  # it is through by now, unless it may not look yet

    monkeypatch.setattr(shop, "_writing", Writing())
    run(shop.put(one, b"picture"))
    looking.join()
    assert b"picture" == run(shop.get(one))


@pytest.mark.parametrize(
    "bad",
    [
        "../secret.png",
        "img_/../../etc/passwd",
        "img_0123456789abcdef01234567-0.png/..",
        "img_0123456789abcdef01234567-0.png\n",
        "img_0123456789abcdef01234567-0.svg",
        "img_0123456789ABCDEF01234567-0.png",
        "img_0123456789abcdef01234567.png",
        "img_0123456789abcdef0123456\uff17-0.png",
        "job_a_0123456789abcdef01234567.json",
        "",
    ],
)
def test_names(bad: str, tmp_path: Path) -> None:
    """A name that the store did not give leads nowhere."""
    (tmp_path / "secret.png").write_bytes(b"x")
    shop = PictureStore(str(tmp_path / "images"), ROOMY)

    assert kind_of(bad) is None
    assert run(shop.get(bad)) is None


def test_kinds() -> None:
    """Each format is served under its own media type."""
    kinds = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}

    for output_format, kind in kinds.items():
        assert [kind] * 3 == [kind_of(one) for one in picture_names(3, output_format)]


def test_surplus() -> None:
    """What has to go is what is too old, and then the oldest until the rest fits."""
    entries = [Entry("c", 10, 30.0), Entry("a", 10, 10.0), Entry("b", 10, 20.0)]

    def going(most_bytes: int, most_seconds: float) -> list[str]:
        stock = Stock(Bounds(most_bytes, most_seconds), entries)
        return [entry.name for entry in stock.drop_surplus(35.0)]

    assert [] == going(30, 25.0)
    assert ["a"] == going(30, 24.0)
    assert ["a"] == going(29, 100.0)
    assert ["a", "b"] == going(10, 100.0)
    assert ["a", "b", "c"] == going(9, 100.0)


def test_many_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are bounded in number too, or tiny ones would fill the folder and our memory."""
    monkeypatch.setattr(stock, "MOST_FILES", 3)
    lying = Stock(ROOMY)
    gone = []
    for index in range(5):
        lying.add(Entry(f"{index}", 0, float(index)))
        gone += [entry.name for entry in lying.drop_surplus(10.0)]

    assert ["0", "1"] == gone


def test_lookers_and_makers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers who look for pictures at a slow place do not keep pictures from being stored."""
    shop, one, slow = PictureStore(str(tmp_path), ROOMY), name(), threading.Event()
    monkeypatch.setattr(shop, "_get", lambda _: slow.wait() or None)

    async def live() -> bytes:
        looking = [asyncio.create_task(shop.get(one)) for _ in range(50)]
        await asyncio.sleep(0)
        await shop.put(one, b"picture")
        slow.set()
        await asyncio.gather(*looking)
        return (tmp_path / one).read_bytes()

    assert b"picture" == run(live())


def test_full_disk(tmp_path: Path) -> None:
    """A place that refuses is told as such, and a picture that is not there is not counted."""
    shop = PictureStore(str(tmp_path / "images"), Bounds(100, 1000.0))
    (tmp_path / "images").rmdir()
    (tmp_path / "images").write_text("in the way")

    with pytest.raises(StoreError, match="is a file, not a folder"):
        run(shop.put(name(), b"x" * 90))
    (tmp_path / "images").unlink()
    (tmp_path / "images").mkdir()
    one, other = name(), name()
    run(shop.put(one, b"x" * 50))
    run(shop.put(other, b"x" * 50))
    assert b"x" * 50 == run(shop.get(one))


def test_login(tmp_path: Path) -> None:
    """A place that needs a login and cannot be reached is named without it, in one line."""
    free = ("--port", "0", "--metrics-port", "0")
    place = "ftp://user:hunter2@127.0.0.1:1/x"
    ran = lightmeter("serve", "--model", "still", *free, "--store", place, cwd=tmp_path)

    assert 3 == ran.code
    assert (
        "lightmeter: picture store 'ftp://***@127.0.0.1:1/x' failed: Connection refused\n"
        == ran.err
    )


def test_slow_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that hangs is given up after a while, and the server lives on."""
    monkeypatch.setattr(store, "PATIENCE_SECONDS", 0.05)
    shop, hanging = PictureStore(str(tmp_path), ROOMY), threading.Event()

    async def ask() -> None:
        with pytest.raises(StoreError, match="did not answer within"):
            await shop._off_loop(shop._readers, hanging.wait)
        hanging.set()

    run(ask())


@pytest.mark.parametrize("url", ["nope://bucket", "s3://bucket/prefix"])
def test_unknown_place(url: str) -> None:
    """A URL that cannot be used here is refused at the start, with what to do."""
    with pytest.raises(SettingError, match=rf"serve.store is '{url}': .*; give a folder, or"):
        PictureStore(url, ROOMY)


def link(headers: dict[str, str], peer: str | None = "10.0.0.9", **settings: Any) -> str:
    return base_url(Serve(**settings), headers, peer=peer, own="127.0.0.1:7860")


FORWARDED = {
    "host": "inner:7860",
    "x-forwarded-host": "pictures.example",
    "x-forwarded-proto": "https",
    "x-forwarded-prefix": "/art/",
}


def test_link() -> None:
    """A URL begins with the address that the client used, or with the one that was set."""
    assert "http://inner:7860" == link({"host": "inner:7860"})
    assert "http://[::1]:7860" == link({"host": "[::1]:7860"})
    assert "https://a.example/x" == link(FORWARDED, public_url="https://a.example/x/")


def test_forwarded() -> None:
    """The forwarded headers are believed from the trusted proxy and from nobody else."""
    assert "http://inner:7860" == link(FORWARDED)
    assert "http://inner:7860" == link(FORWARDED, trusted_proxy="10.0.0.8, 192.168.0.0/16")
    assert "http://inner:7860" == link(FORWARDED, peer=None, trusted_proxy="10.0.0.9")
    for trusted in ("10.0.0.9", "192.168.0.0/16,10.0.0.0/8", "*"):
        assert "https://pictures.example/art" == link(FORWARDED, trusted_proxy=trusted)
    assert is_trusted("10.0.0.9", "::ffff:10.0.0.9")


@pytest.mark.parametrize(
    "host", ["", "a b", 'x"><script>', "evil.example/path", "a\r\nb", "x" * 300]
)
def test_odd_host(host: str) -> None:
    """A Host header that is no host is not repeated in an answer."""
    assert "http://127.0.0.1:7860" == link({"host": host})
    odd = FORWARDED | {"x-forwarded-proto": "javascript"}
    assert "http://127.0.0.1:7860" == link(odd, trusted_proxy="*")


def test_settings() -> None:
    """An address that is none is refused when the server starts."""
    for bad in ("proxy.example", "10.0.0.1/8", "10.0.0.999"):
        with pytest.raises(ValueError, match="trusted_proxy"):
            link({}, trusted_proxy=bad)
