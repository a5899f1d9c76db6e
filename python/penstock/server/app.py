"""PenstockServer: the surface of `BaseInferenceApiServer` over engines, chosen by the `model` of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

from penstock import _core
from penstock.adapters.base import InferenceEngineAdapter
from penstock.adapters.engine import Engine
from penstock.adapters.foreign_engine import engine_of
from penstock.config import Settings
from penstock.delivery.delivery import Delivery
from penstock.errors import ApiError, ConfigError
from penstock.generation import EngineState, SamplingParams
from penstock.http.request import Request
from penstock.http.response import Response
from penstock.life.loading import Statuses
from penstock.protocol import (
    ChatCompletionRequest,
    CompletionRequest,
    GenerationFields,
    ModelFormats,
    ModelList,
    ModelObject,
    ModelSamplingDefaults,
    capabilities_of,
    sampling_params,
)
from penstock.server.api_handlers import ApiHandlers
from penstock.server.routes.generate import generate
from penstock.server.served_model import ServedModel
from penstock.server.status import ServerStatus

Adapters: TypeAlias = InferenceEngineAdapter | Sequence[InferenceEngineAdapter] | Mapping[str, InferenceEngineAdapter]

#: `name` is the id.
_SAID_OUTSIDE_INFO = {"name", *ModelObject.model_fields}


class PenstockServer(ApiHandlers):
    """Serves the models of `adapters`, by name.

    Args:
        settings: may be left out: `PenstockServer(adapter, server_name="Mine")`.
        adapters: engines by the model's name; or one, or several, that tell their names themselves.
        metrics: shared with the engines' hubs; default: those that the engines were made with, else new ones.
        options: as of `BaseInferenceApiServer`.

    Raises:
        ConfigError: no adapter, or what is none.
    """

    def __init__(
        self,
        settings: Settings | Adapters | None = None,
        adapters: Adapters | None = None,
        metrics: _core.Metrics | None = None,
        **options: Any,
    ) -> None:
        if settings is not None and not isinstance(settings, Settings):
            if adapters is not None:
                raise ConfigError("PenstockServer: Settings come first, adapters second.")
            adapters, settings = settings, None
        engines = _by_name(adapters)
        counters = _metrics_of(engines) if metrics is None else metrics
        super().__init__(settings=settings, counters=counters, **options)
        self.models = {name: self._serve(name, engine) for name, engine in engines.items()}

    def _serve(self, name: str, adapter: InferenceEngineAdapter) -> ServedModel:
        metrics = self.counters.model(name)
        engine = engine_of(
            adapter,
            metrics,
            max_requests=self.settings.max_queued_requests,
            max_pending_bytes=self.settings.max_pending_bytes,
            determine_finish_reason=self._determine_finish_reason,
        )
        return ServedModel(name, engine, metrics, keep_alive_s=self.settings.keep_alive_s)

    def _engine_reads(self, name: str | None) -> frozenset[str]:
        """The fields that the engine of the model which a request names reads by itself, or a subclass's handlers."""
        if name is None and len(self.models) == 1:
            (name,) = self.models
        model = None if name is None else self.models.get(name)
        own = self._handlers_read
        return own if model is None else own | model.engine_reads

    # ---- handlers

    async def chat_completions(self, request: ChatCompletionRequest, raw_request: Request) -> Response:
        return await self._generate(request, raw_request)

    async def completions(self, request: CompletionRequest, raw_request: Request) -> Response:
        return await self._generate(request, raw_request)

    async def list_models(self, raw_request: Request) -> ModelList:
        return ModelList(data=[_describe(model) for model in self.models.values()])

    async def get_model(self, model_id: str, raw_request: Request) -> ModelObject:
        return _describe(self._find(model_id))

    async def _generate(self, request: ChatCompletionRequest | CompletionRequest, raw_request: Request) -> Delivery:
        model = self._find(request.model)
        sampling = self._create_sampling_params(request)
        _check_ids(model.engine, sampling)
        try:
            return await generate(
                request, raw_request, model=model, sampling=sampling, pool=self.pool, grammar_pool=self.grammar_pool,
                reasoning_field=self.settings.reasoning_field,
            )  # fmt: skip
        except ApiError as error:
            model.count_rejection(error)
            raise

    def _find(self, name: str | None) -> ServedModel:
        """The model that a request names, or the only one."""
        if name is None:
            if len(self.models) != 1:
                problem = f"'model' is required: this server has {len(self.models)} models."
                raise ApiError("missing_parameter", problem, param="model")
            (name,) = self.models
        model = self.models.get(name)
        if model is None:
            raise ApiError("model_not_found", f"The model '{name}' does not exist.", param="model")
        return model

    def _create_sampling_params(self, request: GenerationFields) -> SamplingParams:
        model = self._find(request.model)
        return sampling_params(request, model.engine.sampling_defaults, self._handlers_read | model.extra_fields)

    def _count_tokens(self, content: str | list[dict[str, Any]], model_name: str | None = None) -> int:
        return self._find(model_name).engine.count_tokens(content)

    # ---- state

    def _engine_status(self) -> ServerStatus:
        statuses = [model.engine.status() for model in self.models.values()]
        states = {status.state for status in statuses}
        if states & {EngineState.ERROR, EngineState.STOPPED}:
            return ServerStatus.ERROR
        if EngineState.LOADING in states:
            return ServerStatus.STARTING
        return ServerStatus.BUSY if any(status.num_waiting for status in statuses) else ServerStatus.READY

    def _check_has_room(self) -> None:
        # Which model is meant stands in the body: this refuses for all of them, and counts for all, or not at all.
        refusals: list[ApiError] = []
        for model in self.models.values():
            try:
                model.engine.check_has_room()
            except ApiError as error:
                refusals.append(error)
            else:
                return
        for model, refusal in zip(self.models.values(), refusals, strict=True):
            model.count_rejection(refusal)
        raise refusals[-1]

    def _models_health(self) -> dict[str, dict[str, Any]]:
        health = {}
        for name, model in self.models.items():
            status = asdict(model.engine.status())
            health[name] = {**status, "state": status["state"].value, "streams_open": model.hub.num_open}
        return health

    def _progress(self) -> str:
        details = [model.engine.status().detail for model in self.models.values()]
        return "The server is shutting down." if self.is_draining else "; ".join(filter(None, details))

    def engine_statuses(self) -> Statuses:
        return {name: model.engine.status for name, model in self.models.items()}

    # ---- life cycle

    async def startup(self) -> None:
        await super().startup()
        for model in self.models.values():
            model.start()

    async def shutdown(self) -> None:
        await super().shutdown()
        for model in self.models.values():
            model.stop()
        await asyncio.gather(*(asyncio.to_thread(model.engine.stop) for model in self.models.values()))


def _by_name(adapters: Adapters | None) -> dict[str, InferenceEngineAdapter]:
    """Raises ConfigError where there is nothing to serve, or two of one name."""
    if isinstance(adapters, Mapping):
        named: list[tuple[str, Any]] = list(adapters.items())
    else:
        several = [adapters] if isinstance(adapters, InferenceEngineAdapter) else adapters or []
        named = [(getattr(adapter, "model_name", ""), adapter) for adapter in several]
    engines: dict[str, InferenceEngineAdapter] = {}
    for name, adapter in named:
        if not isinstance(adapter, InferenceEngineAdapter):
            raise ConfigError(f"PenstockServer: {type(adapter).__name__} is no InferenceEngineAdapter.")
        if name in engines:
            raise ConfigError(f"PenstockServer: two adapters are called {name!r}.")
        engines[name] = adapter
    if not engines:
        raise ConfigError("PenstockServer needs an adapter: there is no model to serve.")
    return engines


def _metrics_of(adapters: Mapping[str, InferenceEngineAdapter]) -> _core.Metrics | None:
    """Those that the engines were made with."""
    found = {id(adapter.metrics): adapter.metrics for adapter in adapters.values() if adapter.metrics is not None}
    if len(found) > 1:
        raise ConfigError("The engines count into different metrics: give the same to all of them and to the server.")
    return next(iter(found.values()), None)


def _check_ids(engine: Engine, sampling: SamplingParams) -> None:
    """Raises ApiError on a token id that the model does not have."""
    given = (sampling.stop_token_ids, sampling.allowed_token_ids, sampling.logit_bias)
    if not any(given):  # nearly all
        return
    for name, ids in zip(("stop_token_ids", "allowed_token_ids", "logit_bias"), given, strict=True):
        if ids:
            engine.check_ids(tuple(ids), param=name)


def _describe(model: ServedModel) -> ModelObject:
    """OpenAI's object and what the server knows itself; what only the adapter can tell goes into `info`."""
    told = model.engine.model_info().items()
    return ModelObject(
        id=model.name,
        created=model.created,
        max_model_len=model.engine.max_model_len,
        capabilities=capabilities_of(model.engine.abilities),
        formats=ModelFormats(tool=model.engine.formats.tool, reasoning=model.engine.formats.reasoning),
        sampling_defaults=ModelSamplingDefaults.of(model.engine.sampling_defaults),
        info={name: value for name, value in told if name not in _SAID_OUTSIDE_INFO},
    )
