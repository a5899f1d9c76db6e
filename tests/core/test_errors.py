"""The error table, judged by what the official client makes of it."""

import json

import httpx2
import openai
import pytest

from penstock import _core
from penstock.errors import ApiError

#: name: (status, type, code)
INVALID, SERVER = "invalid_request_error", "server_error"
TABLE = {
    "invalid_request": (400, INVALID, None),
    "invalid_json": (400, INVALID, None),
    "invalid_type": (400, INVALID, "invalid_type"),
    "invalid_value": (400, INVALID, "invalid_value"),
    "missing_parameter": (400, INVALID, "missing_required_parameter"),
    "unsupported_parameter": (400, INVALID, "unsupported_parameter"),
    "context_length_exceeded": (400, INVALID, "context_length_exceeded"),
    "invalid_api_key": (401, INVALID, "invalid_api_key"),
    "model_not_found": (404, INVALID, "model_not_found"),
    "response_not_found": (404, INVALID, "response_not_found"),
    "previous_response_not_found": (404, INVALID, "previous_response_not_found"),
    "item_not_found": (404, INVALID, "item_not_found"),
    "unknown_url": (404, INVALID, "unknown_url"),
    "method_not_allowed": (405, INVALID, "method_not_allowed"),
    "slow_reader": (408, INVALID, "slow_reader"),
    "request_too_large": (413, INVALID, "request_too_large"),
    "unsupported_media_type": (415, INVALID, "unsupported_media_type"),
    "rate_limit_exceeded": (429, "rate_limit_exceeded", "rate_limit_exceeded"),
    "headers_too_large": (431, INVALID, "headers_too_large"),
    "client_closed": (499, INVALID, "client_closed"),
    "engine_error": (500, SERVER, "engine_error"),
    "internal_error": (500, SERVER, "internal_error"),
    "not_implemented": (501, SERVER, "not_implemented"),
    "server_overloaded": (503, SERVER, "server_overloaded"),
    "model_loading": (503, SERVER, "model_loading"),
    "draining": (503, SERVER, "draining"),
    "engine_dead": (503, SERVER, "engine_dead"),
    "deadline_exceeded": (504, SERVER, "deadline_exceeded"),
}
MESSAGE = 'It\'s "so"\n\u2028 日本'
CLASSES = {400: openai.BadRequestError, 401: openai.AuthenticationError, 404: openai.NotFoundError}


def answered_with(status: int, body: bytes) -> openai.OpenAI:
    """The official client before a server that always answers so."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=body, headers={"content-type": "application/json"})

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return openai.OpenAI(api_key="k", base_url="http://penstock/v1", max_retries=0, http_client=http)


def test_the_table_is_whole():
    assert {name: _core.error_kind(name) for name in _core.error_kinds()} == TABLE


@pytest.mark.parametrize("name", TABLE)
def test_the_official_client_reads_every_row(name):
    status, error_type, code = TABLE[name]
    body = _core.error_body(name, MESSAGE, param="messages[0].content", request_id="req_1", timestamp=2.5)
    with answered_with(status, body) as client, pytest.raises(openai.APIStatusError) as caught:
        client.models.list()
    error = caught.value
    expected = CLASSES.get(status, openai.InternalServerError if status >= 500 else openai.APIStatusError)
    assert isinstance(error, expected)
    assert (error.status_code, error.type, error.code) == (status, error_type, code)
    assert error.param == "messages[0].content"
    assert json.loads(body)["error"]["message"] == MESSAGE


def test_absent_parts_are_null():
    assert json.loads(_core.error_body("invalid_json", "no")) == {
        "error": {"message": "no", "type": "invalid_request_error", "param": None, "code": None},
        "request_id": None,
        "timestamp": 0.0,
    }


def test_unknown_rows_are_key_errors():
    for call in (_core.error_kind, lambda name: _core.error_body(name, "m"), lambda name: ApiError(name, "m")):
        with pytest.raises(KeyError, match="no_such_row"):
            call("no_such_row")
