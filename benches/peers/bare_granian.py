"""The leanest honest peer: a bare Granian ASGI app that makes every event with orjson and sends it."""

from __future__ import annotations

import time
from typing import Any

import orjson
from ticker import INTERVAL_S, WORDS, Ticker

_TICKER = Ticker()
_HEAD = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")],
}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["method"] == "GET":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok", "more_body": False})
    else:
        await _stream(orjson.loads(await _read(receive)), send)


async def _lifespan(receive: Any, send: Any) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": message["type"] + ".complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _read(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _stream(request: dict[str, Any], send: Any) -> None:
    await send(_HEAD)
    created = int(time.time())
    for i in range(request["max_tokens"]):
        if INTERVAL_S:
            await _TICKER.wait()
        await send(_event(request["model"], created, {"content": WORDS[i % len(WORDS)]}, None))
    await send(_event(request["model"], created, {}, "length"))
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})


def _event(model: str, created: int, delta: dict[str, str], finish_reason: str | None) -> dict[str, Any]:
    chunk = {
        "id": "chatcmpl-bare",
        "object": "chat.completion.chunk",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }
    return {"type": "http.response.body", "body": b"data: " + orjson.dumps(chunk) + b"\n\n", "more_body": True}
