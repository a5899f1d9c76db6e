"""/v1/responses: a chat told as a response, and the responses that are kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import orjson

from penstock import _core
from penstock.delivery.delivery import Delivery
from penstock.errors import ApiError
from penstock.generation import SamplingDefaults
from penstock.http.request import Request
from penstock.http.response import JSONResponse
from penstock.http.worker_pool import WorkerPool
from penstock.protocol import Limits, Parsed, ResponsesChat, ResponsesRequest
from penstock.protocol.responses_answers import DeletedResponse, ItemList
from penstock.server.conversations import Conversations, Item

_MAX_PAGE = 100
#: Larger bodies become chats on a thread.
_CONVERT_ON_LOOP_BYTES = 64 * 1024


class Responses:
    """The handlers' other half.

    Args:
        conversations: where responses are kept.
        generate: from a chat to the delivery of its answer.
        defaults_of: from a model's name, as a request gives it, to what it samples with.
    """

    def __init__(
        self, conversations: Conversations, *,
        generate: Callable[[ResponsesChat, Request], Awaitable[Delivery]],
        defaults_of: Callable[[str | None], SamplingDefaults],
        limits: Limits, pool: WorkerPool,
    ) -> None:  # fmt: skip
        self._conversations = conversations
        self._generate = generate
        self._defaults_of = defaults_of
        self._limits = limits
        self._pool = pool

    async def create(self, request: ResponsesRequest, raw_request: Request) -> Delivery:
        """Raises ApiError on what cannot be gone on from, beside all that a chat raises."""
        owner, previous_id = owner_of(raw_request), request.previous_response_id
        defaults = self._defaults_of(request.model)
        history = [] if previous_id is None else await self._conversations.history(previous_id, owner)
        items = await self._conversations.resolve(request.items, request.references, owner)
        parsed = await self._to_chat(request, raw_request, history, items)
        parsed.request.tell(request.dialect_options(defaults))
        raw_request.warnings += parsed.warnings
        delivery = await self._generate(parsed.request, raw_request)
        if request.keeps:
            delivery.keep = partial(self._conversations.put, delivery.response_id, owner, previous_id, items=items)
        return delivery

    async def get(self, response_id: str, raw_request: Request, *, stream: bool) -> JSONResponse:
        """A kept response, as it was answered."""
        if stream:
            problem = "A response that is kept cannot be streamed again."
            raise ApiError("unsupported_parameter", problem, param="stream")
        found = await self._conversations.get(response_id, owner_of(raw_request))
        return JSONResponse(found.body)

    async def delete(self, response_id: str, raw_request: Request) -> DeletedResponse:
        await self._conversations.delete(response_id, owner_of(raw_request))
        return DeletedResponse(id=response_id)

    async def cancel(self, response_id: str, raw_request: Request) -> None:
        """Only work in the background could be cancelled, and there is none: what is kept has ended."""
        await self._conversations.get(response_id, owner_of(raw_request))
        raise ApiError("invalid_request", "Cannot cancel a synchronous response.", param="response_id")

    async def list_items(
        self, response_id: str, raw_request: Request, *, limit: int, order: str, after: str | None
    ) -> ItemList:
        """A page of a response's own input."""
        if not 1 <= limit <= _MAX_PAGE:
            raise ApiError("invalid_value", f"'limit' must be from 1 to {_MAX_PAGE}, not {limit}.", param="limit")
        found = await self._conversations.get(response_id, owner_of(raw_request))
        items: list[Item] = orjson.loads(found.items)
        if order == "desc":
            items.reverse()
        start = _place_after(items, after)
        page = items[start : start + limit]
        return ItemList.of(page, has_more=start + limit < len(items))

    async def _to_chat(
        self, request: ResponsesRequest, raw_request: Request, history: Sequence[Item], items: Sequence[Item]
    ) -> Parsed[ResponsesChat]:
        if not history and (raw_request.head.content_length or 0) < _CONVERT_ON_LOOP_BYTES:
            return request.to_chat(history, items, self._limits)
        return await self._pool.run(request.to_chat, history, items, self._limits)


def owner_of(request: Request) -> str:
    """Whose a request's responses are: its key's, by digest, for that stays the same whatever keys come and go."""
    key = request.head.api_key
    return _core.key_digest(key).hex() if request.api_key_id and key is not None else ""


def _place_after(items: Sequence[Item], item_id: str | None) -> int:
    if item_id is None:
        return 0
    for place, item in enumerate(items, 1):
        if item.get("id") == item_id:
            return place
    raise ApiError("item_not_found", f"Item with id '{item_id[:100]}' not found.", param="after")
