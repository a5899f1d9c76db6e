"""What handlers written for Starlette and FastAPI return and raise is sent as it is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import fastapi
import pytest
from driver import Client, ask, play
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.background import BackgroundTask

from penstock import BaseInferenceApiServer, ConfigError, EndpointConfig


class Ported(BaseInferenceApiServer):
    """A server with one handler, at GET /it."""

    def __init__(self, handler: Any, **given: Any) -> None:
        super().__init__(**given)
        self._handler = handler

    @property
    def _endpoints(self) -> list[EndpointConfig]:
        return [*super()._endpoints, EndpointConfig(path="/it", handler=self._handler, methods=["GET", "POST"])]

    async def chat_completions(self, request: Any, raw_request: Any) -> Any:
        return {}

    async def completions(self, request: Any, raw_request: Any) -> Any:
        return {}


def play_handler(handler: Any, method: str = "GET", content: Any = None, **headers: str) -> Client:
    found: list[Client] = []
    server = Ported(handler, cors_origins="https://a.example")

    async def scene() -> None:
        found.append(await ask(server, method, "/it", content, **headers))

    play(server, scene)
    return found[0]


PAGE = Path(__file__)


async def letters() -> AsyncIterator[str]:
    for letter in "abc":
        yield f"data: {letter}\n\n"


@pytest.mark.parametrize(
    ("returned", "status", "media_type", "body"),
    [
        (lambda: JSONResponse({"a": 1}, status_code=201), 201, "application/json", b'{"a":1}'),
        (lambda: Response(b"raw", media_type="image/png"), 200, "image/png", b"raw"),
        (lambda: HTMLResponse("<p>"), 200, "text/html; charset=utf-8", b"<p>"),
        (lambda: Response(status_code=204), 204, None, b""),
        (lambda: RedirectResponse("/there"), 307, None, b""),
        (lambda: StreamingResponse(letters(), media_type="text/event-stream"), 200, "text/event-stream; charset=utf-8",
         b"data: a\n\ndata: b\n\ndata: c\n\n"),
        (lambda: StreamingResponse(iter(["x", "y"])), 200, None, b"xy"),
        (lambda: FileResponse(PAGE), 200, "text/x-python; charset=utf-8", PAGE.read_bytes()),
    ],
)  # fmt: skip
def test_a_response_is_sent_as_it_is(returned: Any, status: int, media_type: str | None, body: bytes) -> None:
    async def handler() -> Any:
        return returned()

    answer = play_handler(handler, x_request_id="mine", origin="https://a.example")
    assert (answer.status, answer.headers.get("content-type"), answer.body) == (status, media_type, body)
    assert answer.is_complete
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["access-control-allow-origin"] == "https://a.example"


def test_its_own_headers_stay_and_the_servers_win() -> None:
    async def handler() -> Any:
        answer = JSONResponse({}, headers={"X-Own": "1", "X-Request-ID": "another"})
        answer.set_cookie("a", "1")
        return answer

    answer = play_handler(handler, x_request_id="mine")
    assert answer.headers["x-own"] == "1"
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["set-cookie"].startswith("a=1")


def test_a_background_task_runs_after_the_answer() -> None:
    ran: list[str] = []

    async def handler() -> Any:
        return JSONResponse({}, background=BackgroundTask(ran.append, "after"))

    assert play_handler(handler).status == 200
    assert ran == ["after"]


def test_any_asgi_application_answers() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": scope["method"].encode() + message["body"]})

    async def handler() -> Any:
        return application

    assert play_handler(handler, "POST", {"a": 1}).body == b'POST{"a":1}'


def test_a_stream_that_breaks_ends_with_an_error_and_done() -> None:
    async def breaks() -> AsyncIterator[str]:
        yield "data: 1\n\n"
        raise RuntimeError("secret detail")

    async def handler() -> Any:
        return StreamingResponse(breaks(), media_type="text/event-stream")

    answer = play_handler(handler)
    assert answer.is_complete
    assert b'data: 1\n\ndata: {"error"' in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert b"secret" not in answer.body


@pytest.mark.parametrize("spec_version", ["2.0", "2.4"])
def test_a_stream_whose_client_leaves_is_closed(spec_version: str) -> None:
    async def scene_of(server: Ported, closed: asyncio.Event) -> None:
        client = Client(server, "GET", "/it")
        await asyncio.wait_for(client.got.wait(), timeout=5)
        client.has_left.set()
        await asyncio.wait_for(closed.wait(), timeout=5)
        await asyncio.wait_for(client.answered, timeout=5)
        assert not server.open_requests

    closed = asyncio.Event()

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "data: 1\n\n"
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async def handler(raw_request: fastapi.Request) -> Any:
        raw_request.scope["asgi"] = {"version": "3.0", "spec_version": spec_version}
        return StreamingResponse(endless(), media_type="text/event-stream")

    server = Ported(handler)
    play(server, lambda: scene_of(server, closed))


def test_the_time_limit_ends_it() -> None:
    async def endless() -> AsyncIterator[str]:
        while True:
            yield "data: 1\n\n"
            await asyncio.sleep(0.01)

    async def handler() -> Any:
        return StreamingResponse(endless(), media_type="text/event-stream")

    server = Ported(handler, request_timeout=0.1)

    async def scene() -> None:
        answer = await ask(server, "GET", "/it")
        assert b'"deadline_exceeded"' in answer.body
        assert answer.body.endswith(b"data: [DONE]\n\n")

    play(server, scene)


def test_an_http_exception_has_openais_shape() -> None:
    async def handler(raw_request: Any) -> Any:
        raise fastapi.HTTPException(status_code=418, detail="No tea here.", headers={"x-own": "1"})

    answer = play_handler(handler, x_request_id="mine")
    assert answer.status == 418
    assert answer.headers["x-own"] == "1"
    assert answer.json()["error"]["message"] == "No tea here."
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["request_id"] == "mine"


def test_an_http_exception_with_a_structure_for_detail() -> None:
    async def handler() -> Any:
        raise fastapi.HTTPException(503, detail={"reason": "busy"})

    answer = play_handler(handler)
    assert (answer.status, answer.json()["error"]["type"]) == (503, "server_error")
    assert "503" in answer.json()["error"]["message"]


def test_what_a_handler_reads_of_a_request() -> None:
    async def handler(raw_request: fastapi.Request) -> Any:
        assert raw_request.client is not None
        return {
            "key": raw_request.headers.get("X-My-Key"),
            "same": raw_request.headers["x-my-key"],
            "has": "X-MY-KEY" in raw_request.headers,
            "none": raw_request.headers.get("X-Other", "no"),
            "host": raw_request.client.host,
            "id": raw_request.state.request_id,
            "body": await raw_request.json(),
        }

    answer = play_handler(handler, "POST", {"a": 1}, x_my_key="k", x_request_id="mine").json()
    assert answer == {"key": "k", "same": "k", "has": True, "none": "no", "host": "127.0.0.1", "id": "mine",
                      "body": {"a": 1}}  # fmt: skip


def test_a_stream_of_a_plain_generator_is_refused_by_name(caplog: pytest.LogCaptureFixture) -> None:
    from penstock import StreamingResponse as OwnStreamingResponse

    async def handler() -> Any:
        return OwnStreamingResponse(iter(["a"]))  # type: ignore[arg-type]

    assert play_handler(handler).status == 500
    assert "takes an async iterable" in caplog.text


# ---- parameters as FastAPI spells them


def test_query_and_path_are_understood() -> None:
    async def handler(
        needed: str = fastapi.Query(),
        limit: int = fastapi.Query(10, le=20),
        wide: Annotated[bool, fastapi.Query()] = False,
    ) -> Any:
        return [needed, limit, wide]

    server = Ported(handler)

    async def scene() -> None:
        async def got(query: str) -> Client:
            client = Client(server, "GET", "/it", query=query)
            await client.answered
            return client

        assert (await got("needed=a")).json() == ["a", 10, False]
        assert (await got("needed=a&limit=3&wide=true")).json() == ["a", 3, True]
        for query, param in (("limit=3", "needed"), ("needed=a&limit=21", "limit")):
            refused = await got(query)
            assert (refused.status, refused.json()["error"]["param"]) == (400, param)

    play(server, scene)


DATABASE = fastapi.Depends(dict)


async def injected(database: Any = DATABASE) -> Any: ...
async def from_header(key: str = fastapi.Header()) -> Any: ...
async def from_annotated_header(key: Annotated[str, fastapi.Header()] = "") -> Any: ...
async def aliased(key: str = fastapi.Query("", alias="k")) -> Any: ...


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (injected, "Depends of the parameter 'database'"),
        (from_header, "Header of the parameter 'key'"),
        (from_annotated_header, "Header of the parameter 'key'"),
        (aliased, "Query.alias='k'. of the parameter 'key'"),
    ],
)
def test_what_is_not_known_fails_the_start(handler: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=f"Endpoint '/it': FastAPI's {words} is not known here"):
        play(Ported(handler), asyncio.Event().wait)  # type: ignore[arg-type]
