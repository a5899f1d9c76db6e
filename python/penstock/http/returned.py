"""What a handler returned or raised, as an answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from penstock.http.error_response import create_error_response
from penstock.http.foreign_response import ForeignResponse, is_asgi_application
from penstock.http.request import Request
from penstock.http.response import JSONResponse, Response


def as_response(returned: Any) -> Response:
    """A Response as it is, one of another framework too; models and plain data as JSON, text as text."""
    if isinstance(returned, Response):
        return returned
    if isinstance(returned, BaseModel):
        return JSONResponse(returned.model_dump_json(exclude_none=True).encode())
    if isinstance(returned, str | bytes):
        return Response(returned)
    if is_asgi_application(returned):
        return ForeignResponse(returned)
    return JSONResponse(returned)


def answer_of(failure: BaseException, request: Request) -> Response | None:
    """The answer that an exception of another framework stands for, as Starlette's HTTPException does; else None."""
    status, detail = getattr(failure, "status_code", None), getattr(failure, "detail", None)
    if not isinstance(status, int) or not 400 <= status < 600 or detail is None:
        return None
    message = detail if isinstance(detail, str) else f"The request failed with status {int(status)}."
    answer = create_error_response(status, message, request.request_id)
    answer.headers |= getattr(failure, "headers", None) or {}
    return answer
