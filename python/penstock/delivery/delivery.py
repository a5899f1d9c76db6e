"""A generation's way out: from an engine that has taken the work to the last byte of the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from penstock import _core
from penstock.adapters.engine import Engine
from penstock.adapters.outlets import Outlets
from penstock.delivery.pipe import Pipe
from penstock.http.error_response import error_headers
from penstock.http.request import Request
from penstock.http.response import Response
from penstock.http.types import Send

_CLIENT_GONE = 499
#: In a plain answer's warnings. A stream's head has left when it is known.
_MALFORMED_CALLS = "malformed_tool_calls"
_LAST_WORDS = {
    "deadline_exceeded": "The request took longer than its time limit.",
    "draining": "The server is shutting down.",
}


class Delivery(Response):
    """The answer of one hub stream, streamed or plain. Ends its generation when nobody is left to take it.

    Args:
        engine, outlets: of the stream's model.
        response_id: what the answer is called.
        is_streamed: an event stream; else one JSON body.
        on_end: called once when the stream has left, or was dropped.

    Attributes:
        keep: awaited with the answer, where its dialect hands that over to be kept, before the client has its end: who
            has read an answer can rely on its being kept.
    """

    def __init__(
        self, engine: Engine, outlets: Outlets, stream_key: int, request: Request, *,
        response_id: str, is_streamed: bool, on_end: Callable[[int], object],
    ) -> None:  # fmt: skip
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"} if is_streamed else {}
        super().__init__(headers=headers, media_type="text/event-stream" if is_streamed else "application/json")
        self.response_id = response_id
        self._engine = engine
        self._outlets = outlets
        self._key = stream_key
        self._request = request
        self._is_streamed = is_streamed
        self._pipe: Pipe | None = None
        self.keep: Callable[[bytes], Awaitable[None]] | None = None
        self._on_end = on_end
        outlets.follow(stream_key)
        request.cancel_scope.take_over(self.end)

    async def send(self, send: Send, request: Request) -> int:
        if request.cancel_scope.reason == "client_closed":  # while a handler still held the answer back
            return _CLIENT_GONE
        request.drop_body()
        status = 0
        try:
            status = await (self._stream(send, request) if self._is_streamed else self._whole(send, request))
            return status
        finally:
            if not status:  # cancelled, or the host failed
                self._drop()
            request.cancel_scope.give_back()
            self._forget()

    def end(self, reason: str) -> None:
        """Ends the generation for a row of the error table; a client that is still there is told."""
        self._engine.cancel(self._key)
        if reason == "client_closed":
            self._keep(self._engine.hub.cancel(self._key))
            if self._pipe is not None:
                self._pipe.close()
            self._forget()
        else:
            self._engine.hub.fail(self._key, reason, _LAST_WORDS[reason])
            self._outlets.wake()

    def let_go(self) -> None:
        """Stops waiting for a reader that takes nothing."""
        self._request.cancel_scope.reason = "slow_reader"
        self._drop()
        self._request.cancel_scope.task.cancel()

    async def _stream(self, send: Send, request: Request) -> int:
        pipe = self._pipe = Pipe(self._outlets, self._key, send, request.cancel_scope.task)
        await send(self._start(request))  # an event stream's head leaves the host at once
        frames, status, receipt = await pipe.pump()
        self._keep(receipt)
        await self._hand_over(receipt)
        if status != _CLIENT_GONE:
            request.cancel_scope.stop_watching()
            await send({"type": "http.response.body", "body": frames, "more_body": False})
        return status

    async def _whole(self, send: Send, request: Request) -> int:
        status, body, receipt = 0, b"", None
        while not status:
            body, status, receipt = await self._outlets.next(self._key)
            self._keep(receipt)
        if status == _CLIENT_GONE:
            return status
        await self._hand_over(receipt)
        self.status_code = status
        self.headers |= error_headers(status)
        if receipt is not None and receipt.num_malformed_calls:
            request.warnings.append(_MALFORMED_CALLS)
        self.body = body
        return await super().send(send, request)

    def _keep(self, receipt: _core.Receipt | None) -> None:
        self._request.receipt = receipt or self._request.receipt

    async def _hand_over(self, receipt: _core.Receipt | None) -> None:
        if self.keep is not None and receipt is not None and (record := receipt.take_record()) is not None:
            await self.keep(record)

    def _forget(self) -> None:
        self._outlets.close(self._key)
        self._on_end(self._key)

    def _drop(self) -> None:
        self._engine.cancel(self._key)
        self._keep(self._engine.hub.cancel(self._key))
