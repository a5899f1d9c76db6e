"""Answers of other frameworks: what Starlette and FastAPI call a response is an ASGI application, and is run as one.

Nothing of those frameworks is imported: the protocol says all that is needed.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from penstock.http.request import Request
from penstock.http.response import Response, opening_headers
from penstock.http.types import Message, Send


class ForeignResponse(Response):
    """An ASGI application that answers one request. Its status and headers are sent as they are, beside those that
    every answer carries; its deadline, its client's leaving and the drain end it as they end any answer."""

    def __init__(self, application: Any) -> None:
        super().__init__()
        self._application = application

    async def send(self, send: Send, request: Request) -> int:
        unread = [await request.body()]  # behind it stands the client's leaving, which is watched from here on

        async def receive() -> Message:
            if unread:
                return {"type": "http.request", "body": unread.pop(), "more_body": False}
            never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
            return await never  # a client that leaves cancels the task

        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = self._with_headers(message, request)
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                request.cancel_scope.stop_watching()
            await send(message)

        await self._application(request.scope, receive, pass_on)
        return self.status_code

    def _with_headers(self, message: Message, request: Request) -> Message:
        self.status_code = message["status"]
        own = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", [])]
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in own}
        self.headers.setdefault("content-type", "")
        headers = opening_headers(request)
        said = {name for name, _ in headers}
        headers += [(name, value) for name, value in own if name not in said]
        return {**message, "headers": headers}


def is_asgi_application(returned: Any) -> bool:
    """Whether it can be called as `await returned(scope, receive, send)`."""
    if not callable(returned) or isinstance(returned, type):
        return False
    return inspect.iscoroutinefunction(returned if inspect.isroutine(returned) else type(returned).__call__)
