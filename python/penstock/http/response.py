"""Answers: what a handler returns. Each knows how to send itself and says which status it ended with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from functools import lru_cache
from itertools import starmap
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel

from penstock.http.types import Send

if TYPE_CHECKING:
    from penstock.http.request import Request

#: A length here would be forbidden, or taken for that of what is not sent again (RFC 9110, 8.6).
_BODILESS = (204, 304)


class Response:
    """A whole answer.

    Args:
        content: the body; text becomes UTF-8.
        media_type: the content type.
        headers: beside those that every answer carries (x-request-id, server, CORS).
    """

    media_type = "text/plain; charset=utf-8"

    def __init__(
        self,
        content: bytes | str = b"",
        status_code: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
    ) -> None:
        self.body = content.encode() if isinstance(content, str) else content
        self.status_code = int(status_code)
        self.headers = dict(headers or {})
        self.headers.setdefault("content-type", media_type or self.media_type)

    @property
    def is_event_stream(self) -> bool:
        return self.headers["content-type"].startswith("text/event-stream")

    async def send(self, send: Send, request: Request) -> int:
        """Sends everything. Returns the status it ended with, which for a stream may be worse than what its head
        said."""
        await send(self._start(request, content_length=None if self.status_code in _BODILESS else len(self.body)))
        request.cancel_scope.stop_watching()
        await send({"type": "http.response.body", "body": self.body, "more_body": False})
        return self.status_code

    def _start(self, request: Request, *, content_length: int | None = None) -> dict[str, Any]:
        headers = opening_headers(request)
        headers += starmap(_raw, self.headers.items())
        if content_length is not None:
            headers.append((b"content-length", b"%d" % content_length))
        return {"type": "http.response.start", "status": self.status_code, "headers": headers}


@lru_cache(maxsize=256)  # nearly all answers have one of a few sets
def _raw(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode("latin-1"), value.encode("latin-1")


def opening_headers(request: Request) -> list[tuple[bytes, bytes]]:
    """The headers of every answer to `request`, whose head is being sent."""
    headers = list(request.answer_headers)
    if request.error_shape == "anthropic":  # whose client looks for the id under this name
        headers.append((b"request-id", request.request_id.encode()))
    if request.head.closes_if_unread and not request.has_read_body:
        headers.append((b"connection", b"close"))
    if request.warnings:
        headers.append((b"x-penstock-warnings", ", ".join(request.warnings).encode("latin-1")))
    request.has_answered = True
    return headers


class JSONResponse(Response):
    """JSON from plain data, or bytes that are JSON already."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, *, headers: Mapping[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else orjson.dumps(content, default=_plain)
        super().__init__(body, status_code, headers=headers)


class StreamingResponse(Response):
    """Pieces of a body as they come. A failure between pieces of an event stream ends it with an error event."""

    def __init__(
        self,
        content: AsyncIterable[bytes | str],
        status_code: int = 200,
        *,
        headers: Mapping[str, str] | None = None,
        media_type: str = "text/event-stream",
    ) -> None:
        super().__init__(b"", status_code, headers={"cache-control": "no-cache", **(headers or {})},
                         media_type=media_type)  # fmt: skip
        if not hasattr(content, "__aiter__"):
            raise TypeError(
                f"StreamingResponse takes an async iterable (an 'async def' with 'yield'), not {content!r}."
            )
        self.content = content

    async def send(self, send: Send, request: Request) -> int:
        await request.body()  # behind it stands the client's leaving, which a stream must hear of
        await send(self._start(request))
        if not self.is_event_stream:  # the host holds any other head back until the first piece, an empty one here
            await send({"type": "http.response.body", "body": b"", "more_body": True})
        try:
            async for piece in self.content:
                body = piece.encode() if isinstance(piece, str) else piece
                await send({"type": "http.response.body", "body": body, "more_body": True})
        finally:
            if isinstance(self.content, AsyncGenerator):  # cancelled in `send`, it does not know of it yet
                await self.content.aclose()
        request.cancel_scope.stop_watching()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return self.status_code


def _plain(value: Any) -> Any:
    """For orjson: models inside plain data."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    raise TypeError(f"{type(value).__name__} is not JSON")
