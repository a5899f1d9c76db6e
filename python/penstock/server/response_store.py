"""Stored responses: what a client may ask for again, or go on from. Bounded by bytes; the longest unused go first.

A response belongs to the key that it was made with, and is not there for any other.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass

logger = logging.getLogger("penstock.server")

#: What a response takes beside its texts.
_OVERHEAD_BYTES = 512


class StoreError(Exception):
    """A store that cannot be written."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """One response.

    Attributes:
        owner: digest of the key that made it; "" where the server has no keys.
        previous_id: of the response that it goes on from.
        body: the response object, as JSON.
        items: its own input, as a JSON array of items.
    """

    response_id: str
    owner: str
    previous_id: str | None
    body: bytes
    items: bytes

    @property
    def num_bytes(self) -> int:
        return len(self.body) + len(self.items) + _OVERHEAD_BYTES


class ResponseStore(ABC):
    """Where responses are kept. May block; one call at a time.

    Attributes:
        max_bytes: of all responses together.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes

    def put(self, response: StoredResponse) -> None:
        """Keeps a response, at the cost of the longest unused. One that is larger than all the room is not kept. Raises
        StoreError."""
        if response.num_bytes > self.max_bytes:
            logger.warning("Response %s is not kept: it is larger than the store", response.response_id)
            return
        self._put(response)

    @abstractmethod
    def _put(self, response: StoredResponse) -> None: ...

    @abstractmethod
    def get(self, response_id: str, owner: str) -> StoredResponse | None:
        """The response, which counts as used now; None where `owner` has none of that id."""

    @abstractmethod
    def delete(self, response_id: str, owner: str) -> bool:
        """False where `owner` has none of that id. Raises StoreError."""

    @abstractmethod
    def close(self) -> None:
        """Nothing is asked of it after this."""


class MemoryResponseStore(ResponseStore):
    """In this process, for as long as it lives."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._responses: OrderedDict[str, StoredResponse] = OrderedDict()
        self._num_bytes = 0

    def _put(self, response: StoredResponse) -> None:
        self._responses[response.response_id] = response
        self._num_bytes += response.num_bytes
        while self._num_bytes > self.max_bytes:
            _, oldest = self._responses.popitem(last=False)
            self._num_bytes -= oldest.num_bytes

    def get(self, response_id: str, owner: str) -> StoredResponse | None:
        response = self._responses.get(response_id)
        if response is None or response.owner != owner:
            return None
        self._responses.move_to_end(response_id)
        return response

    def delete(self, response_id: str, owner: str) -> bool:
        response = self._responses.get(response_id)
        if response is None or response.owner != owner:
            return False
        del self._responses[response_id]
        self._num_bytes -= response.num_bytes
        return True

    def close(self) -> None:
        self._responses.clear()
