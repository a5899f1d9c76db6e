"""What /v1/responses answers, as models: for documents, and for the lists that are no generation's.

A response itself is written in Rust and never passes through these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class ResponseObject(BaseModel):
    """A response: what the request said, and what came out.

    Attributes:
        created_at: Unix seconds.
        output: messages, thoughts and calls, in order.
    """

    model_config = ConfigDict(extra="allow", defer_build=True)  # for documents

    id: str
    object: Literal["response"] = "response"
    created_at: float
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    model: str
    output: list[dict[str, Any]]
    error: dict[str, Any] | None = None
    incomplete_details: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None


class ResponseEvent(BaseModel):
    """One event of a streamed response."""

    model_config = ConfigDict(extra="allow", defer_build=True)  # for documents

    type: str
    sequence_number: int


class DeletedResponse(BaseModel):
    """A response that is kept no more."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


class ItemList(BaseModel):
    """A page of items. Attributes: first_id, last_id: of its items, "" where there is none."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    first_id: str
    last_id: str
    has_more: bool

    @classmethod
    def of(cls, items: Sequence[dict[str, Any]], *, has_more: bool) -> ItemList:
        """The page of `items`."""
        first, last = (str(items[at]["id"]) if items else "" for at in (0, -1))
        return cls(data=list(items), first_id=first, last_id=last, has_more=has_more)
