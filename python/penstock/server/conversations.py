"""Stored responses as the event loop asks for them: by id, as the history of a new one, by the item.

The ids of a response's items begin with its own (`rust/src/dialect/responses/items.rs`), so an item leads to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson

from penstock.errors import ApiError
from penstock.http.worker_pool import WorkerPool
from penstock.server.response_store import MemoryResponseStore, ResponseStore, StoredResponse, StoreError

logger = logging.getLogger("penstock.server")

T = TypeVar("T")
Item = dict[str, Any]

_PREFIX = "resp_"
#: Fewer bytes of stored responses are parsed sooner than they are handed to a thread.
_PARSE_ON_LOOP_BYTES = 64 * 1024
#: Responses that one may go on from, one behind the other.
_MAX_LINKS = 1024
_MAX_JOBS = 256


class Conversations:
    """The responses of one server.

    Args:
        path: of an SQLite file; None: in memory.
        max_bytes: of all responses together.
        pool: threads that parse long conversations.
    """

    def __init__(self, path: Path | None, max_bytes: int, *, pool: WorkerPool) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._pool = pool
        self._store: ResponseStore = MemoryResponseStore(max_bytes)
        self._thread: WorkerPool | None = None  # of the file; what is in memory needs none

    def open(self) -> None:
        """Opens the file, if there is one. Raises ConfigError where it cannot be used."""
        if self._path is not None and self._thread is None:
            from penstock.server.sqlite_response_store import SqliteResponseStore  # late: most servers need no SQLite

            self._store = SqliteResponseStore(self._path, self._max_bytes)
            self._thread = WorkerPool(1, max_jobs=_MAX_JOBS, name="response-store", jobs="stored responses")

    async def close(self) -> None:
        """Closes the file when what was asked of it is done."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.run(self._store.close)
            thread.shut_down()

    async def put(
        self, response_id: str, owner: str, previous_id: str | None, body: bytes, items: Sequence[Item]
    ) -> None:
        """Keeps a response. A failure is logged: its client has the answer all the same."""
        stem = response_id.removeprefix(_PREFIX)
        named = [_with_id(item, f"{stem}_in{i}") for i, item in enumerate(items)]
        response = StoredResponse(response_id, owner, previous_id, body, orjson.dumps(named))
        try:
            await self._run(self._store.put, response)
        except (ApiError, StoreError):
            logger.exception("Response %s could not be kept", response_id)

    async def get(self, response_id: str, owner: str) -> StoredResponse:
        """Raises ApiError "response_not_found"."""
        found = await self._run(self._store.get, response_id, owner)
        if found is None:
            raise _not_found("response_not_found", "Response", response_id, "response_id")
        return found

    async def delete(self, response_id: str, owner: str) -> None:
        """Raises ApiError "response_not_found", and "internal_error" where the store cannot be written."""
        try:
            is_gone = await self._run(self._store.delete, response_id, owner)
        except StoreError:
            logger.exception("Response %s could not be deleted", response_id)
            problem = f"Response with id '{response_id[:100]}' could not be deleted: the store cannot be written."
            raise ApiError("internal_error", problem) from None
        if not is_gone:
            raise _not_found("response_not_found", "Response", response_id, "response_id")

    async def history(self, response_id: str, owner: str) -> list[Item]:
        """What stands before a response that goes on from `response_id`: all items of input and output, in order.

        Raises:
            ApiError: "previous_response_not_found", also where one further back is gone.
        """
        links = await self._run(self._links, response_id, owner)
        return await self._items_of(links)

    async def resolve(self, items: Sequence[Mapping[str, Any]], references: Sequence[str], owner: str) -> list[Item]:
        """`items`, with those in place of the references that they refer to.

        Raises:
            ApiError: "item_not_found"; or an item that is referred to twice, for a few bytes could so stand for any
                number.
        """
        if not references:
            return [dict(item) for item in items]
        if len(set(references)) < len(references):
            raise ApiError("invalid_value", "'input' must not refer to one item twice.", param="input")
        responses = await self._run(self._responses_of, references, owner)
        found = {str(item.get("id")): item for item in await self._items_of(responses)}
        for item_id in references:
            if item_id not in found:
                raise _not_found("item_not_found", "Item", item_id, "input")
        return [found[str(item["id"])] if _is_reference(item) else dict(item) for item in items]

    def _links(self, response_id: str, owner: str) -> list[StoredResponse]:
        """A response and those that it goes on from, the first one first."""
        links: list[StoredResponse] = []
        link: str | None = response_id
        while link is not None:
            found = self._store.get(link, owner)
            if found is None:
                raise _not_found("previous_response_not_found", "Previous response", link, "previous_response_id")
            if len(links) == _MAX_LINKS:
                problem = f"'previous_response_id' has more than {_MAX_LINKS} responses behind it."
                raise ApiError("invalid_value", problem, param="previous_response_id")
            links.append(found)
            link = found.previous_id
        return links[::-1]

    def _responses_of(self, item_ids: Sequence[str], owner: str) -> list[StoredResponse]:
        """The responses that are there of those that the items' ids lead to."""
        ids = dict.fromkeys(_PREFIX + item_id.partition("_")[2].partition("_")[0] for item_id in item_ids)
        return [found for each in ids if (found := self._store.get(each, owner)) is not None]

    async def _items_of(self, responses: list[StoredResponse]) -> list[Item]:
        """Their input and output, in order."""
        if sum(response.num_bytes for response in responses) < _PARSE_ON_LOOP_BYTES:
            return _items_of(responses)
        return await self._pool.run(_items_of, responses)

    async def _run(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args) if self._thread is None else await self._thread.run(function, *args)


def _items_of(responses: list[StoredResponse]) -> list[Item]:
    items: list[Item] = []
    for response in responses:
        items += orjson.loads(response.items)
        items += orjson.loads(response.body)["output"]
    return items


def _is_reference(item: Mapping[str, Any]) -> bool:
    return item.get("type") in (None, "item_reference") and "role" not in item


_PREFIXES = {"function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}


def _with_id(item: Item, rest: str) -> Item:
    """An item of the input with an id, as those that are asked for later have to have one, and a message its type."""
    kind = item.get("type") or "message"
    told: Item = {"id": f"{_PREFIXES.get(kind, 'msg')}_{rest}", "type": kind, "status": "completed"}
    told |= {name: value for name, value in item.items() if value is not None}
    if kind == "message" and isinstance(told.get("content"), str):
        part = "output_text" if told.get("role") == "assistant" else "input_text"
        told["content"] = [{"type": part, "text": told["content"]}]
    return told


def _not_found(kind: str, what: str, id_: str, param: str) -> ApiError:
    return ApiError(kind, f"{what} with id '{id_[:100]}' not found.", param=param)
