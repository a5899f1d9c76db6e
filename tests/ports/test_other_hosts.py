"""`server.app` where a ported server's tests and its operator have put an application so far."""

import warnings
from typing import Any

import uvicorn
from driver import CHAT, HELLO, ask, play
from starlette.middleware.gzip import GZipMiddleware

from penstock import BaseInferenceApiServer, ChatCompletionResponse, ChatCompletionResponseChoice, ChatMessage

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own way to ask
    from starlette.testclient import TestClient


class Fixed(BaseInferenceApiServer):
    hooks: tuple[str, ...] = ()

    async def on_startup(self) -> None:
        self.hooks += ("start",)

    async def on_shutdown(self) -> None:
        self.hooks += ("end",)

    async def chat_completions(self, request: Any, raw_request: Any) -> Any:
        message = ChatMessage(role="assistant", content="Hi " * 400)
        choice = ChatCompletionResponseChoice(message=message, finish_reason="stop")
        return ChatCompletionResponse(model="fixed", choices=[choice])

    async def completions(self, request: Any, raw_request: Any) -> Any: ...


def test_the_test_client_of_starlette_asks_it() -> None:
    server = Fixed()
    with TestClient(server.app) as client:
        assert server.hooks == ("start",)
        assert client.get("/ready").status_code == 200
        answer = client.post(CHAT, json=HELLO)
        assert answer.json()["choices"][0]["message"]["content"].startswith("Hi Hi")
        assert client.post(CHAT, json={}).status_code == 400
    assert server.hooks == ("start", "end")


def test_a_middleware_around_it() -> None:
    with TestClient(GZipMiddleware(Fixed().app)) as client:
        answer = client.post(CHAT, json=HELLO, headers={"accept-encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.json()["model"] == "fixed"


def test_uvicorn_takes_it_for_what_it_is() -> None:
    config = uvicorn.Config(Fixed().app)
    config.load()
    assert config.interface == "asgi3"


def test_it_is_the_server_itself() -> None:
    server = Fixed()

    async def scene() -> None:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {"type": "http", "method": "GET", "path": "/health", "raw_path": b"/health", "query_string": b"",
                 "headers": [], "scheme": "http", "http_version": "1.1", "client": None}  # fmt: skip
        await server.app(scope, receive, send)
        assert sent[0]["status"] == (await ask(server, "GET", "/health")).status == 200

    play(server, scene)
