"""Fields nothing acts on: what would change the answer is refused, what is neutral passes, the rest is named."""

import json
from typing import Any

import pytest

from penstock.abilities import Abilities
from penstock.errors import ApiError
from penstock.protocol import Limits, fields_of, parse_chat, parse_completion
from penstock.protocol.fields import BY_ABILITY, NOT_BUILT_IN_CHAT, NOT_BUILT_IN_COMPLETIONS

LIMITS = Limits()
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
COMPLETION = {"model": "m", "prompt": "Hi"}
STRICT = Limits(is_strict=True)
ABLE = Abilities(chat=True, token_prompts=True, token_output=True, tools=True, logprobs=True, penalties=True,
                 logit_bias=True)  # fmt: skip
DOORS = ((parse_chat, CHAT, NOT_BUILT_IN_CHAT), (parse_completion, COMPLETION, NOT_BUILT_IN_COMPLETIONS))


def warnings(fields: dict[str, Any]) -> list[str]:
    return parse_chat(json.dumps(CHAT | fields).encode(), LIMITS).warnings


@pytest.mark.parametrize(("door", "base", "not_built"), DOORS)
def test_neutral_values_and_nulls_pass_in_silence(door: Any, base: dict[str, Any], not_built: dict[str, Any]) -> None:
    for name, neutral in not_built.items():
        if name in ("messages", "prompt"):
            continue
        for value in (None, *neutral):
            assert door(json.dumps(base | {name: value}).encode(), STRICT).warnings == [], (name, value)
    for fields in BY_ABILITY.values():
        for name in fields.keys() & door.__self__.model_fields.keys():
            for value in (None, *fields[name]):
                assert door(json.dumps(base | {name: value}).encode(), STRICT).warnings == [], (name, value)


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
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "'tools' is not supported by this model."),
        ({"tool_choice": "required"}, """'tool_choice' is not supported by this model, other than "none" or "auto"."""),
        ({"response_format": {"type": "json_object"}},
         """'response_format' is not supported by this model, other than {"type": "text"}."""),
        ({"presence_penalty": 0.5}, "'presence_penalty' is not supported by this model, other than 0."),
        ({"logprobs": True}, "'logprobs' is not supported by this model."),
        ({"skip_special_tokens": False}, "'skip_special_tokens' is not supported by this model, other than true."),
        ({"suffix": "x"}, "'suffix' is not supported: this model does not fill in the middle."),
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


def test_a_field_passes_where_the_engine_of_its_model_acts_on_it() -> None:
    able = Limits(engine_reads=lambda name: fields_of(ABLE) if name == "m" else frozenset())
    chat = {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required", "logprobs": True,
            "top_logprobs": 20, "presence_penalty": -2, "logit_bias": {"5": 100}, "skip_special_tokens": False,
            "truncate_prompt_tokens": 5}  # fmt: skip
    completion = {"logprobs": 20, "echo": True, "best_of": 3, "n": 2, "allowed_token_ids": [1], "bad_words": ["x"]}
    for door, base, fields in ((parse_chat, CHAT, chat), (parse_completion, COMPLETION, completion)):
        assert door(json.dumps(base | fields).encode(), able).warnings == []
        with pytest.raises(ApiError):
            door(json.dumps(base | fields | {"model": "other"}).encode(), able)


def test_tools_that_may_not_be_called_need_no_ability() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert warnings({"tools": tools, "tool_choice": "none"}) == []
    assert warnings({"functions": [{"name": "f"}], "function_call": "none"}) == []


def test_harmless_and_unknown_fields_are_named() -> None:
    fields = {"user": "alice", "metadata": {"a": "b"}, "store": True, "tempreature": 0.1}
    assert warnings(fields) == list(fields)
    assert warnings({"user": None}) == []
    options = {"include_usage": True, "include_obfuscation": True, "continuous_usage_stats": True}
    assert warnings({"stream": True, "stream_options": options}) == ["stream_options.include_obfuscation"]
    assert warnings({"stream": True, "stream_options": {"include_obfuscation": False}}) == []


HARMLESS = {"store": True, "metadata": {"a": "b"}, "service_tier": "flex", "prompt_cache_key": "k", "user": "u",
            "safety_identifier": "s", "verbosity": "low", "prediction": {"type": "content", "content": ""},
            "prompt_cache_retention": "24h", "tempreature": 1}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_a_strict_server_refuses_what_nothing_acts_on(name: str) -> None:
    assert warnings({name: HARMLESS[name]}) == [name]
    with pytest.raises(ApiError, match=f"acts on '{name}', and this server is strict") as caught:
        parse_chat(json.dumps(CHAT | {name: HARMLESS[name]}).encode(), STRICT)
    assert (caught.value.kind, caught.value.param) == ("unsupported_parameter", name)


def test_a_strict_server_takes_what_asks_for_nothing() -> None:
    asks_nothing = {
        "store": False,
        "metadata": {},
        "service_tier": "auto",
        "verbosity": "medium",
        "modalities": ["text"],
    }
    assert parse_chat(json.dumps(CHAT | asks_nothing).encode(), STRICT).warnings == []


def test_names_are_bounded_and_fit_for_a_header() -> None:
    assert warnings({"a\r\nset-cookie: é": 1, "b" * 5000: 2}) == ["a??set-cookie???", "b" * 64]
    assert warnings({f"field_{i}": i for i in range(1000)}) == [f"field_{i}" for i in range(16)] + ["..."]
