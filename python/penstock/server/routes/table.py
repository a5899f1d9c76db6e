"""The list of endpoints that a server starts from."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from penstock.http.endpoint import EndpointConfig
from penstock.http.request import Request
from penstock.protocol import (
    ChatCompletionRequest,
    CompletionRequest,
    ModelList,
    ModelObject,
    ToolExecutionRequest,
    ToolExecutionResponse,
    ToolList,
)
from penstock.protocol.probes import HealthResponse, MetricsResponse, ReadyResponse, VersionResponse
from penstock.server.documents import Documents

_STREAM = {"text/event-stream": None}


class Handlers(Protocol):
    """A server's handlers, by the names a subclass overrides."""

    enable_function_calling: bool
    documents: Documents | None

    def chat_completions(self, request: ChatCompletionRequest, raw_request: Request) -> Awaitable[Any]: ...
    def completions(self, request: CompletionRequest, raw_request: Request) -> Awaitable[Any]: ...
    def list_models(self, raw_request: Request) -> Awaitable[Any]: ...
    def get_model(self, model_id: str, raw_request: Request) -> Awaitable[Any]: ...
    def health_check(self, raw_request: Request) -> Awaitable[Any]: ...
    def ready_check(self, raw_request: Request) -> Awaitable[Any]: ...
    def get_version(self, raw_request: Request) -> Awaitable[Any]: ...
    def get_metrics(self, raw_request: Request) -> Awaitable[Any]: ...
    def list_tools(self, raw_request: Request) -> Awaitable[Any]: ...
    def execute_tool(self, request: ToolExecutionRequest, raw_request: Request) -> Awaitable[Any]: ...


def endpoints(server: Handlers) -> list[EndpointConfig]:
    """What `server` answers, in the order of documents."""
    routes = [
        EndpointConfig(
            path="/v1/chat/completions", handler=server.chat_completions, methods=["POST"], tags=["Chat"],
            summary="Continue a chat, plain or streamed", request_model=ChatCompletionRequest, media_types=_STREAM,
        ),
        EndpointConfig(
            path="/v1/completions", handler=server.completions, methods=["POST"], tags=["Completions"],
            summary="Continue a text or token ids, plain or streamed", request_model=CompletionRequest,
            media_types=_STREAM,
        ),
        EndpointConfig(
            path="/v1/models", handler=server.list_models, methods=["GET"], tags=["Models"],
            summary="Every model this server serves", response_model=ModelList,
        ),
        EndpointConfig(
            path="/v1/models/{model_id}", handler=server.get_model, methods=["GET"], tags=["Models"],
            summary="One model: its limits, capabilities and sampling defaults", response_model=ModelObject,
        ),
        EndpointConfig(
            path="/health", handler=server.health_check, methods=["GET"], tags=["Health"],
            summary="Whether the server lives, and what it is busy with",
            response_model=HealthResponse, other_responses={503: HealthResponse}, is_open=True, is_counted=False,
        ),
        EndpointConfig(
            path="/ready", handler=server.ready_check, methods=["GET"], tags=["Health"],
            summary="Whether the server accepts work",
            response_model=ReadyResponse, other_responses={503: ReadyResponse}, is_open=True, is_counted=False,
        ),
        EndpointConfig(
            path="/version", handler=server.get_version, methods=["GET"], tags=["Monitoring"],
            summary="The version of the server", response_model=VersionResponse, is_counted=False,
        ),
        EndpointConfig(
            path="/metrics", handler=server.get_metrics, methods=["GET"], tags=["Monitoring"],
            summary="Counters as Prometheus text, or as JSON by Accept: application/json",
            response_model=MetricsResponse, media_types={"text/plain": str},
            is_counted=False,
        ),
    ]  # fmt: skip
    if server.enable_function_calling:
        routes += _tool_routes(server)
    if server.documents is not None:
        routes += server.documents.endpoints()
    return routes


def _tool_routes(server: Handlers) -> list[EndpointConfig]:
    return [
        EndpointConfig(
            path="/v1/tools", handler=server.list_tools, methods=["GET"], tags=["Tools"],
            summary="Functions that this server can run", response_model=ToolList,
        ),
        EndpointConfig(
            path="/v1/tools/execute", handler=server.execute_tool, methods=["POST"], tags=["Tools"],
            summary="Run one of them", request_model=ToolExecutionRequest, response_model=ToolExecutionResponse,
        ),
    ]  # fmt: skip
