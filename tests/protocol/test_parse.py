"""What the door lets in and what it refuses, as tables; the judges are the official client's types and random JSON."""

import json
import time
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import completion_create_params as chat_params
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming

from penstock.abilities import Abilities
from penstock.errors import ApiError
from penstock.protocol import (
    ChatCompletionRequest,
    ChatMessage,
    CompletionRequest,
    Limits,
    Parsed,
    fields_of,
    parse_chat,
    parse_completion,
)
from penstock.protocol.fields import NOT_BUILT_IN_COMPLETIONS

ABLE = fields_of(Abilities(tools=True, logprobs=True, penalties=True, logit_bias=True, token_output=True,
                           token_prompts=True))  # fmt: skip
LIMITS = Limits(max_choices=8, max_stop_strings=4)
ABLE_LIMITS = Limits(max_choices=8, max_stop_strings=4, engine_reads=lambda _: ABLE)
USER = {"role": "user", "content": "Hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "now", "arguments": '{"zone": "CET"}'}}


def chat(**fields: Any) -> Parsed[Any]:
    return parse_chat(json.dumps({"model": "m", "messages": [USER], **fields}).encode(), LIMITS)


def completion(**fields: Any) -> Parsed[Any]:
    return parse_completion(json.dumps({"model": "m", "prompt": "Hi", **fields}).encode(), LIMITS)


def able_chat(**fields: Any) -> Parsed[Any]:
    return parse_chat(json.dumps({"model": "m", "messages": [USER], **fields}).encode(), ABLE_LIMITS)


def able_completion(**fields: Any) -> Parsed[Any]:
    return parse_completion(json.dumps({"model": "m", "prompt": "Hi", **fields}).encode(), ABLE_LIMITS)


def refused(door: Any, **fields: Any) -> tuple[str, str | None]:
    with pytest.raises(ApiError) as caught:
        door(**fields)
    assert caught.value.status == 400
    assert len(caught.value.message) < 400
    return caught.value.kind, caught.value.param


@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"model": 5}, "invalid_type", "model"),
        ({"model": ""}, "invalid_value", "model"),
        ({"n": "5"}, "invalid_type", "n"),
        ({"n": True}, "invalid_type", "n"),
        ({"n": 1.0}, "invalid_type", "n"),
        ({"n": 0}, "invalid_value", "n"),
        ({"n": 9}, "invalid_value", "n"),
        ({"temperature": 2.1}, "invalid_value", "temperature"),
        ({"temperature": "0"}, "invalid_type", "temperature"),
        ({"temperature": float("nan")}, "invalid_type", "temperature"),
        ({"temperature": 10**400}, "invalid_type", "temperature"),
        ({"top_p": -0.1}, "invalid_value", "top_p"),
        ({"top_p": 1.01}, "invalid_value", "top_p"),
        ({"top_k": -2}, "invalid_value", "top_k"),
        ({"min_p": -0.1}, "invalid_value", "min_p"),
        ({"seed": 2**63}, "invalid_value", "seed"),
        ({"max_tokens": -2}, "invalid_value", "max_tokens"),
        ({"max_completion_tokens": -2}, "invalid_value", "max_completion_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "invalid_value", "max_tokens"),
        ({"stream": "yes"}, "invalid_type", "stream"),
        ({"stream_options": {}}, "invalid_value", "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "invalid_type", "stream_options.include_usage"),
        ({"stop": 5}, "invalid_type", "stop"),
        ({"stop": ["a", 5]}, "invalid_type", "stop[1]"),
        ({"stop": "x" * 257}, "invalid_value", "stop"),
        ({"stop": ["x"] * 5}, "invalid_value", "stop"),
        ({"stop_token_ids": [-1]}, "invalid_value", "stop_token_ids"),
        ({"stop_token_ids": [1] * 5}, "invalid_value", "stop_token_ids"),
        ({"continue_final_message": True, "add_generation_prompt": True}, "invalid_value", "continue_final_message"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": None}, "invalid_type", "messages"),
        ({"messages": ["hi"]}, "invalid_type", "messages[0]"),
        ({"messages": [{"content": "x"}]}, "missing_parameter", "messages[0].role"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [USER, {"role": "user"}]}, "missing_parameter", "messages[1].content"),
        ({"messages": [{"role": "user", "content": None}]}, "invalid_type", "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "invalid_type", "messages[0].content"),
        ({"messages": [{"role": "assistant"}]}, "missing_parameter", "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "missing_parameter", "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "missing_parameter",
         "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": 5}]}]}, "invalid_type", "messages[0].content[0].type"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]}, "missing_parameter",
         "messages[0].tool_calls[0].function.arguments"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "missing_parameter",
         "messages[0].tool_calls[0].function"),
        ({"messages": [{"role": "function", "content": "x"}]}, "missing_parameter", "messages[0].name"),
        ({"messages": [{"role": "user", "content": [{"type": "thinking", "thinking": "x"}]}]}, "unsupported_parameter",
         "messages[0].content[0]"),
        ({"messages": [{"role": "assistant", "content": [{"type": "thinking"}]}]}, "missing_parameter",
         "messages[0].content[0].thinking"),
        ({"min_tokens": 5, "max_tokens": 4}, "invalid_value", "min_tokens"),
        ({"reasoning_effort": "vast"}, "invalid_value", "reasoning_effort"),
        ({"top_logprobs": 21}, "invalid_value", "top_logprobs"),
        ({"presence_penalty": 2.1}, "invalid_value", "presence_penalty"),
        ({"frequency_penalty": False}, "invalid_type", "frequency_penalty"),
        ({"frequency_penalty": float("nan")}, "invalid_type", "frequency_penalty"),
        ({"repetition_penalty": 0}, "invalid_value", "repetition_penalty"),
        ({"repetition_penalty": 10**400}, "invalid_type", "repetition_penalty"),
        ({"logit_bias": {"a": 1}}, "invalid_type", "logit_bias.a"),
        ({"logit_bias": {"-1": 1}}, "invalid_value", "logit_bias.-1"),
        ({"logit_bias": {"5": 101}}, "invalid_value", "logit_bias.5"),
        ({"logit_bias": {"5": float("nan")}}, "invalid_type", "logit_bias.5"),
        ({"logit_bias": {"5": 10**400}}, "invalid_type", "logit_bias.5"),
        ({"logit_bias": {str(i): 1 for i in range(1025)}}, "invalid_value", "logit_bias"),
        ({"allowed_token_ids": [1] * 16_385}, "invalid_value", "allowed_token_ids"),
        ({"allowed_token_ids": [-1]}, "invalid_value", "allowed_token_ids[0]"),
        ({"bad_words": [""]}, "invalid_value", "bad_words[0]"),
        ({"bad_words": ["x"] * 65}, "invalid_value", "bad_words"),
        ({"truncate_prompt_tokens": -2}, "invalid_value", "truncate_prompt_tokens"),
    ],
)  # fmt: skip
def test_a_bad_chat_is_refused_by_name(fields: dict[str, Any], kind: str, param: str) -> None:
    assert refused(chat, **fields) == (kind, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(fields: dict[str, Any], param: str) -> None:
    assert refused(able_chat, **fields) == ("invalid_value", param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logprobs": 21}, "logprobs"),
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"best_of": 5, "prompt": ["a", "b"]}, "best_of"),
        ({"best_of": 0}, "best_of"),
    ],
)
def test_a_bad_completion_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    assert refused(able_completion, **fields) == ("invalid_value", param)


def test_log_probabilities_are_asked_for_in_each_endpoints_own_way() -> None:
    asked = [able_chat(logprobs=True), able_chat(logprobs=True, top_logprobs=3), able_chat(logprobs=False), able_chat()]
    assert [parsed.request.num_logprobs for parsed in asked] == [0, 3, None, None]
    asked = [able_completion(logprobs=0), able_completion(logprobs=20), able_completion(logprobs=False)]
    assert [parsed.request.num_logprobs for parsed in asked] == [0, 20, None]


def test_a_key_of_a_client_is_not_echoed_at_length() -> None:
    with pytest.raises(ApiError) as caught:
        chat(logit_bias={"x" * 5000: 1})
    assert len(caught.value.param or "") <= 200


def test_fields_are_taken_as_other_servers_take_them() -> None:
    for stop in ("", [""], []):
        assert chat(stop=stop).request.stop_strings == ()
    assert chat(stop=["", "a", ""]).request.stop_strings == ("a",)
    for door in (chat, completion):
        for name in ("max_tokens", "max_completion_tokens"):
            assert door(**{name: 7}).request.new_token_limit == 7
            unset = door(**{name: -1})
            assert (unset.request.new_token_limit, unset.warnings) == (None, [name])
        assert refused(door, max_tokens=5, max_completion_tokens=6) == ("invalid_value", "max_tokens")
    silent = [USER, {"role": "assistant", "content": None}, {"role": "tool", "content": None, "tool_call_id": "c"}]
    assert [message["content"] for message in chat(messages=silent).request.messages] == ["Hi", "", ""]


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ApiError) as caught:
        parse_chat(b'{"model": "m"}', LIMITS)
    assert (caught.value.kind, caught.value.code, caught.value.param) == (
        "missing_parameter", "missing_required_parameter", "messages")  # fmt: skip


def test_a_model_need_not_be_named() -> None:
    assert chat(model=None).request.model is None
    assert parse_completion(b'{"prompt": "Hi"}', LIMITS).request.model is None


@pytest.mark.parametrize("part", [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "input_audio"}])
def test_parts_that_are_not_text_are_refused_by_their_place(part: dict[str, Any]) -> None:
    messages = [USER, {"role": "user", "content": [{"type": "text", "text": "Look:"}, part]}]
    assert refused(chat, messages=messages) == ("unsupported_parameter", "messages[1].content[1]")


@pytest.mark.parametrize(
    ("prompt", "kind", "param"),
    [
        (None, "invalid_type", "prompt"),
        ({}, "invalid_type", "prompt"),
        ([None], "invalid_type", "prompt"),
        ([True], "invalid_type", "prompt"),
        ([], "invalid_value", "prompt"),
        ([[]], "invalid_value", "prompt"),
        ([1, "a"], "invalid_type", "prompt[1]"),
        (["a", 1], "invalid_type", "prompt[1]"),
        ([[1], [2, True]], "invalid_type", "prompt[1][1]"),
        ([5, -1], "invalid_value", "prompt"),
        ([5, 2**31], "invalid_value", "prompt"),
        (["a"] * 5000, "invalid_value", "prompt"),
        ([[-1]], "invalid_value", "prompt"),
        (["a"] * 9, "invalid_value", "prompt"),
    ],
)
def test_a_bad_prompt_is_refused_by_its_place(prompt: Any, kind: str, param: str) -> None:
    assert refused(completion, prompt=prompt) == (kind, param)


def test_choices_are_n_times_prompts() -> None:
    assert completion(prompt=["a"] * 4, n=2).request.n == 2
    assert refused(completion, prompt=["a"] * 4, n=3) == ("invalid_value", "n")


@pytest.mark.parametrize(
    ("prompt", "prompts"), [("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], [[1, 2]]), ([[1], [2]], [[1], [2]])]
)
def test_prompts_come_one_by_one(prompt: Any, prompts: list[Any]) -> None:
    assert completion(prompt=prompt).request.prompts == prompts


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"model": "\xff"}',
        b'{"model": "\x00"}',
        b'{"model": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"model":' * 50_000,
        b'{"model": "m", "messages": ' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"model": "m", "n": ' + b"9" * 5000 + b"}",
        b'{"model": "m"} x',
    ],
)
def test_what_is_no_json_is_400(body: bytes) -> None:
    for door in (parse_chat, parse_completion):
        with pytest.raises(ApiError) as caught:
            door(body, LIMITS)
        assert (caught.value.kind, caught.value.param) == ("invalid_json", None)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"5"])
def test_a_body_must_be_an_object(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        parse_chat(body, LIMITS)
    assert caught.value.kind == "invalid_type"


def test_a_million_bad_items_are_one_complaint() -> None:
    limits = Limits(max_json_items=2_000_000)
    began = time.perf_counter()
    for body in (
        b'{"model":"m","prompt":["a"' + b",1" * 1_000_000 + b"]}",
        b'{"model":"m","prompt":[1' + b',"a"' * 1_000_000 + b"]}",
        b'{"model":"m","prompt":"a","stop":["a"' + b",1" * 1_000_000 + b"]}",
    ):
        with pytest.raises(ApiError, match="must"):
            parse_completion(body, limits)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({f"k{number}": number for number in range(400_000)}, "at most 20000 object members"),
        ({"messages": [USER] * 150_000}, "at most 20000 object members"),
        ({"chat_template_kwargs": {"deep": [{}] * 20_000}}, "at most 20000 object members"),
        ({"stop_token_ids": [1] * 300_000}, "at most 262144 are read"),
    ],
    ids=["keys", "messages", "objects", "items"],
)
def test_a_body_of_too_many_parts_never_reaches_the_parser(
    fields: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def validated(*_: object, **__: object) -> None:
        raise AssertionError("pydantic saw it")

    monkeypatch.setattr(ChatCompletionRequest, "model_validate_json", validated)
    with pytest.raises(ApiError) as caught:
        parse_chat(json.dumps({"messages": [USER], **fields}).encode(), Limits())
    assert caught.value.kind == "invalid_value"
    assert says in caught.value.message


def test_long_prompts_and_long_tool_schemas_are_no_excess() -> None:
    ids = list(range(128_000))
    assert parse_completion(json.dumps({"prompt": ids}).encode(), Limits()).request.prompts == [ids]
    properties = {
        f"field_{number}": {"type": "string", "description": "x" * 80, "enum": ["a", "b"]} for number in range(20)
    }
    function = {"name": "f", "description": "x" * 500, "parameters": {"type": "object", "properties": properties}}
    tools = [{"type": "function", "function": {**function, "name": f"f{number}"}} for number in range(100)]
    parsed = parse_chat(json.dumps({"messages": [USER] * 1000, "tools": tools}).encode(), ABLE_LIMITS)
    assert parsed.request.tools == tools


def test_a_clients_text_is_not_echoed_at_length() -> None:
    with pytest.raises(ApiError) as caught:
        chat(temperature="secret " * 1000)
    assert "secret" not in caught.value.message


# ---- the judges

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [*ChatCompletionRequest.model_fields, *CompletionRequest.model_fields, *NOT_BUILT_IN_COMPLETIONS, "user"]
)
MESSAGE_NAMES = st.sampled_from([*ChatMessage.__annotations__, "function_call"])
NEAR = st.sampled_from(
    ["user", "assistant", "tool", "text", [{"type": "text", "text": "x"}], [{"type": "text"}], [CALL]]
)


@settings(max_examples=150, deadline=None)
@given(
    fields=st.dictionaries(NAMES, JSON, max_size=6),
    message=st.dictionaries(MESSAGE_NAMES, JSON | NEAR, max_size=4),
)
def test_no_json_raises_anything_but_api_error(fields: dict[str, Any], message: dict[str, Any]) -> None:
    base = {"model": "m", "prompt": "Hi", "messages": [{"role": "assistant", "content": "Hi", **message}]}
    for body in (fields, base | fields):
        for door in (parse_chat, parse_completion):
            for limits in (LIMITS, ABLE_LIMITS):
                try:
                    door(json.dumps(body).encode(), limits)
                except ApiError as error:
                    assert error.status == 400  # noqa: PT017


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64))
def test_no_bytes_raise_anything_but_api_error(body: bytes) -> None:
    with pytest.raises(ApiError):
        parse_chat(body, LIMITS)


def test_every_field_of_the_official_client_is_honoured_refused_or_named() -> None:
    """A value that changes the answer must never pass in silence."""
    telling: dict[str, Any] = {"response_format": {"type": "json_object"}, "logit_bias": {"5": 1}, "logprobs": True}
    telling |= {"modalities": ["audio"], "stream_options": {"include_usage": True}, "messages": [USER], "prompt": "x"}
    for door, params in (
        (chat, chat_params.CompletionCreateParamsBase),
        (completion, CompletionCreateParamsNonStreaming),
    ):
        for name in get_type_hints(params):
            value = telling.get(name, 0.5 if "penalty" in name else 3)
            try:
                parsed = door(**{name: value, **({"stream": True} if name == "stream_options" else {})})
            except ApiError as error:
                assert error.param == name, name  # noqa: PT017
            else:
                assert name in parsed.warnings or name in type(parsed.request).model_fields, name


def test_what_the_official_client_writes_is_read() -> None:
    """Messages of every role in the client's own parameter types, as an agent sends them back."""
    answer = {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None, "annotations": [],
              "audio": None, "function_call": None}  # fmt: skip
    history: list[chat_params.ChatCompletionMessageParam] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What "}, {"type": "text", "text": "time is it?"}]},
        answer,  # type: ignore[list-item]  # a ChatCompletionMessage's own dump
        {"role": "tool", "tool_call_id": "call_1", "content": "19:36"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "name": "p"},
    ]
    messages = chat(messages=history, top_p=1.0, stop=None, tools=[], parallel_tool_calls=True).request.messages
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert messages[2] == {
        "role": "assistant", "content": "", "annotations": [],
        "tool_calls": [{**CALL, "function": {"name": "now", "arguments": {"zone": "CET"}}}],
    }  # fmt: skip
    assert messages[4]["content"] == [{"type": "text", "text": "No."}]
    assert len(get_args(chat_params.ChatCompletionMessageParam)) == 6  # our five, and the old `function`


def test_an_older_history_reads_as_a_newer_one() -> None:
    history = [
        {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": '{"zone": "CET"}'}},
        {"role": "function", "name": "now", "content": "19:36"},
        {"role": "function", "name": "who", "content": None},
    ]
    called, answered, unasked = chat(messages=history).request.messages
    assert called == {
        "role": "assistant", "content": "",
        "tool_calls": [{"id": "call00000", "type": "function",
                        "function": {"name": "now", "arguments": {"zone": "CET"}}}],
    }  # fmt: skip
    assert answered == {"role": "tool", "name": "now", "content": "19:36", "tool_call_id": "call00000"}
    assert unasked == {"role": "tool", "name": "who", "content": "", "tool_call_id": "call00002"}


def test_a_custom_tools_call_is_shown_as_a_functions() -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    (message,) = chat(messages=[{"role": "assistant", "tool_calls": [call]}]).request.messages
    assert message["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "sql", "arguments": {"input": "select 1"}}}
    ]


@pytest.mark.parametrize(("arguments", "read"), [("", {}), ("  ", {}), ("{}", {}), ("[1]", "[1]"), ("{", "{")])
def test_arguments_are_objects_where_they_can_be(arguments: str, read: Any) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    (message,) = chat(messages=[{"role": "assistant", "tool_calls": [call]}]).request.messages
    assert message["tool_calls"][0]["function"]["arguments"] == read


def test_parts_are_text_under_every_name_of_it() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}, {"type": "output_text", "text": "c"}]
    for role in ("system", "developer", "user", "assistant"):
        (message,) = chat(messages=[{"role": role, "content": parts}]).request.messages
        assert message["content"] == [{"type": "text", "text": text} for text in "abc"]
    (message,) = chat(messages=[{"role": "tool", "tool_call_id": "x", "content": parts}]).request.messages
    assert message["content"] == [{"type": "text", "text": text} for text in "abc"]


@pytest.mark.parametrize(
    "said",
    [
        {"content": "Hi", "reasoning_content": "Hm."},
        {"content": "Hi", "reasoning": "Hm."},
        {"content": [{"type": "thinking", "thinking": "H"}, {"type": "thinking", "text": "m."}, "Hi"]},
        {"content": [{"type": "reasoning", "reasoning": "Hm."}, "Hi"]},
        {"content": [{"type": "reasoning", "text": "Hm."}, "Hi"]},
        {"content": None, "reasoning": "Hm."},
        {"content": [{"type": "thinking", "thinking": "Hm."}]},
    ],
)
def test_thoughts_are_read_under_every_name(said: dict[str, Any]) -> None:
    if isinstance(said["content"], list):
        said["content"] = [
            {"type": "text", "text": part} if isinstance(part, str) else part for part in said["content"]
        ]
    (message,) = chat(messages=[{"role": "assistant", **said}]).request.messages
    assert (message.reasoning_content, message.reasoning) == ("Hm.", "Hm.")
    assert message["content"] in ("Hi", [{"type": "text", "text": "Hi"}], "")
    assert message.get("thinking") == ("Hm." if not message["content"] else None)


def test_an_image_is_named_where_the_model_has_no_eyes() -> None:
    for kind in ("image_url", "input_image"):
        with pytest.raises(ApiError, match=r"'messages\[0\].content\[0\]' is an image, and this model reads text only"):
            chat(messages=[{"role": "user", "content": [{"type": kind}]}])


def test_what_the_template_is_told_of_thinking() -> None:
    assert chat().request.template_kwargs == {}
    asked = chat(reasoning_effort="low").request.template_kwargs
    assert asked == {"reasoning_effort": "low", "enable_thinking": True, "thinking": True}
    assert chat(reasoning_effort="none").request.template_kwargs["enable_thinking"] is False
    kwargs = {"enable_thinking": True, "x": 1}
    told = chat(enable_thinking=False, chat_template_kwargs=kwargs).request.template_kwargs
    assert told == {"enable_thinking": True, "thinking": False, "x": 1}
