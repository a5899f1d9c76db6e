"""The handlers of the APIs beside OpenAI's two completions, as a part of a server with engines."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any, Literal

from penstock.delivery.delivery import Delivery
from penstock.errors import ApiError
from penstock.generation import SamplingDefaults
from penstock.http.endpoint import EndpointConfig
from penstock.http.request import Request
from penstock.protocol import (
    ChatCompletionRequest,
    CompletionRequest,
    CountTokensRequest,
    DetokenizeRequest,
    MessagesRequest,
    ResponsesRequest,
    TokenizeRequest,
)
from penstock.protocol.embeddings import EmbeddingRequest
from penstock.server import routes
from penstock.server.base import BaseInferenceApiServer
from penstock.server.conversations import Conversations
from penstock.server.routes.embeddings import embeddings
from penstock.server.routes.messages import count_message_tokens
from penstock.server.routes.responses import Responses
from penstock.server.routes.tokenize import detokenize, tokenize
from penstock.server.served_model import ServedModel


class ApiHandlers(BaseInferenceApiServer):
    """Responses, Messages and tokens. A subclass says which model is meant and how a chat is answered."""

    @property
    def _endpoints(self) -> list[EndpointConfig]:
        return [*super()._endpoints, *routes.api_endpoints(self)]

    @abstractmethod
    def _find(self, name: str | None) -> ServedModel:
        """The model that a request names, or the only one. Raises ApiError "model_not_found"."""

    @abstractmethod
    async def _generate(self, request: ChatCompletionRequest | CompletionRequest, raw_request: Request) -> Delivery:
        """The answer to a chat or a text. Raises ApiError where it is refused."""

    # ---- /v1/responses

    async def create_response(self, request: ResponsesRequest, raw_request: Request) -> Any:
        return await self._responses.create(request, raw_request)

    async def get_response(self, response_id: str, raw_request: Request, stream: bool = False) -> Any:
        return await self._responses.get(response_id, raw_request, stream=stream)

    async def delete_response(self, response_id: str, raw_request: Request) -> Any:
        return await self._responses.delete(response_id, raw_request)

    async def cancel_response(self, response_id: str, raw_request: Request) -> Any:
        return await self._responses.cancel(response_id, raw_request)

    async def list_input_items(
        self, response_id: str, raw_request: Request,
        limit: int = 20, order: Literal["asc", "desc"] = "desc", after: str | None = None,
    ) -> Any:  # fmt: skip
        return await self._responses.list_items(response_id, raw_request, limit=limit, order=order, after=after)

    # ---- /v1/messages

    async def create_message(self, request: MessagesRequest, raw_request: Request) -> Any:
        return await self._generate(request.chat, raw_request)

    async def count_message_tokens(self, request: CountTokensRequest, raw_request: Request) -> Any:
        engine = self._find(request.model).engine
        return await count_message_tokens(request, raw_request, engine=engine, pool=self.pool)

    # ---- /v1/embeddings

    async def create_embeddings(self, request: EmbeddingRequest, raw_request: Request) -> Any:
        model = self._find(request.model)
        try:
            return await embeddings(request, raw_request, model=model, pool=self.pool)
        except ApiError as error:
            model.count_rejection(error)
            raise

    # ---- tokens

    async def tokenize(self, request: TokenizeRequest, raw_request: Request) -> Any:
        engine = self._find(request.model).engine
        return await tokenize(request, raw_request, engine=engine, pool=self.pool)

    async def detokenize(self, request: DetokenizeRequest, raw_request: Request) -> Any:
        return await detokenize(request, engine=self._find(request.model).engine, pool=self.pool)

    # ---- what they stand on

    @cached_property
    def _conversations(self) -> Conversations:
        return Conversations(self.settings.response_store, self.settings.response_store_size, pool=self.pool)

    @cached_property
    def _responses(self) -> Responses:
        return Responses(
            self._conversations, generate=self._generate, defaults_of=self._defaults_of, limits=self.limits,
            pool=self.pool,
        )  # fmt: skip

    def _defaults_of(self, name: str | None) -> SamplingDefaults:
        return self._find(name).engine.sampling_defaults

    async def startup(self) -> None:
        """Raises ConfigError on a response store that cannot be used, beside what the base does."""
        self._conversations.open()
        await super().startup()

    async def shutdown(self) -> None:
        await super().shutdown()
        await self._conversations.close()
