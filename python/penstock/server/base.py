"""BaseInferenceApiServer: the OpenAI surface without an engine. Subclass it, extend `_endpoints`, override handlers.

An instance is an ASGI application. It knows routes, limits and life cycle; what generates text is the subclass's
(`penstock.server.app.PenstockServer` is ours).
"""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel

from penstock import _core
from penstock.abilities import Abilities
from penstock.config import ApiKey, Settings
from penstock.errors import ApiError
from penstock.generation import SamplingDefaults, SamplingParams
from penstock.http.access_log import AccessLog
from penstock.http.auth import KeyRing
from penstock.http.body import read_body
from penstock.http.body_budget import BodyBudget
from penstock.http.cancel_scope import LAST_WORDS_S
from penstock.http.dispatch import Dispatcher
from penstock.http.endpoint import EndpointConfig
from penstock.http.handler import BoundEndpoint
from penstock.http.open_peers import OpenPeers
from penstock.http.request import Request
from penstock.http.response import Response
from penstock.http.types import Receive, Scope, Send
from penstock.http.worker_pool import WorkerPool
from penstock.life.lifespan import serve_lifespan
from penstock.life.loading import Statuses
from penstock.protocol import (
    ChatCompletionRequest,
    CompletionRequest,
    FinishReasonName,
    FunctionCallFormat,
    GenerationBody,
    GenerationFields,
    Limits,
    ModelList,
    ToolExecutionRequest,
    ToolList,
    fields_of,
    sampling_params,
)
from penstock.server import routes
from penstock.server.documents import Documents, Info, build_document
from penstock.server.status import CountedMetrics, ServerMetrics, ServerStatus
from penstock.server.tools import ToolRegistry

logger = logging.getLogger("penstock.server")

#: What requests that a drain has ended may take to be over: their last words, twice where the first are not taken.
_END_WAIT_S = 2 * LAST_WORDS_S + 0.5
_VISION_PARTS = frozenset({"image_url", "video_url"})
_MAX_POOL_JOBS = 1024
_MAX_TOTAL_REQUEST_SIZE = 256 * 1024 * 1024


class BaseInferenceApiServer(ABC):
    """An OpenAI-compatible server.

    Args:
        settings: of limits, keys, log and life; default: those of `Settings()`. What follows and is given beats them.
        max_workers: threads for what would block the loop (`tokenizer_threads`).
        enable_cors, cors_origins: CORS is on when both are set; "*" allows any origin, and then no credentials.
        max_request_size: bytes of a body.
        max_total_request_size: bytes of all bodies that are held at once; default 256 MiB, or `max_request_size` where
            that is more.
        request_timeout: seconds a request may take, streams included (`request_timeout_s`).
        enable_function_calling: adds the /v1/tools routes.
        tool_timeout: seconds that one call of a tool may take.
        enable_docs: adds /openapi.json and /docs.
        enable_auth_ui: gives /docs a button to enter an API key.
        server_name, server_description, server_version: what /openapi.json and /docs call the server.
        default_function_format: kept for subclasses that read it; `Settings.tool_format` chooses the engine's format.
        api_keys: accepted keys; none: everybody may ask.
        counters: the metrics; default: new ones.

    Attributes:
        abilities: what the handlers of a subclass can do beside text. The fields of a request that go with them are
            not refused at the door: `request.tools`, `request.presence_penalty`, images in messages.
    """

    abilities: Abilities = Abilities(chat=True)

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        max_workers: int | None = None,
        enable_cors: bool = True,
        cors_origins: str | Sequence[str] | None = None,
        max_request_size: int | None = None,
        max_total_request_size: int | None = None,
        request_timeout: float | None = None,
        enable_function_calling: bool = True,
        tool_timeout: float = 30.0,
        default_function_format: FunctionCallFormat = FunctionCallFormat.OPENAI,
        server_name: str = "Penstock",
        server_description: str = "An OpenAI-compatible inference server",
        server_version: str = _core.__version__,
        enable_docs: bool | None = None,
        enable_auth_ui: bool = True,
        api_keys: Sequence[str | ApiKey] | None = None,
        max_headers: int | None = None,
        counters: _core.Metrics | None = None,
    ) -> None:
        self.settings = _with_given(
            settings or Settings.model_validate({}),
            tokenizer_threads=max_workers,
            cors_origin=[cors_origins] if isinstance(cors_origins, str) else cors_origins,
            max_request_size=max_request_size,
            max_total_request_size=max_total_request_size,
            request_timeout_s=request_timeout,
            docs=None if enable_docs is None else ("on" if enable_docs else "off"),
            api_key=api_keys,
            max_header_count=max_headers,
        )
        chosen = self.settings
        self.cors_origins = chosen.cors_origin if enable_cors else []
        self.max_request_size = chosen.max_request_size
        self.body_budget = BodyBudget(
            chosen.max_total_request_size or max(_MAX_TOTAL_REQUEST_SIZE, chosen.max_request_size)
        )
        self.max_headers = chosen.max_header_count
        self.request_timeout = chosen.request_timeout_s
        self.enable_function_calling = enable_function_calling
        self.default_function_format = default_function_format
        self.server_name = server_name
        self.server_description = server_description
        self.server_version = server_version
        self.key_ring = KeyRing(chosen.api_key)
        self.counters = _core.Metrics() if counters is None else counters
        self.limits = self._make_limits()
        self.tools = ToolRegistry(timeout_s=tool_timeout)
        self.pool = WorkerPool(chosen.tokenizer_threads, max_jobs=_MAX_POOL_JOBS)
        self.grammar_pool = WorkerPool(chosen.grammar_threads, max_jobs=_MAX_POOL_JOBS, name="grammar", jobs="grammars")
        self.documents = self._make_documents(enable_auth_ui=enable_auth_ui) if chosen.docs == "on" else None
        self.access_log = AccessLog()
        self.start_time = time.time()
        self.is_draining = False
        self._is_started = False
        self.open_requests: set[Request] = set()
        self.open_peers = OpenPeers()

    def _make_limits(self) -> Limits:
        return Limits(
            max_choices=self.settings.max_choices,
            max_stop_strings=self.settings.max_stop_strings,
            max_json_members=self.settings.max_json_members,
            max_json_items=self.settings.max_json_items,
            engine_reads=self._engine_reads,
            content_parts=_VISION_PARTS if self.abilities.vision else frozenset(),
            is_strict=self.settings.strict == "on",
        )

    def _engine_reads(self, name: str | None) -> frozenset[str]:
        """The fields that whoever answers for the model `name` reads by itself."""
        return self._handlers_read

    @cached_property
    def _handlers_read(self) -> frozenset[str]:
        return fields_of(self.abilities)

    # ---- routes

    @property
    def _endpoints(self) -> list[EndpointConfig]:
        """Every route: the one source for routing, metric labels and documents. Extend or prune it in a subclass."""
        return routes.endpoints(self)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document of this server, from `_endpoints`."""
        info = Info(
            self.server_name, self.server_description, self.server_version, needs_key=not self.key_ring.is_empty
        )
        return build_document(
            info, [BoundEndpoint(endpoint, read_body=self.read_body, owner=type(self)) for endpoint in self._endpoints]
        )

    def _make_documents(self, *, enable_auth_ui: bool) -> Documents:
        return Documents(self.openapi, title=self.server_name, has_authorize=enable_auth_ui, pool=self.pool)

    @abstractmethod
    async def chat_completions(self, request: ChatCompletionRequest, raw_request: Request) -> Any:
        """Answers POST /v1/chat/completions: a Response, a model or plain data."""

    @abstractmethod
    async def completions(self, request: CompletionRequest, raw_request: Request) -> Any:
        """Answers POST /v1/completions, likewise."""

    async def health_check(self, raw_request: Request) -> Response:
        """Liveness: 200 unless an engine is dead or stuck. Open to all, so it names models to key holders only."""
        return routes.health(
            self.status, self._models_health(), since=self.start_time,
            num_open_requests=len(self.open_requests) - 1, may_see_models=raw_request.is_authorized,
        )  # fmt: skip

    async def ready_check(self, raw_request: Request) -> Response:
        """Readiness: 200 while new work is accepted, else 503 with the reason."""
        return routes.ready(self.status, self._progress())

    async def get_version(self, raw_request: Request) -> dict[str, str]:
        return {"version": self.server_version}

    async def get_metrics(self, raw_request: Request) -> Response:
        """Prometheus text, or plain counters for who prefers application/json."""
        return routes.metrics(raw_request, status=self.status, snapshot=self.metrics, counters=self.counters)

    async def list_models(self, raw_request: Request) -> Any:
        """Answers GET /v1/models, likewise: with a ModelList, or a Response."""
        return ModelList(data=[])

    async def get_model(self, model_id: str, raw_request: Request) -> Any:
        """Answers GET /v1/models/{model_id}, likewise: with a ModelObject, or a Response."""
        raise ApiError("model_not_found", f"The model '{model_id}' does not exist.", param="model")

    async def list_tools(self, raw_request: Request) -> ToolList:
        return ToolList(data=self.tools.definitions())

    async def execute_tool(self, request: ToolExecutionRequest, raw_request: Request) -> Any:
        """Runs a registered function; its arguments are checked by its type hints."""
        return await routes.execute_tool(self.tools, request, raw_request)

    async def read_body(self, model: type[BaseModel], request: Request) -> BaseModel:
        """The body of `request` as `model`.

        Raises:
            ApiError: on anything wrong; and before the body is read, while draining and where no engine has room.
        """
        if self.is_draining:
            raise ApiError("draining", "The server is shutting down.")
        if issubclass(model, GenerationBody):
            self._check_has_room()
        return await read_body(model, request, limits=self.limits, pool=self.pool)

    # ---- helpers for handlers

    def _create_sampling_params(self, request: GenerationFields) -> SamplingParams:
        """How `request` samples, with the defaults of its model. An override may lower `max_tokens`."""
        return sampling_params(request, SamplingDefaults(), self._engine_reads(request.model))

    def _determine_finish_reason(self, tokens_generated: int, max_tokens: float, text: str) -> FinishReasonName:
        """ "length" when the limit was reached, else "stop"."""
        return "length" if tokens_generated >= max_tokens else "stop"

    async def _count_tokens_async(self, content: str | list[dict[str, Any]], model_name: str | None = None) -> int:
        return await self.pool.run(self._count_tokens, content, model_name)

    def _count_tokens(self, content: str | list[dict[str, Any]], model_name: str | None = None) -> int:
        """Tokens of a text or a chat. Blocks."""
        raise ApiError("not_implemented", "This server has no tokenizer.")

    # ---- state

    @property
    def status(self) -> ServerStatus:
        if self.is_draining:
            return ServerStatus.SHUTTING_DOWN
        return self._engine_status() if self._is_started else ServerStatus.STARTING

    @property
    def metrics(self) -> ServerMetrics:
        """The counters now. What a handler adds to `total_tokens_generated` is counted."""
        return CountedMetrics(self.counters, model_name=self.server_name, start_time=self.start_time)

    def _engine_status(self) -> ServerStatus:
        """For subclasses with engines: where they stand."""
        return ServerStatus.READY

    def _check_has_room(self) -> None:  # noqa: B027  # a server without engines has room
        """For subclasses with engines: raises ApiError "server_overloaded" where none could take one more request."""

    def _models_health(self) -> dict[str, dict[str, Any]]:
        """For subclasses with engines: what /health tells of each model."""
        return {}

    def _progress(self) -> str:
        """For subclasses with engines: what /ready tells while it is not."""
        return ""

    def engine_statuses(self) -> Statuses:
        """For subclasses with engines: where each stands, by its model's name. One that cannot load ends the server."""
        return {}

    # ---- life cycle

    @property
    def drain_timeout_s(self) -> float:
        """How long open requests get after SIGTERM."""
        return self.settings.drain_timeout_s

    async def on_startup(self) -> None:  # noqa: B027  # a hook may stay empty
        """Called once before the server takes requests: open connections, warm caches."""

    async def on_shutdown(self) -> None:  # noqa: B027
        """Called once at the end: close connections, save state."""

    async def startup(self) -> None:
        """What the host's start asks for. Returns at once; engines load in threads of their own.

        Raises:
            ConfigError: an entry of `_endpoints` that cannot be used.
        """
        self._dispatcher  # noqa: B018  # built here, so that a bad entry fails the start and not a request
        logger.info("Starting %s", self.server_name)
        self.access_log.start(self.settings.access_log)
        await self.on_startup()
        self._is_started = True

    async def shutdown(self) -> None:
        """What the host's end asks for."""
        self.begin_drain()
        await self.drain(0.0)
        self.pool.shut_down()
        self.grammar_pool.shut_down()
        self.tools.shut_down()
        await asyncio.to_thread(self.access_log.stop)
        await self.on_shutdown()

    def begin_drain(self) -> None:
        """Refuses new work from now on; what is open goes on."""
        self.is_draining = True

    async def drain(self, timeout_s: float) -> None:
        """Returns when all open requests have ended. After `timeout_s` they are ended, with an error where a client
        still listens."""
        if not await self._all_answered(timeout_s):
            logger.warning("Ending %d open requests", len(self.open_requests))
            for request in tuple(self.open_requests):
                request.cancel_scope.cancel("draining")
            await self._all_answered(_END_WAIT_S)

    async def _all_answered(self, within_s: float) -> bool:
        tasks = {request.cancel_scope.task for request in self.open_requests}
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)
        return not self.open_requests

    # ---- ASGI

    @cached_property
    def _dispatcher(self) -> Dispatcher:
        return Dispatcher(self)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            return self._dispatcher.handle(scope, receive, send)
        if scope["type"] == "lifespan":
            return serve_lifespan(receive, send, read_settings=lambda: self.settings, build=self._build)
        raise RuntimeError(f"Penstock does not speak {scope['type']}.")

    @cached_property
    def app(self) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        """The ASGI application, for middleware, other hosts and test clients that look for a coroutine function."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self(scope, receive, send)

        return app

    async def _build(self, settings: Settings) -> Self:
        """The life span's: it is built already."""
        return self

    def run(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        workers: int = 1,
        log_level: str | None = None,
        ssl_keyfile: str | Path | None = None,
        ssl_certfile: str | Path | None = None,
        reload: bool = False,
    ) -> None:
        """Serves under Granian until SIGTERM or SIGINT.

        Args:
            host, port, log_level: default: those of the settings.
            workers: 1; more are refused.
            ssl_keyfile, ssl_certfile: TLS is on when both are given.
            reload: start anew when a source file changes; needs a server that a module holds in a variable.

        Raises:
            ConfigError: a host, port or log level that cannot be.
            SystemExit: with code 2 when it cannot be served like that, with code 1 when the worker has failed.
        """
        from penstock import serve  # above this floor: the one place that knows the host

        given = {"host": host, "port": port, "log_level": log_level}
        self.settings = self.settings.replace(**{name: value for name, value in given.items() if value is not None})
        serve.run(
            self, host=self.settings.host, port=self.settings.port, log_level=self.settings.log_level, workers=workers,
            ssl_keyfile=ssl_keyfile, ssl_certfile=ssl_certfile, reload=reload,
            restarts=self.settings.restart, idle_timeout_s=self.settings.idle_timeout_s,
        )  # fmt: skip

    fire = run


def _with_given(settings: Settings, **given: Any) -> Settings:
    """`settings`, but for what is given. Raises ConfigError on a value that cannot be used."""
    chosen = {name: value for name, value in given.items() if value is not None}
    return settings.replace(**chosen) if chosen else settings
