"""Errors as answers: the body that the endpoint's API gives them, and the headers by which a client decides whether
to try again."""

from __future__ import annotations

import math
import time
from http import HTTPStatus

from penstock import _core
from penstock.errors import ApiError
from penstock.http.response import JSONResponse
from penstock.protocol import ErrorResponse

#: Whether a retry can succeed, where OpenAI's clients would decide otherwise or might.
_SHOULD_RETRY = {429: "true", 500: "true", 503: "true", 504: "false", 529: "true"}
_DEFAULT_RETRY_AFTER_S = 1.0
#: OpenAI's client gives up at once when told to wait for longer than two minutes.
_MAX_RETRY_AFTER_S = 120.0


def api_error_response(error: ApiError, request_id: str, shape: str = "openai") -> JSONResponse:
    """The answer for an ApiError; `shape` as of `_core.error_body`."""
    body = _core.error_body(
        error.kind, error.message, param=error.param, request_id=request_id, timestamp=time.time(), shape=shape
    )
    status = _core.error_status(error.kind, shape)
    return JSONResponse(body, status, headers=error_headers(status, error.retry_after_s))


def error_headers(status: int, retry_after_s: float | None = None) -> dict[str, str]:
    """`www-authenticate` of a 401, `retry-after(-ms)` and `x-should-retry` where a retry is a question."""
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if status in _SHOULD_RETRY:
        headers["x-should-retry"] = _SHOULD_RETRY[status]
    if status in (429, 503, 529):
        wait_s = min(max(retry_after_s or _DEFAULT_RETRY_AFTER_S, 0.001), _MAX_RETRY_AFTER_S)
        headers["retry-after-ms"] = str(math.ceil(wait_s * 1e3))
        headers["retry-after"] = str(math.ceil(wait_s))
    return headers


def create_error_response(
    status_code: HTTPStatus | int, message: str, request_id: str | None = None, *, param: str | None = None
) -> JSONResponse:
    """An error that has no row in the error table, in the same shape."""
    kind = "invalid_request_error" if status_code < 500 else "server_error"
    body = ErrorResponse(error={"message": message, "type": kind, "param": param, "code": None}, request_id=request_id)
    return JSONResponse(body.model_dump_json().encode(), status_code, headers=error_headers(status_code))
