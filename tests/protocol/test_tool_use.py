"""What a chat's model may call, by every way of saying so; refused by the field that says it wrongly."""

import json
from typing import Any

import pytest

from penstock.abilities import Abilities
from penstock.errors import ApiError
from penstock.protocol import ChatCompletionRequest, Limits, fields_of, parse_chat
from penstock.protocol.tool_use import NO_TOOLS, ToolUse

LIMITS = Limits(engine_reads=lambda _: fields_of(Abilities(tools=True)))
F = {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}}
G = {"name": "server.g/2", "description": None, "strict": True}
TOOLS = [{"type": "function", "function": F}, {"type": "function", "function": G}]


def body(**fields: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": "Hi"}], **fields}).encode()


def use(**fields: Any) -> ToolUse:
    return parse_chat(body(**fields), LIMITS).request.tool_use


def refused(**fields: Any) -> tuple[str, str | None]:
    with pytest.raises(ApiError) as caught:
        parse_chat(body(**fields), LIMITS)
    return caught.value.kind, caught.value.param


def names(tool_use: ToolUse) -> list[str]:
    return [function["name"] for function in tool_use.functions]


@pytest.mark.parametrize("choice", [None, "auto", "required"])
def test_a_choice_in_a_word(choice: str | None) -> None:
    chosen = use(tools=TOOLS, tool_choice=choice)
    assert (names(chosen), chosen.is_required, chosen.name) == (["f", "server.g/2"], choice == "required", None)
    assert chosen.is_parallel


def test_one_that_must_be_called_is_named() -> None:
    chosen = use(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "f"}}, parallel_tool_calls=False)
    assert (names(chosen), chosen.is_required, chosen.name) == (["f", "server.g/2"], True, "f")
    assert not chosen.is_parallel


def test_d14_tools_that_may_not_be_called_are_not_shown() -> None:
    assert use(tools=TOOLS, tool_choice="none") is NO_TOOLS
    assert (NO_TOOLS.shown, NO_TOOLS.to_json()) == (None, None)


def test_only_allowed_tools_are_shown() -> None:
    for named in ({"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "f"}):
        for mode in ("auto", "required"):
            choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named]}}
            chosen = use(tools=TOOLS, tool_choice=choice)
            assert (names(chosen), chosen.is_required) == (["f"], mode == "required")


def test_the_older_functions_are_tools_that_are_called_one_at_a_time() -> None:
    chosen = use(functions=[F, G], function_call={"name": "f"})
    assert (names(chosen), chosen.name, chosen.is_required, chosen.is_parallel) == (
        ["f", "server.g/2"],
        "f",
        True,
        False,
    )
    assert use(functions=[F], function_call="none") is NO_TOOLS


def test_what_a_template_is_shown() -> None:
    assert use(tools=TOOLS).shown == [
        {"type": "function", "function": F}, {"type": "function", "function": {"name": "server.g/2"}},
    ]  # fmt: skip
    told = use(tools=TOOLS).to_json()
    assert told is not None
    assert json.loads(told) == TOOLS


def test_enforced_are_required_named_and_strict_ones() -> None:
    assert not use(tools=TOOLS[:1]).is_enforced
    assert use(tools=TOOLS).is_enforced
    assert use(tools=TOOLS[:1], tool_choice="required").is_enforced


def test_neutral_choices_without_tools_ask_for_nothing() -> None:
    for fields in ({"tools": []}, {"tool_choice": "auto"}, {"tool_choice": "none"}, {"parallel_tool_calls": False}):
        assert use(**fields) is NO_TOOLS


@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"tools": "f"}, "invalid_type", "tools"),
        ({"tools": [5]}, "invalid_type", "tools[0]"),
        ({"tools": [{"type": "function"}]}, "missing_parameter", "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "missing_parameter", "tools[0].function.name"),
        ({"tools": [{"type": "web_search"}]}, "unsupported_parameter", "tools[0].type"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "unsupported_parameter", "tools[0].type"),
        ({"tools": [{"function": {"name": ""}}]}, "invalid_value", "tools[0].function.name"),
        ({"tools": [{"function": {"name": "a b"}}]}, "invalid_value", "tools[0].function.name"),
        ({"tools": [{"function": {"name": "f" * 129}}]}, "invalid_value", "tools[0].function.name"),
        ({"tools": [{"function": {"name": "f", "parameters": []}}]}, "invalid_type", "tools[0].function.parameters"),
        ({"tools": [TOOLS[0], TOOLS[0]]}, "invalid_value", "tools[1].function.name"),
        ({"tools": [{"function": {"name": f"f{i}"}} for i in range(513)]}, "invalid_value", "tools"),
        ({"functions": [F, F]}, "invalid_value", "functions[1].name"),
        ({"functions": [F], "tools": TOOLS}, "invalid_value", "functions"),
        ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
        ({"tool_choice": "sometimes", "tools": TOOLS}, "invalid_value", "tool_choice"),
        ({"tool_choice": 5, "tools": TOOLS}, "invalid_type", "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "h"}}, "tools": TOOLS}, "invalid_value",
         "tool_choice"),
        ({"tool_choice": {"type": "function"}, "tools": TOOLS}, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "custom", "custom": {"name": "f"}}, "tools": TOOLS}, "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}, "tools": TOOLS},
         "invalid_value", "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"name": "h"}]}},
          "tools": TOOLS}, "invalid_value", "tool_choice"),
        ({"function_call": {"name": "h"}, "functions": [F]}, "invalid_value", "function_call"),
        ({"parallel_tool_calls": "no", "tools": TOOLS}, "invalid_type", "parallel_tool_calls"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(fields: dict[str, Any], kind: str, param: str) -> None:
    assert refused(**fields) == (kind, param)


def test_another_endpoints_body_goes_the_same_road() -> None:
    fields = {"messages": [{"role": "developer", "content": "Hi"}], "tools": TOOLS, "logit_bias": {"5": 1}}
    able = Limits(engine_reads=lambda _: fields_of(Abilities(tools=True, logit_bias=True)))
    request = ChatCompletionRequest.parse_object(fields, able).request
    assert (request.messages[0].role, request.logit_bias, names(request.tool_use)) == (
        "system", {5: 1.0}, ["f", "server.g/2"],
    )  # fmt: skip
    with pytest.raises(ApiError) as caught:
        ChatCompletionRequest.parse_object(fields | {"n": 1.5}, able)
    assert caught.value.param == "n"
