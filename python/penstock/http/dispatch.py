"""From an ASGI scope to the handler of its route, and from whatever happens there to one answer and one count."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Protocol

from penstock import _core
from penstock.errors import ApiError
from penstock.http.access_log import AccessEntry, AccessLog
from penstock.http.auth import KeyRing
from penstock.http.body_budget import BodyBudget
from penstock.http.cancel_scope import LAST_WORDS_S
from penstock.http.endpoint import EndpointConfig, checked
from penstock.http.error_response import api_error_response
from penstock.http.handler import BodyReader, BoundEndpoint
from penstock.http.open_peers import OpenPeers
from penstock.http.request import Request
from penstock.http.response import Response
from penstock.http.returned import answer_of, as_response
from penstock.http.types import Receive, Scope, Send

logger = logging.getLogger("penstock.server")

_NO_ROUTE = "none"
_REASONS = {
    "client_closed": "The client has left.",
    "deadline_exceeded": "The request took longer than its time limit.",
    "draining": "The server is shutting down.",
    "slow_reader": "The client does not read.",
}


class HttpServer(Protocol):
    """What a dispatcher asks of the server whose requests it answers.

    Attributes:
        open_requests: that are being answered now; open_peers: by the connection they came on.
        request_timeout: seconds; max_request_size: bytes of a body.
    """

    cors_origins: list[str]
    max_headers: int
    max_request_size: int
    request_timeout: float
    key_ring: KeyRing
    counters: _core.Metrics
    body_budget: BodyBudget
    access_log: AccessLog
    open_requests: set[Request]
    open_peers: OpenPeers

    @property
    def _endpoints(self) -> list[EndpointConfig]: ...

    @property
    def read_body(self) -> BodyReader: ...


class Dispatcher:
    """The routes of a server. Built once, when it starts.

    Raises:
        ConfigError: an entry of `_endpoints` that cannot be used.
    """

    def __init__(self, server: HttpServer) -> None:
        configs = checked(server._endpoints)
        self._server = server
        self._endpoints = [BoundEndpoint(each, read_body=server.read_body, owner=type(server)) for each in configs]
        self._router = _core.Router(
            [(each.path, each.methods, each.body != "none") for each in configs],
            cors_origins=server.cors_origins,
            max_body_bytes=server.max_request_size,
            max_headers=server.max_headers,
            error_shapes=[each.error_shape for each in configs],
        )

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request."""
        arrival = time.monotonic()
        head = self._router.read(scope)  # type: ignore[arg-type]  # ASGI promises a MutableMapping; hosts give a dict
        peer = self._server.open_peers.begin(scope)
        endpoint = self._endpoints[head.endpoint] if head.endpoint >= 0 else None
        request: Request | None = None
        status = 500
        try:
            if endpoint is None or head.answer is not None:
                status = await _send_ready(send, head)
            else:
                request = self._open(scope, receive, head=head, arrival=arrival)
                request.error_shape = endpoint.config.error_shape
                status = await self._answer(request, endpoint, send)
        finally:
            self._server.open_peers.end(peer)
            self._note(endpoint, head, request, status=status, seconds=time.monotonic() - arrival)

    def _open(self, scope: Scope, receive: Receive, *, head: _core.RequestHead, arrival: float) -> Request:
        server = self._server
        timeout_s = min(server.request_timeout, head.timeout_s or server.request_timeout)
        return Request(
            scope, receive, head, arrival=arrival, timeout_s=timeout_s,
            max_body_bytes=server.max_request_size, body_budget=server.body_budget,
        )  # fmt: skip

    async def _answer(self, request: Request, endpoint: BoundEndpoint, send: Send) -> int:
        server = self._server
        server.open_requests.add(request)
        response: Response | None = None
        try:
            server.key_ring.admit(request, is_open=endpoint.config.is_open)
            response = as_response(await endpoint.call(request))
            return await response.send(send, request)
        except (Exception, asyncio.CancelledError) as failure:
            # Under no other name: one that outlived this block would be a circle of failure, traceback and this frame,
            # and hold the body until the garbage collector comes by.
            return await self._refuse(send, request, response, failure)
        finally:
            request.cancel_scope.close()
            request.drop_body()
            server.open_requests.discard(request)

    async def _refuse(
        self, send: Send, request: Request, response: Response | None, failure: Exception | asyncio.CancelledError
    ) -> int:
        """Answers a request whose handler, or whose answer, has failed. Returns the status."""
        if not request.has_answered and (answer := answer_of(failure, request)) is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await answer.send(send, request)
            return answer.status_code
        error = _as_api_error(request, failure)
        if error.kind == "client_closed":
            return error.status
        try:
            async with asyncio.timeout(LAST_WORDS_S):  # a reader that takes nothing takes no last words either
                if not request.has_answered:
                    answer = api_error_response(error, request.request_id, request.error_shape)
                    return await answer.send(send, request)
                if response is not None and response.is_event_stream and error.kind != "slow_reader":
                    await _end_event_stream(send, request, error)
        except TimeoutError:
            pass
        # Without an end of its own the body breaks off, which a client notices: there is no other way left to tell.
        return error.status

    def _note(
        self, endpoint: BoundEndpoint | None, head: _core.RequestHead, request: Request | None, *,
        status: int, seconds: float,
    ) -> None:  # fmt: skip
        """Counts and logs a request that is over."""
        config = endpoint.config if endpoint is not None else None
        if config is not None and not config.is_counted:
            return
        route = config.path if config is not None else _NO_ROUTE
        is_work = config is not None and bool(config.is_work) and head.method in config.methods
        self._server.counters.count_request(route, head.method, status, seconds, is_work=is_work)
        if self._server.access_log.is_on:
            self._server.access_log.add(
                AccessEntry(
                    time.time(), head.method, route, status, seconds, head.request_id,
                    api_key_id=request.api_key_id if request is not None else "",
                    receipt=request.receipt if request is not None else None,
                    traceparent=head.traceparent,
                )
            )  # fmt: skip


async def _end_event_stream(send: Send, request: Request, error: ApiError) -> None:
    shape = request.error_shape
    body = _core.error_body(error.kind, error.message, param=error.param, request_id=request.request_id, shape=shape)
    last = b"data: " + body + b"\n\n" + _core.DONE if shape == "openai" else b"event: error\ndata: " + body + b"\n\n"
    request.cancel_scope.stop_watching()
    await send({"type": "http.response.body", "body": last, "more_body": False})


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


async def _send_ready(send: Send, head: _core.RequestHead) -> int:
    assert head.answer is not None, "a head without an endpoint is answered"
    status, headers, body = head.answer
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
    return status
