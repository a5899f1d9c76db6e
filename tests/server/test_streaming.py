"""A stream of one's own, and what stands between it and its host: deadlines, drains, leaving, context variables."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest
from driver import CHAT, HELLO, Client, ask, echo_server, is_idle, play, start, until

from penstock import BaseInferenceApiServer, EndpointConfig, PenstockServer, Request, StreamingResponse
from penstock.http import cancel_scope

SPAN: ContextVar[str] = ContextVar("SPAN", default="none")


class Ticking(PenstockServer):
    """GET /ticks: a number every few milliseconds, for ever. `closed` is set when its generator ends."""

    closed: asyncio.Event

    @property
    def _endpoints(self) -> list[EndpointConfig]:
        return [*super()._endpoints, EndpointConfig(path="/ticks", handler=self.ticks, methods=["GET"])]

    async def ticks(self, raw_request: Request) -> StreamingResponse:
        self.closed = asyncio.Event()

        async def content() -> AsyncIterator[str]:
            number = 0
            try:
                while True:
                    yield f"data: {number}\n\n"
                    number += 1
                    await asyncio.sleep(0.002)
            finally:
                self.closed.set()

        return StreamingResponse(content())


@pytest.fixture
def brief_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("penstock.http.cancel_scope", "penstock.http.dispatch"):
        monkeypatch.setattr(f"{module}.LAST_WORDS_S", 0.1)
    assert cancel_scope.LAST_WORDS_S == 0.1


def test_a_get_stream_learns_that_its_client_left() -> None:
    server = echo_server(Ticking)

    async def scene() -> None:
        client = Client(server, "GET", "/ticks")
        await client.got.wait()
        client.has_left.set()
        await asyncio.wait_for(client.answered, timeout=1)
        assert server.closed.is_set()
        assert not client.is_complete

    play(server, scene)


def test_the_deadline_ends_an_own_stream_whose_reader_stalls(brief_last_words: None) -> None:
    server = echo_server(Ticking, request_timeout_s=0.2)

    async def scene() -> None:
        client = Client(server, "GET", "/ticks")
        await client.got.wait()
        client.may_read.clear()
        await asyncio.wait_for(client.answered, timeout=2)
        assert server.closed.is_set()

    play(server, scene)


def test_the_deadline_of_an_own_stream_is_told_to_a_reader() -> None:
    server = echo_server(Ticking, request_timeout_s=0.2)

    async def scene() -> None:
        client = await ask(server, "GET", "/ticks")
        assert client.events[-1]["error"]["code"] == "deadline_exceeded"

    play(server, scene)


@pytest.mark.parametrize("path", ["/ticks", CHAT])
def test_a_drain_ends_streams_whose_readers_stall(brief_last_words: None, path: str) -> None:
    server = echo_server(Ticking, keep_alive_s=60)

    async def scene() -> None:
        if path == CHAT:
            client = start(server, {**HELLO, "stream": True, "max_tokens": 5000})
        else:
            client = Client(server, "GET", path)
        await client.got.wait()
        client.may_read.clear()
        await asyncio.sleep(0.02)
        server.begin_drain()
        await asyncio.wait_for(server.drain(0), timeout=3)
        assert client.answered.done()
        assert not server.open_requests
        await until(lambda: is_idle(server))

    play(server, scene)


class Tracing:
    """Middleware that sets a context variable around every `send`, and one around the whole request."""

    def __init__(self, server: BaseInferenceApiServer) -> None:
        self.server = server
        self.seen: set[str] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        outer = SPAN.set("request")

        async def traced(message: Any) -> None:
            self.seen.add(SPAN.get())
            token = SPAN.set("send")
            await send(message)
            SPAN.reset(token)

        await self.server(scope, receive, traced)
        SPAN.reset(outer)


def test_a_middleware_that_resets_a_context_variable_around_each_send() -> None:
    server = echo_server(keep_alive_s=60)
    app = Tracing(server)

    async def scene() -> None:
        body = {**HELLO, "stream": True, "max_tokens": 300}
        client = start(app, body)  # type: ignore[arg-type]  # an ASGI application is all that is asked for
        while not client.answered.done():  # sends that are through at once, and sends that wait
            client.may_read.clear()
            await asyncio.sleep(0.01)
            client.may_read.set()
            await asyncio.sleep(0.005)
        await client.answered
        assert client.events[-1]["choices"][0]["finish_reason"] == "length"
        assert app.seen == {"request"}

    play(server, scene)


def test_a_send_that_fails_once_ends_with_an_error_event_and_done() -> None:
    server = echo_server(echo_interval_ms=2)

    async def flaky(scope: Any, receive: Any, send: Any) -> None:
        num_sent = 0

        async def failing(message: Any) -> None:
            nonlocal num_sent
            num_sent += 1
            if num_sent == 5:
                raise RuntimeError("the middleware is broken")
            await send(message)

        await server(scope, receive, failing)

    async def scene() -> None:
        client = start(flaky, {**HELLO, "stream": True, "max_tokens": 5000})  # type: ignore[arg-type]
        await asyncio.wait_for(client.answered, timeout=2)
        assert client.is_complete
        assert client.events[-1]["error"]["code"] == "internal_error"
        await until(lambda: is_idle(server))

    play(server, scene)
