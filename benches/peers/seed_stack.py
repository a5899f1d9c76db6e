"""FastAPI and uvicorn in the manner of the server that Penstock replaces.

CORS, two function middlewares (request id, metrics), a lock around the set of active requests, a disconnect poll and
a pydantic model per event. The engine is the same ticker that the bare app has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from ticker import INTERVAL_S, WORDS, Ticker


class Message(BaseModel):
    role: str
    content: str


class ChatRequest(BaseModel):
    model: str
    messages: list[Message]
    max_tokens: int = 16
    stream: bool = False


class Delta(BaseModel):
    role: str | None = None
    content: str | None = None


class Choice(BaseModel):
    index: int
    delta: Delta
    finish_reason: str | None = None


class Chunk(BaseModel):
    id: str
    object: str = "chat.completion.chunk"
    created: int
    model: str
    choices: list[Choice]


app = FastAPI()
app.add_middleware(
    CORSMiddleware, allow_origins=["*"], allow_credentials=True, allow_methods=["*"], allow_headers=["*"]
)
_ticker = Ticker()
_active: set[str] = set()
_lock = asyncio.Lock()
_counts = {"total": 0, "successful": 0, "failed": 0}

Next = Callable[[Request], Awaitable[Response]]


@app.middleware("http")
async def add_request_id(request: Request, call_next: Next) -> Response:
    request.state.request_id = f"req_{int(time.time() * 1e6)}"
    async with _lock:
        _active.add(request.state.request_id)
    try:
        response = await call_next(request)
        response.headers["X-Request-ID"] = request.state.request_id
        return response
    finally:
        async with _lock:
            _active.discard(request.state.request_id)


@app.middleware("http")
async def count(request: Request, call_next: Next) -> Response:
    _counts["total"] += 1
    response = await call_next(request)
    _counts["successful" if response.status_code < 400 else "failed"] += 1
    return response


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ready"}


@app.post("/v1/chat/completions")
async def chat(request: ChatRequest, raw_request: Request) -> StreamingResponse:
    return StreamingResponse(_events(request, raw_request), media_type="text/event-stream")


async def _events(request: ChatRequest, raw_request: Request) -> AsyncIterator[str]:
    created = int(time.time())
    for i in range(request.max_tokens):
        if await raw_request.is_disconnected():
            return
        if INTERVAL_S:
            await _ticker.wait()
        yield _event(request.model, created, Delta(content=WORDS[i % len(WORDS)]), None)
    yield _event(request.model, created, Delta(), "length")
    yield "data: [DONE]\n\n"


def _event(model: str, created: int, delta: Delta, finish_reason: str | None) -> str:
    choice = Choice(index=0, delta=delta, finish_reason=finish_reason)
    chunk = Chunk(id="chatcmpl-seed", created=created, model=model, choices=[choice])
    return f"data: {chunk.model_dump_json(exclude_unset=True)}\n\n"
