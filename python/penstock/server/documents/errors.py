"""Which refusals an operation can answer with, and what they mean."""

from __future__ import annotations

from typing import Any

from penstock.http.endpoint import ErrorShape
from penstock.protocol import ErrorResponse
from penstock.protocol.anthropic_answers import AnthropicError

#: The body of an error, by its shape.
ERROR_MODELS: dict[ErrorShape, type[ErrorResponse | AnthropicError]] = {
    "openai": ErrorResponse,
    "anthropic": AnthropicError,
}
_NAMES: dict[ErrorShape, str] = {"openai": "Error", "anthropic": "AnthropicError"}

_WHAT = {
    400: "The request cannot be answered: a field, a header or a prompt is wrong. `param` names it.",
    401: "No API key, or one that is not valid.",
    404: "What the request names does not exist.",
    413: "The body is larger than the limit.",
    415: "The body is not JSON, or does not say that it is.",
    431: "Too many header fields.",
    500: "The server failed.",
    503: "No work is taken now: the queue is full, the model is being loaded, or the server is going down. "
    "`retry-after` says when to try again.",
    504: "The request took longer than its time limit.",
    529: "The queue is full. `retry-after` says when to try again.",
}
#: What the door and the host can say to any request.
_ALWAYS = (400, 413, 431, 500, 503, 504)


def error_statuses(*, needs_key: bool, has_body: bool, names_something: bool, shape: ErrorShape) -> list[int]:
    """The statuses of refusals, in order.

    Args:
        needs_key: without one it is refused.
        has_body: it takes JSON.
        names_something: by its path or its body, what may not exist.
        shape: Anthropic's has a status of its own for a full queue.
    """
    statuses = {*_ALWAYS}
    statuses |= {401} if needs_key else set()
    statuses |= {415} if has_body else set()
    statuses |= {404} if names_something else set()
    statuses |= {529} if shape == "anthropic" else set()
    return sorted(statuses)


def error_name(status: int, shape: ErrorShape) -> str:
    """The refusal's name in `components/responses`."""
    return f"{_NAMES[shape]}{status}"


def error_responses(
    statuses: list[int], shape: ErrorShape, schema: dict[str, Any], headers: dict[str, Any]
) -> dict[str, Any]:
    """`components/responses` for those statuses."""
    content = {"application/json": {"schema": schema}}
    return {
        error_name(status, shape): {"description": _WHAT[status], "headers": headers, "content": content}
        for status in statuses
    }
