"""OpenAI's own client drives the server, unchanged."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image

from lightmeter import catalog
from lightmeter.catalog import ShedReason, WorkerState
from support.server import Loading, Server, eventually, fetch


LONG: dict[str, Any] = {"num_inference_steps": 700, "size": "16x16"}
"""At least 1.4 seconds for the stand-in, which sleeps 2 ms a step."""
ALLOWED = ("--max-steps", "1000", "--batch", "1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data"), *ALLOWED) as running:
        yield running.ready()


def client(server: Server, key: str = "none", retries: int = 0) -> openai.OpenAI:
    own = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(
        base_url=f"{server.api}/v1", api_key=key, max_retries=retries, http_client=own
    )


@pytest.fixture
def ai(server: Server) -> Iterator[openai.OpenAI]:
    with client(server) as one:
        yield one


def opened(text: str | None) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text or "")))


def test_pictures(ai: openai.OpenAI) -> None:
    """The pictures come as the client expects them, in the number, size and format asked for."""
    answer = ai.images.generate(
        prompt="雨夜里的面馆", model="still", n=2, size="64x64", output_format="webp", user="me"
    )

    assert answer.data is not None
    assert [((64, 64), "WEBP")] * 2 == [(opened(one.b64_json).size, opened(one.b64_json).format) for one in answer.data]  # fmt: skip
    assert ("webp", "64x64") == (answer.output_format, answer.size)
    assert abs(time.time() - answer.created) < 60


def test_extensions(ai: openai.OpenAI) -> None:
    """Our own fields go through its extra_body, and what it does not know comes back too."""
    answer = ai.images.generate(prompt="x", extra_body={"seed": 7, "num_inference_steps": 3})

    extra = answer.model_extra or {}
    assert extra["id"].startswith("img_")
    assert 3 == answer.to_dict()["usage"]["forwards"]  # type: ignore[index]  # a mapping of ours
    assert answer.data is not None
    assert 7 == (answer.data[0].model_extra or {})["seed"]


def test_url(ai: openai.OpenAI) -> None:
    """A picture asked for as a URL is at that URL."""
    answer = ai.images.generate(prompt="x", response_format="url", size="64x64")

    assert answer.data is not None
    assert answer.data[0].b64_json is None
    found = fetch(answer.data[0].url or "")
    assert (64, 64) == Image.open(io.BytesIO(found.content)).size


def test_models(ai: openai.OpenAI) -> None:
    """The client finds the one model, and its name is accepted in a request."""
    (model,) = ai.models.list().data

    assert ("still", "model") == (model.id, model.object)
    assert model == ai.models.retrieve("still")
    assert ai.images.generate(prompt="x", model=model.id).data
    with pytest.raises(openai.NotFoundError, match="this server serves 'still'"):
        ai.models.retrieve("gpt-image-1")


def test_invalid(ai: openai.OpenAI) -> None:
    """A bad parameter is its UnprocessableEntityError, with the field named."""
    with pytest.raises(openai.UnprocessableEntityError, match="each side must be") as caught:
        ai.images.generate(prompt="x", size="100x100")

    assert ("size", "422", "invalid_request_error") == (
        caught.value.param,
        caught.value.code,
        caught.value.type,
    )


@pytest.mark.parametrize("field", ["quality", "style", "background", "moderation"])
def test_unknown_field(ai: openai.OpenAI, field: str) -> None:
    """A parameter of OpenAI's models that means nothing here is refused by name, not ignored."""
    with pytest.raises(openai.UnprocessableEntityError, match=field):
        ai.images.generate(prompt="x", **{field: "auto"})  # type: ignore[call-overload]  # by name


def test_not_found(ai: openai.OpenAI) -> None:
    """A route that is not there is its NotFoundError."""
    with pytest.raises(openai.NotFoundError):
        ai.chat.completions.create(model="still", messages=[{"role": "user", "content": "x"}])


def test_too_large(ai: openai.OpenAI) -> None:
    """A body that is too large is its status error with 413."""
    with pytest.raises(openai.APIStatusError) as caught:
        ai.images.generate(prompt="x" * 1_100_000)

    assert 413 == caught.value.status_code


def test_key(tmp_path: Path) -> None:
    """Its api_key is our key; a wrong one is its AuthenticationError."""
    keys = tmp_path / "keys.toml"
    keys.write_text('[shop]\nkey = "a-key-of-sixteen-characters"\n')
    with Server(tmp_path, "--keys", str(keys)) as server:
        server.ready()
        with client(server, "a-key-of-sixteen-characters") as known:
            assert known.images.generate(prompt="x").data
            assert known.models.list().data
        with client(server, "wrong") as stranger:
            for ask in (lambda: stranger.images.generate(prompt="x"), stranger.models.list):
                with pytest.raises(openai.AuthenticationError):
                    ask()


def test_does_not_fit(tmp_path: Path) -> None:
    """What will never fit is asked once: the client is told not to try again."""
    with Server(tmp_path, "--max-side", "16384") as server, client(server.ready(), retries=2) as ai:
        with pytest.raises(openai.InternalServerError) as caught:
            ai.images.generate(prompt="x", size="8192x8192")
        asked = server.value(catalog.REQUESTS)

    assert (507, 1) == (caught.value.status_code, asked)


def full(server: Server) -> list[threading.Thread]:
    """Fill a server whose queue holds one request."""
    busy = [threading.Thread(target=server.post, args=(LONG,)) for _ in range(2)]
    busy[0].start()
    assert eventually(lambda: server.value(catalog.WORKERS, state=WorkerState.BUSY) == 1)
    busy[1].start()
    assert eventually(lambda: server.value(catalog.QUEUE_DEPTH) == 1)
    return busy


def test_retries(tmp_path: Path) -> None:
    """Its own retry waits for as long as the server said, and then the picture comes."""
    seen: list[tuple[float, int, float]] = []

    def see(answer: Any) -> None:
        seen.append(
            (time.monotonic(), answer.status_code, float(answer.headers.get("retry-after", 0)))
        )

    with Server(tmp_path, *ALLOWED, "--queue", "1") as server, client(server.ready(), retries=20) as ai:  # fmt: skip
        server.post(LONG)
        busy = full(server)
        ai._client.event_hooks = {"response": [see]}
        answer = ai.images.generate(prompt="x")
        for one in busy:
            one.join()

    assert answer.data
    assert (429, 200) == (seen[0][1], seen[-1][1])
    waits = [(after[0] - before[0], before[2]) for before, after in itertools.pairwise(seen)]
    assert all(waited >= told >= 1 for waited, told in waits)


def test_full(tmp_path: Path) -> None:
    """A full queue is its RateLimitError, with the seconds to wait in the header."""
    with Server(tmp_path, *ALLOWED, "--queue", "1") as server, client(server.ready()) as ai:
        busy = full(server)
        with pytest.raises(openai.RateLimitError) as caught:
            ai.images.generate(prompt="x")
        for one in busy:
            one.join()

    assert int(caught.value.response.headers["retry-after"]) >= 1


def test_starting(tmp_path: Path) -> None:
    """While the model loads, the client gets its InternalServerError, and a retry finds the model."""
    with Loading(tmp_path) as server:
        with client(server) as hasty, pytest.raises(openai.InternalServerError) as caught:
            hasty.images.generate(prompt="x", size="64x64")
        with client(server, retries=20) as patient, ThreadPoolExecutor(1) as aside:
            asked = aside.submit(patient.images.generate, prompt="x", size="64x64")
            assert eventually(lambda: server.value(catalog.SHED, reason=ShedReason.STARTING) == 2)
            server.let_go()
            assert asked.result().data

    assert 503 == caught.value.status_code


def test_stream(ai: openai.OpenAI) -> None:
    """A stream gives the steps and ends with the completed picture, as its event type has it."""
    events = list(ai.images.generate(prompt="x", size="64x32", stream=True, extra_body={"num_inference_steps": 3}))  # fmt: skip

    *steps, last = events
    assert "image_generation.completed" == last.type
    assert (64, 32) == opened(last.b64_json).size
    assert ("png", "64x32") == (last.output_format, last.size)
    assert {"image_generation.progress"} == {event.type for event in steps}
    assert [0, 1, 2, 3] == [event.to_dict()["step"] for event in steps]


def test_stream_of_several(ai: openai.OpenAI) -> None:
    """A stream of several pictures ends with one completed event for each."""
    events = ai.images.generate(prompt="x", n=2, stream=True)

    assert 2 == sum(event.type == "image_generation.completed" for event in events)


def test_stream_refused(ai: openai.OpenAI) -> None:
    """A stream that cannot begin is an error with its status, not a stream."""
    with pytest.raises(openai.UnprocessableEntityError):
        ai.images.generate(prompt="x", n=99, stream=True)


def test_stream_fails(tmp_path: Path) -> None:
    """A stream that fails on the way raises the client's error with our message."""
    with (
        Server(tmp_path, *ALLOWED, "--deadline", "0.5") as server,
        client(server.ready()) as ai,
        pytest.raises(openai.APIError, match="deadline"),
    ):
        list(ai.images.generate(prompt="x", stream=True, extra_body=LONG))


def test_timeout(ai: openai.OpenAI, server: Server) -> None:
    """A client that gives up after its own timeout leaves no work behind."""
    with pytest.raises(openai.APITimeoutError):
        ai.with_options(timeout=0.3).images.generate(prompt="x", extra_body=LONG)

    assert eventually(lambda: server.value(catalog.WORKERS, state=WorkerState.READY) == 1)
    assert ai.images.generate(prompt="x").data


def test_async(server: Server) -> None:
    """Its asynchronous client works alike, with several requests at once."""

    async def ask() -> list[int]:
        async with openai.AsyncOpenAI(
            base_url=f"{server.api}/v1",
            api_key="none",
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
        ) as ai:
            answers = await asyncio.gather(*(ai.images.generate(prompt="x") for _ in range(4)))
        return [len(answer.data or []) for answer in answers]

    assert [1] * 4 == asyncio.run(ask())
