"""The body of every error, as a model for documents and subclasses; Penstock's own come from `_core.error_body`."""

from __future__ import annotations

import time

from pydantic import BaseModel, Field


class ErrorResponse(BaseModel):
    """OpenAI's error object, with the request's id and the time beside it.

    Attributes:
        error: `message`, `type`, `param` and `code`; the last two may be null.
        timestamp: Unix seconds.
    """

    error: dict[str, str | None]
    request_id: str | None = None
    timestamp: float = Field(default_factory=time.time)
