"""What a subclass's handlers are given, may return, and may break."""

import asyncio
import logging
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import pytest
from driver import CHAT, HELLO, PROMPT, Client, ask, echo_server, is_idle, play, start, until
from hubs import settings
from pydantic import BaseModel

from penstock import (
    ApiError,
    BaseInferenceApiServer,
    EndpointConfig,
    JSONResponse,
    PenstockServer,
    Request,
    StreamingResponse,
    create_error_response,
)
from penstock._core import Hub, Metrics
from penstock.adapters.echo import EchoEngine
from penstock.http.worker_pool import WorkerPool


class Sum(BaseModel):
    numbers: list[int]


class Bare(BaseInferenceApiServer):
    """The smallest server: no engine at all."""

    @property
    def _endpoints(self) -> list[EndpointConfig]:
        own = {
            ("/sum", "POST"): self.sum,
            ("/echo/{word}", "GET"): self.echo,
            ("/pieces", "GET"): self.pieces,
            ("/broken", "GET"): self.broken,
            ("/broken_stream", "GET"): self.broken_stream,
            ("/refused", "GET"): self.refused,
            ("/seed", "GET"): self.seed,
        }
        added = [EndpointConfig(path=path, handler=handler, methods=[verb]) for (path, verb), handler in own.items()]
        return [*super()._endpoints, *added]

    async def chat_completions(self, request, raw_request):  # type: ignore[no-untyped-def]  # as a newcomer writes it
        return {"model": request.model, "asked": len(request.messages), "id": raw_request.request_id}

    async def completions(self, request: Any, raw_request: Request) -> str:
        return "plain text"

    def sum(self, content: Sum) -> dict[str, int]:
        return {"sum": sum(content.numbers)}

    async def echo(self, word: str, raw_request: Request) -> JSONResponse:
        answer = {"word": word, "by": raw_request.headers["x-by"], "method": raw_request.method}
        return JSONResponse(answer, 201, headers={"x-own": "1"})

    async def pieces(self, raw_request: Request) -> StreamingResponse:
        async def content() -> AsyncIterator[str]:
            for letter in "abc":
                yield f"data: {letter}\n\n"

        return StreamingResponse(content())

    async def broken(self, raw_request: Request) -> None:
        raise RuntimeError("secret detail")

    async def broken_stream(self, raw_request: Request) -> StreamingResponse:
        async def content() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            raise RuntimeError("secret detail")

        return StreamingResponse(content())

    async def refused(self, raw_request: Request) -> None:
        raise ApiError("rate_limit_exceeded", "Too often.", retry_after_s=2.5)

    async def seed(self, raw_request: Request) -> JSONResponse:
        return create_error_response(HTTPStatus.CONFLICT, "Taken.", raw_request.request_id)


def play_bare(path: str, method: str = "GET", content: Any = None, **headers: str) -> Client:
    found: list[Client] = []
    server = Bare()

    async def scene() -> None:
        found.append(await ask(server, method, path, content, **headers))

    play(server, scene)
    return found[0]


def test_a_body_is_parsed_by_the_handlers_annotation() -> None:
    assert play_bare("/sum", "POST", {"numbers": [1, 2, 3]}).json() == {"sum": 6}
    refused = play_bare("/sum", "POST", {"numbers": ["x"]})
    assert refused.status == 400
    assert refused.json()["error"]["param"] == "numbers[0]"


def test_an_override_without_annotations_gets_what_the_base_gets() -> None:
    answer = play_bare(CHAT, "POST", HELLO, x_request_id="mine").json()
    assert answer == {"model": "echo", "asked": 1, "id": "mine"}


def test_path_parameters_headers_and_status() -> None:
    answer = play_bare("/echo/hi", x_by="me")
    assert (answer.status, answer.headers["x-own"]) == (201, "1")
    assert answer.json() == {"word": "hi", "by": "me", "method": "GET"}


def test_pieces_are_streamed() -> None:
    answer = play_bare("/pieces")
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.body == b"data: a\n\ndata: b\n\ndata: c\n\n"
    assert answer.is_complete


def test_an_exception_is_told_by_its_id_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "penstock.server"):
        answer = play_bare("/broken", x_request_id="find-me")
    assert answer.status == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "find-me"
    assert b"secret" not in answer.body
    assert "find-me" in caplog.text
    assert "secret detail" in caplog.text


def test_a_stream_that_breaks_ends_with_an_error_and_done() -> None:
    answer = play_bare("/broken_stream")
    assert answer.is_complete
    assert answer.events[0] == 1
    assert answer.events[1]["error"]["code"] == "internal_error"


def test_errors_on_purpose() -> None:
    limited = play_bare("/refused")
    assert (limited.status, limited.headers["retry-after-ms"], limited.headers["retry-after"]) == (429, "2500", "3")
    taken = play_bare("/seed")
    assert taken.status == 409
    assert taken.json()["error"] == {"message": "Taken.", "type": "invalid_request_error", "param": None, "code": None}
    assert taken.json()["request_id"] == taken.headers["x-request-id"]


def test_answers_are_counted_by_their_template_and_status() -> None:
    server = Bare()

    async def scene() -> None:
        for path in ("/echo/a", "/echo/b", "/nowhere", "/broken"):
            await ask(server, "GET", path, x_by="me")
        assert server.metrics.total_requests == 0, "probes and strays are no work"
        await ask(server, "POST", CHAT, HELLO)
        await ask(server, "POST", CHAT, {})
        text = server.counters.render().decode()
        assert 'http_requests_total{handler="/echo/{word}",method="GET",status="2xx"} 2' in text
        assert 'http_requests_total{handler="/broken",method="GET",status="5xx"} 1' in text
        assert 'handler="none"' in text
        assert "nowhere" not in text
        metrics = server.metrics
        assert (metrics.total_requests, metrics.successful_requests, metrics.failed_requests) == (2, 1, 1)

    play(server, scene)


def test_helpers_of_the_base() -> None:
    server = echo_server()
    assert server._determine_finish_reason(5, 5, "") == "length"
    assert server._determine_finish_reason(4, 5, "") == "stop"
    assert server._count_tokens("Hello") == server._count_tokens("Hello", "echo") > 0

    async def scene() -> None:
        assert await server._count_tokens_async("Hello") == server._count_tokens("Hello")

    play(server, scene)


def test_an_overridden_handler_may_call_the_one_it_overrides() -> None:
    class Polite(PenstockServer):
        async def chat_completions(self, request: Any, raw_request: Request) -> Any:
            if len(request.messages) > 1:
                return create_error_response(HTTPStatus.TOO_MANY_REQUESTS, "One at a time.", raw_request.request_id)
            return await super().chat_completions(request, raw_request)

    server = echo_server(Polite)

    async def scene() -> None:
        assert (await ask(server, "POST", CHAT, HELLO)).status == 200
        refused = await ask(server, "POST", CHAT, {**HELLO, "messages": HELLO["messages"] * 2})
        assert refused.status == 429

    play(server, scene)


def test_an_answer_that_is_thrown_away_ends_its_generation() -> None:
    class Forgetful(PenstockServer):
        async def chat_completions(self, request: Any, raw_request: Request) -> Any:
            await super().chat_completions(request, raw_request)
            return {"instead": True}

    server = echo_server(Forgetful, echo_interval_ms=5)

    async def scene() -> None:
        answer = await ask(server, "POST", CHAT, {**HELLO, "max_tokens": 5000})
        assert answer.json() == {"instead": True}
        await until(lambda: is_idle(server))

    play(server, scene)


def test_a_client_that_leaves_while_a_handler_holds_the_answer_back() -> None:
    held = asyncio.Event()

    class Slow(PenstockServer):
        async def chat_completions(self, request: Any, raw_request: Request) -> Any:
            answer = await super().chat_completions(request, raw_request)
            held.set()
            while not await raw_request.is_disconnected():
                await asyncio.sleep(0.001)
            return answer

    server = echo_server(Slow, echo_interval_ms=5)

    async def scene() -> None:
        client = start(server, {**HELLO, "max_tokens": 5000, "stream": True})
        await held.wait()
        client.has_left.set()
        await asyncio.wait_for(client.answered, timeout=1)
        await until(lambda: is_idle(server))

    play(server, scene)


def test_a_pool_refuses_beyond_its_bound() -> None:
    pool = WorkerPool(1, max_jobs=0)
    server = echo_server()
    server.pool = pool

    async def scene() -> None:
        short = await ask(server, "POST", CHAT, HELLO)
        assert short.status == 200, "a short prompt needs no thread"
        long = {**HELLO, "messages": [{"role": "user", "content": "Hello " * 200}]}
        answer = await ask(server, "POST", CHAT, long)
        assert (answer.status, answer.json()["error"]["code"]) == (503, "server_overloaded")

    play(server, scene)


def test_a_refusal_before_the_body_counts_for_every_full_model() -> None:
    chosen = settings(engine="echo")
    metrics = Metrics()
    names = ("first", "second")
    engines = {
        name: EchoEngine(chosen, PROMPT, Hub(PROMPT.vocabulary, metrics.model(name)), metrics.model(name), name)
        for name in names
    }
    server = PenstockServer(chosen, engines, metrics)
    rejections = 'vllm:admission_rejections_total{reason="max_num_queued_reqs"}'

    def full() -> None:
        raise ApiError("server_overloaded", "The server is busy.")

    async def scene() -> None:
        for engine in engines.values():
            engine.check_has_room = full  # type: ignore[method-assign]
        assert (await ask(server, "POST", CHAT, HELLO)).status == 503
        assert [metrics.model(name).get(rejections) for name in names] == [1, 1]

    play(server, scene)
