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
#: Responses that one may go on from, one behind the other.
_MAX_LINKS = 1024
_MAX_JOBS = 256


class Conversations:
    """The responses of one server.

    Args:
        path: of an SQLite file; None: in memory.
        max_bytes: of all responses together.
    """

    def __init__(self, path: Path | None, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
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
        """Raises ApiError "response_not_found"."""
        if not await self._run(self._store.delete, response_id, owner):
            raise _not_found("response_not_found", "Response", response_id, "response_id")

    async def history(self, response_id: str, owner: str) -> list[Item]:
        """What stands before a response that goes on from `response_id`: all items of input and output, in order.

        Raises:
            ApiError: "previous_response_not_found", also where one further back is gone.
        """
        return await self._run(self._history, response_id, owner)

    async def resolve(self, items: Sequence[Mapping[str, Any]], references: Sequence[str], owner: str) -> list[Item]:
        """`items`, with those in place of the references that they refer to. Raises ApiError "item_not_found"."""
        if not references:
            return [dict(item) for item in items]
        found = await self._run(self._find, references, owner)
        return [found[str(item["id"])] if _is_reference(item) else dict(item) for item in items]

    def _history(self, response_id: str, owner: str) -> list[Item]:
        links: list[list[Item]] = []
        link: str | None = response_id
        while link is not None:
            found = self._store.get(link, owner)
            if found is None:
                raise _not_found("previous_response_not_found", "Previous response", link, "previous_response_id")
            if len(links) == _MAX_LINKS:
                problem = f"'previous_response_id' has more than {_MAX_LINKS} responses behind it."
                raise ApiError("invalid_value", problem, param="previous_response_id")
            links.append(_items_of(found))
            link = found.previous_id
        return [item for items in reversed(links) for item in items]

    def _find(self, references: Sequence[str], owner: str) -> dict[str, Item]:
        found: dict[str, Item] = {}
        for item_id in references:
            if item_id in found:
                continue
            _, _, rest = item_id.partition("_")
            response = self._store.get(_PREFIX + rest.partition("_")[0], owner)
            for item in _items_of(response) if response is not None else ():
                found[str(item.get("id"))] = item
            if item_id not in found:
                raise _not_found("item_not_found", "Item", item_id, "input")
        return found

    async def _run(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args) if self._thread is None else await self._thread.run(function, *args)


def _items_of(response: StoredResponse) -> list[Item]:
    """Its input and its output."""
    items: list[Item] = orjson.loads(response.items)
    output: list[Item] = orjson.loads(response.body)["output"]
    return items + output


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
