"""The endpoints of a server with engines, beside those that every server has."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Literal, Protocol

from penstock.http.endpoint import EndpointConfig
from penstock.http.request import Request
from penstock.protocol.anthropic import CountTokensRequest, CountTokensResponse, MessagesRequest
from penstock.protocol.anthropic_answers import MessageEvent, MessageObject
from penstock.protocol.embeddings import EmbeddingRequest, EmbeddingResponse
from penstock.protocol.responses import ResponsesRequest
from penstock.protocol.responses_answers import DeletedResponse, ItemList, ResponseEvent, ResponseObject
from penstock.protocol.tokenize import DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse

_EVENTS = "text/event-stream"


class ApiHandlers(Protocol):
    """Their handlers, by the names a subclass overrides."""

    def create_response(self, request: ResponsesRequest, raw_request: Request) -> Awaitable[Any]: ...
    def get_response(self, response_id: str, raw_request: Request, stream: bool = False) -> Awaitable[Any]: ...
    def delete_response(self, response_id: str, raw_request: Request) -> Awaitable[Any]: ...
    def cancel_response(self, response_id: str, raw_request: Request) -> Awaitable[Any]: ...
    def list_input_items(
        self, response_id: str, raw_request: Request,
        limit: int = 20, order: Literal["asc", "desc"] = "desc", after: str | None = None,
    ) -> Awaitable[Any]: ...  # fmt: skip
    def create_message(self, request: MessagesRequest, raw_request: Request) -> Awaitable[Any]: ...
    def count_message_tokens(self, request: CountTokensRequest, raw_request: Request) -> Awaitable[Any]: ...
    def create_embeddings(self, request: EmbeddingRequest, raw_request: Request) -> Awaitable[Any]: ...
    def tokenize(self, request: TokenizeRequest, raw_request: Request) -> Awaitable[Any]: ...
    def detokenize(self, request: DetokenizeRequest, raw_request: Request) -> Awaitable[Any]: ...


def api_endpoints(server: ApiHandlers) -> list[EndpointConfig]:
    """What `server` answers, in the order of documents."""
    return _responses(server) + _messages(server) + _embeddings(server) + _tokens(server)


def _responses(server: ApiHandlers) -> list[EndpointConfig]:
    one = "/v1/responses/{response_id}"
    return [
        EndpointConfig(
            path="/v1/responses", handler=server.create_response, methods=["POST"], tags=["Responses"],
            summary="Make a response, plain or streamed, from texts and items or from a stored one",
            request_model=ResponsesRequest, response_model=ResponseObject, media_types={_EVENTS: ResponseEvent},
        ),
        EndpointConfig(
            path=one, handler=server.get_response, methods=["GET"], tags=["Responses"],
            summary="A stored response", response_model=ResponseObject,
        ),
        EndpointConfig(
            path=one, handler=server.delete_response, methods=["DELETE"], tags=["Responses"],
            summary="Forget a stored response", response_model=DeletedResponse,
        ),
        EndpointConfig(
            path=f"{one}/cancel", handler=server.cancel_response, methods=["POST"], tags=["Responses"], body="none",
            summary="Refused: there are no responses in the background", response_model=ResponseObject, is_work=False,
        ),
        EndpointConfig(
            path=f"{one}/input_items", handler=server.list_input_items, methods=["GET"], tags=["Responses"],
            summary="The input of a stored response, page by page", response_model=ItemList,
        ),
    ]  # fmt: skip


def _messages(server: ApiHandlers) -> list[EndpointConfig]:
    return [
        EndpointConfig(
            path="/v1/messages", handler=server.create_message, methods=["POST"], tags=["Messages"],
            summary="Answer a chat as Anthropic's API does, plain or streamed", error_shape="anthropic",
            request_model=MessagesRequest, response_model=MessageObject, media_types={_EVENTS: MessageEvent},
        ),
        EndpointConfig(
            path="/v1/messages/count_tokens", handler=server.count_message_tokens, methods=["POST"], tags=["Messages"],
            summary="Count the tokens of a prompt as Anthropic's API does", error_shape="anthropic",
            request_model=CountTokensRequest, response_model=CountTokensResponse, is_work=False,
        ),
    ]  # fmt: skip


def _embeddings(server: ApiHandlers) -> list[EndpointConfig]:
    return [
        EndpointConfig(
            path="/v1/embeddings", handler=server.create_embeddings, methods=["POST"], tags=["Embeddings"],
            summary="Vectors of texts or token ids", request_model=EmbeddingRequest, response_model=EmbeddingResponse,
        ),
    ]  # fmt: skip


def _tokens(server: ApiHandlers) -> list[EndpointConfig]:
    return [
        EndpointConfig(
            path="/tokenize", handler=server.tokenize, methods=["POST"], tags=["Tokens"],
            summary="The tokens of a text or of a chat", request_model=TokenizeRequest, response_model=TokenizeResponse,
        ),
        EndpointConfig(
            path="/detokenize", handler=server.detokenize, methods=["POST"], tags=["Tokens"],
            summary="The text of tokens", request_model=DetokenizeRequest, response_model=DetokenizeResponse,
        ),
    ]  # fmt: skip
