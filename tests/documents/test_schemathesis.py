"""The document against the server: schemathesis makes requests from the one and judges the answers of the other."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from driver import echo_server as make_server
from hypothesis import HealthCheck, given, settings
from processes import Launch
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import negative_data_rejection

CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {
            # The door refuses what a JSON schema cannot say: fields that are known and not built, stop strings that are
            # empty, roles and parts that do not fit each other.
            "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 401, 404]},
            "negative_data_rejection": {"expected-statuses": [400, 401, 404, 405, 413, 415]},
        },
        "generation": {"deterministic": True, "max-examples": 25},
    }
)
DOCUMENT = make_server().openapi()
api = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)


@pytest.fixture(scope="module")
def server(serve_echo: Callable[..., Launch]) -> Launch:
    """Of a short context: many a request says nothing of an end."""
    return serve_echo("--max-model-len", "256")


@api.parametrize()
@settings(suppress_health_check=list(HealthCheck), deadline=None)
def test_answers_are_as_the_document_says(case: schemathesis.Case, server: Launch) -> None:
    case.call_and_validate(base_url=server.url)


guarded_api = schemathesis.openapi.from_dict(make_server(api_key=["secret"]).openapi(), config=CONFIG)


@guarded_api.include(method="GET").parametrize()
@settings(suppress_health_check=list(HealthCheck), deadline=None)
def test_a_key_is_demanded_where_the_document_says(case: schemathesis.Case, guarded_server: Launch) -> None:
    case.call_and_validate(base_url=guarded_server.url, headers={"Authorization": "Bearer secret"})


def _as_json_spells_it(value: Any) -> Any:
    """To a schema 1.0 is an integer, to the door it is none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def mended(body: dict[str, Any], prompt: dict[str, Any]) -> dict[str, Any]:
    """`body` without what only the door can refuse: its sampling fields stay as they were drawn."""
    fields = ("temperature", "top_p", "top_k", "min_p", "seed", "stream", "stop_token_ids", "user", "stop")
    kept = {name: _as_json_spells_it(body[name]) for name in fields if name in body} | prompt
    if kept.get("stop_token_ids") is not None:
        kept["stop_token_ids"] = [5]
    if isinstance(kept.get("stop"), str | list):
        kept["stop"] = ["\x00", *(each[:9] for each in kept["stop"] if each)][:4]
    if kept.get("stream"):
        kept["stream_options"] = {"include_usage": True}
    return kept | {"max_tokens": 1 + len(str(body)) % 4, "n": 1 + len(body) % 2}


PROMPTS = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello"}]},
    "/v1/completions": {"prompt": ["Hello", "Hi"]},
}


@pytest.mark.parametrize("path", PROMPTS)
def test_whatever_is_sampled_the_answer_is_as_the_document_says(path: str, server: Launch) -> None:
    @given(case=api[path]["POST"].as_strategy())
    @settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True)
    def ask(case: schemathesis.Case) -> None:
        case.body = mended(case.body if isinstance(case.body, dict) else {}, PROMPTS[path])
        answer = case.call(base_url=server.url)
        assert answer.status_code == 200, answer.text
        case.validate_response(answer, excluded_checks=[negative_data_rejection])

    ask()
