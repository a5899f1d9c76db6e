"""Fields nothing acts on: what would change the answer is refused, what is neutral passes, the rest is named."""

import json
from typing import Any

import pytest

from penstock.errors import ApiError
from penstock.protocol import Limits, parse_chat, parse_completion
from penstock.protocol.fields import NOT_BUILT_IN_CHAT, NOT_BUILT_IN_COMPLETIONS

LIMITS = Limits()
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
COMPLETION = {"model": "m", "prompt": "Hi"}
DOORS = ((parse_chat, CHAT, NOT_BUILT_IN_CHAT), (parse_completion, COMPLETION, NOT_BUILT_IN_COMPLETIONS))


def warnings(fields: dict[str, Any]) -> list[str]:
    return parse_chat(json.dumps(CHAT | fields).encode(), LIMITS).warnings


@pytest.mark.parametrize(("door", "base", "not_built"), DOORS)
def test_neutral_values_and_nulls_pass_in_silence(door: Any, base: dict[str, Any], not_built: dict[str, Any]) -> None:
    for name, neutral in not_built.items():
        if name in ("messages", "prompt"):
            continue
        for value in (None, *neutral):
            assert door(json.dumps(base | {name: value}).encode(), LIMITS).warnings == [], (name, value)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tool_choice": "required"},
        {"functions": [{"name": "f"}]},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        {"logprobs": True},
        {"top_logprobs": 2},
        {"presence_penalty": 0.5},
        {"frequency_penalty": -1},
        {"frequency_penalty": False},
        {"repetition_penalty": 1.1},
        {"logit_bias": {"5": 100}},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "x"}},
        {"best_of": 2},
        {"guided_json": {}},
        {"structured_outputs": {"regex": "a"}},
        {"chat_template": "{{ 1 }}"},
        {"skip_special_tokens": False},
    ],
)
def test_a_value_that_would_change_the_answer_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        warnings(fields)
    assert (caught.value.kind, caught.value.param) == ("unsupported_parameter", next(iter(fields)))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "'tools' is not supported yet."),
        ({"tool_choice": "required"}, """'tool_choice' is not supported yet, other than "none" or "auto"."""),
        ({"response_format": {"type": "json_object"}},
         """'response_format' is not supported yet, other than {"type": "text"}."""),
        ({"presence_penalty": 0.5}, "'presence_penalty' is not supported yet, other than 0."),
        ({"logprobs": True}, "'logprobs' is not supported yet."),
        ({"skip_special_tokens": False}, "'skip_special_tokens' is not supported yet, other than true."),
        ({"max_output_tokens": 5}, "'max_output_tokens' is not supported here; give 'max_tokens'."),
    ],
)  # fmt: skip
def test_a_refusal_suggests_another_value_only_where_one_works(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ApiError) as caught:
        warnings(fields)
    assert caught.value.message == sentence


@pytest.mark.parametrize("fields", [{"echo": True}, {"suffix": "x"}, {"logprobs": 0}, {"best_of": 3, "n": 2}])
def test_completions_refuse_their_own(fields: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as caught:
        parse_completion(json.dumps(COMPLETION | fields).encode(), LIMITS)
    assert (caught.value.kind, caught.value.param) == ("unsupported_parameter", next(iter(fields)))


def test_best_of_equal_to_n_asks_for_nothing_more() -> None:
    assert parse_completion(json.dumps(COMPLETION | {"best_of": 2, "n": 2}).encode(), LIMITS).warnings == []


def test_harmless_and_unknown_fields_are_named() -> None:
    fields = {"user": "alice", "metadata": {}, "store": True, "reasoning_effort": "low", "tempreature": 0.1}
    assert warnings(fields) == list(fields)
    assert warnings({"user": None}) == []
    options = {"include_usage": True, "continuous_usage_stats": True, "include_obfuscation": False}
    assert warnings({"stream": True, "stream_options": options}) == ["stream_options.continuous_usage_stats"]


def test_names_are_bounded_and_fit_for_a_header() -> None:
    assert warnings({"a\r\nset-cookie: é": 1, "b" * 5000: 2}) == ["a??set-cookie???", "b" * 64]
    assert warnings({f"field_{i}": i for i in range(1000)}) == [f"field_{i}" for i in range(16)] + ["..."]
