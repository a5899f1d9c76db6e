"""From an ASGI scope to the handler of its route, and from whatever happens there to one answer and one count."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from penstock import _core
from penstock.errors import ApiError
from penstock.http.auth import KeyRing
from penstock.http.endpoint import BodyReader, BoundEndpoint, EndpointConfig
from penstock.http.error_response import api_error_response
from penstock.http.request import Request
from penstock.http.response import Response, StreamingResponse, as_response
from penstock.http.types import Receive, Scope, Send

logger = logging.getLogger("penstock.server")

_NO_ROUTE = "none"
_REJECTIONS = 'vllm:admission_rejections_total{reason="max_num_queued_reqs"}'
_REASONS = {
    "client_closed": "The client has left.",
    "deadline_exceeded": "The request took longer than its time limit.",
    "draining": "The server is shutting down.",
    "slow_reader": "The client does not read.",
}


class HttpServer(Protocol):
    """What a dispatcher asks of the server whose requests it answers.

    Attributes:
        open_requests: that are being answered now.
        request_timeout: seconds; max_request_size: bytes of a body.
    """

    cors_origins: list[str]
    max_headers: int
    max_request_size: int
    request_timeout: float
    key_ring: KeyRing
    counters: _core.Metrics
    open_requests: set[Request]

    @property
    def _endpoints(self) -> list[EndpointConfig]: ...

    @property
    def read_body(self) -> BodyReader: ...


class Dispatcher:
    """The routes of a server. Built once, when it starts."""

    def __init__(self, server: HttpServer) -> None:
        endpoints = server._endpoints
        self._server = server
        self._endpoints = [
            BoundEndpoint(endpoint, read_body=server.read_body, owner=type(server)) for endpoint in endpoints
        ]
        self._router = _core.Router(
            [(endpoint.path, endpoint.methods) for endpoint in endpoints],
            cors_origins=server.cors_origins,
            max_body_bytes=server.max_request_size,
            max_headers=server.max_headers,
        )

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request."""
        arrival = time.monotonic()
        head = self._router.read(scope)  # type: ignore[arg-type]  # ASGI promises a MutableMapping; hosts give a dict
        status = 500
        try:
            if head.answer is not None:
                status = head.answer[0]
                await _send_ready(send, head.answer)
            else:
                status = await self._answer(scope, receive, send, head=head, arrival=arrival)
        finally:
            handler = self._endpoints[head.endpoint].path if head.endpoint >= 0 else _NO_ROUTE
            self._server.counters.count_request(handler, head.method, status, time.monotonic() - arrival)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, *, head: _core.RequestHead, arrival: float
    ) -> int:
        server = self._server
        timeout_s = min(server.request_timeout, head.timeout_s or server.request_timeout)
        request = Request(
            scope, receive, head, arrival=arrival, max_body_bytes=server.max_request_size, timeout_s=timeout_s
        )
        server.open_requests.add(request)
        response: Response | None = None
        try:
            server.key_ring.admit(request)
            response = as_response(await self._endpoints[head.endpoint].call(request))
            return await response.send(send, request)
        except (Exception, asyncio.CancelledError) as failure:
            error = _as_api_error(request, failure)
            if error.kind == "server_overloaded":
                server.counters.add(_REJECTIONS, 1)
            return await _refuse(send, request, response, error)
        finally:
            request.cancel_scope.close()
            server.open_requests.discard(request)


async def _refuse(send: Send, request: Request, response: Response | None, error: ApiError) -> int:
    """Answers a request whose handler, or whose answer, has failed. Returns the status."""
    if error.kind == "client_closed":
        return error.status
    if not request.has_answered:
        return await api_error_response(error, request.request_id).send(send, request)
    if isinstance(response, StreamingResponse) and response.is_event_stream and error.kind != "slow_reader":
        body = _core.error_body(error.kind, error.message, param=error.param, request_id=request.request_id)
        last = b"data: " + body + b"\n\n" + _core.DONE
        request.cancel_scope.stop_watching()
        await send({"type": "http.response.body", "body": last, "more_body": False})
    # Else the body stays without its end, which a client notices: there is no other way left to tell.
    return error.status


def _as_api_error(request: Request, failure: Exception | asyncio.CancelledError) -> ApiError:
    if isinstance(failure, ApiError):
        return failure
    reason = request.cancel_scope.reason
    if isinstance(failure, asyncio.CancelledError):
        task = asyncio.current_task()
        if reason is None or task is None:
            raise failure  # not ours: the host stops
        task.uncancel()
        return ApiError(reason, _REASONS[reason])
    logger.error("%s %s failed (request %s)", request.method, request.path, request.request_id, exc_info=failure)
    return ApiError("internal_error", f"The server failed; its log says why, under {request.request_id}.")


async def _send_ready(send: Send, answer: tuple[int, list[tuple[bytes, bytes]], bytes]) -> None:
    status, headers, body = answer
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
