"""Drives a server through ASGI in the test's own process, as a client that can leave or stop reading at will."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson

sys.path.insert(0, str(Path(__file__).parents[1] / "adapters"))
sys.path.insert(0, str(Path(__file__).parents[1] / "contract"))

from hubs import load_prompt, make_hub, settings

from penstock.adapters.echo import EchoEngine
from penstock.server.app import PenstockServer
from penstock.server.base import BaseInferenceApiServer

PROMPT = load_prompt()
HELLO: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
CHAT = "/v1/chat/completions"


class Client:
    """One request. Attributes: status, headers, pieces of the body; has_left: set it to leave; may_read: clear it to
    stop reading; got: set at every piece; is_whole: whether the body has an end."""

    def __init__(
        self, server: BaseInferenceApiServer, method: str, path: str, body: bytes = b"", query: str = "", **headers: str
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.is_complete = False
        self.is_whole = True
        self.has_left = asyncio.Event()
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.got = asyncio.Event()
        self._body: bytes | None = body
        sent = {"content_type": "application/json", "content_length": str(len(body)), **headers}
        if not body:
            sent = headers
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "scheme": "http",
            "http_version": "1.1",
        }

        async def answer() -> None:
            await server(scope, self._receive, self._send)

        self.answered = asyncio.create_task(answer())

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": not self.is_whole}
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        if not self.may_read.is_set():
            await self.may_read.wait()
        self.pieces.append(message["body"])
        self.is_complete = not message.get("more_body", False)
        self.got.set()

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The stream's events; the last must be [DONE]."""
        assert self.headers["content-type"] == "text/event-stream"
        *events, done, rest = self.body.split(b"\n\n")
        assert (done, rest) == (b"data: [DONE]", b"")
        return [orjson.loads(event.removeprefix(b"data: ")) for event in events if not event.startswith(b":")]


async def ask(server: BaseInferenceApiServer, method: str, path: str, content: Any = None, **headers: str) -> Client:
    """One whole answer."""
    client = Client(server, method, path, b"" if content is None else orjson.dumps(content), **headers)
    await asyncio.wait_for(client.answered, timeout=20)
    return client


def start(server: BaseInferenceApiServer, content: dict[str, Any], path: str = CHAT, **headers: str) -> Client:
    """A POST under way."""
    return Client(server, "POST", path, orjson.dumps(content), **headers)


def echo_server(cls: type[PenstockServer] = PenstockServer, **given: Any) -> PenstockServer:
    chosen = settings(engine="echo", **given)
    hub, metrics = make_hub(PROMPT, max_pending_bytes=chosen.max_pending_bytes)
    return cls(chosen, {"echo": EchoEngine(chosen, PROMPT, hub, metrics.model("echo"), "echo")}, metrics)


def play(server: BaseInferenceApiServer, scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs `scene` while the server is up."""

    async def run() -> None:
        await server.startup()
        try:
            while server.status.value == "starting" and isinstance(server, PenstockServer):
                await asyncio.sleep(0.002)
            await asyncio.wait_for(scene(), timeout=20)
        finally:
            await server.shutdown()

    asyncio.run(run())


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


def num_open(server: PenstockServer) -> int:
    return sum(model.hub.num_open for model in server.models.values())


def is_idle(server: PenstockServer) -> bool:
    status = [model.engine.status() for model in server.models.values()]
    return num_open(server) == 0 and not any(each.num_running or each.num_waiting for each in status)
