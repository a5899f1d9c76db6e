"""The messages of a chat: their wire types, and the step that makes them ready for a chat template.

Messages stay plain dicts, because templates read them as such. Keys that Penstock does not know go to the template as
they are; nothing here knows which of them a template reads.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import Tag, with_config
from pydantic_core import from_json
from typing_extensions import TypedDict

from penstock.errors import ApiError
from penstock.protocol.common import FAIL_FAST, STRICT, by_kind
from penstock.protocol.refusal import describe


@with_config(STRICT)
class ContentPart(TypedDict):
    """A piece of a message's content: {"type": "text", "text": "…"}; an assistant's may be a refusal."""

    type: str
    text: NotRequired[str]
    refusal: NotRequired[str]


@with_config(STRICT)
class FunctionCall(TypedDict):
    """The function an assistant called; `arguments` as JSON text (OpenAI) or as an object (templates)."""

    name: str
    arguments: Annotated[
        Annotated[str, Tag("~string")] | Annotated[dict[str, Any], Tag("~object")], by_kind("a JSON text or an object")
    ]


@with_config(STRICT)
class ToolCall(TypedDict):
    """A call in an assistant's history."""

    id: NotRequired[str]
    type: NotRequired[Literal["function"] | None]
    function: FunctionCall


@with_config(STRICT)
class ChatMessage(TypedDict):
    """One turn. `reasoning_content` (or `reasoning`, as some servers spell it) is an assistant's earlier thinking."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: NotRequired[
        Annotated[
            Annotated[str, Tag("~string")] | Annotated[list[ContentPart], FAIL_FAST, Tag("~array")],
            by_kind("a string or an array of parts"),
        ]
        | None
    ]
    name: NotRequired[str | None]
    tool_calls: NotRequired[Annotated[list[ToolCall], FAIL_FAST] | None]
    tool_call_id: NotRequired[str | None]
    reasoning_content: NotRequired[str | None]
    reasoning: NotRequired[str | None]


def template_messages(messages: list[ChatMessage]) -> list[ChatMessage]:
    """The messages as templates know them: `developer` is `system`, call arguments are objects, nulls are gone.

    Raises:
        ApiError: a part that is not text, a message without content, a tool message without `tool_call_id`.
    """
    return [_template_message(message, at=f"messages[{i}]") for i, message in enumerate(messages)]


def _template_message(message: ChatMessage, *, at: str) -> ChatMessage:
    for name in ("audio", "function_call"):
        if message.get(name) is not None:
            raise ApiError("unsupported_parameter", f"'{at}.{name}' is not supported.", param=f"{at}.{name}")
    ready = {name: value for name, value in message.items() if value is not None}
    if ready["role"] == "developer":
        ready["role"] = "system"
    if "content" not in ready:
        ready["content"] = _absent_content(message, at=at)
    elif isinstance(ready["content"], list):
        ready["content"] = [_text_part(part, at=f"{at}.content[{j}]") for j, part in enumerate(ready["content"])]
    if message["role"] == "tool" and "tool_call_id" not in ready:
        raise ApiError("missing_parameter", f"'{at}.tool_call_id' is required.", param=f"{at}.tool_call_id")
    if "tool_calls" in ready:
        ready["tool_calls"] = [_with_arguments_as_object(call) for call in message["tool_calls"] or ()]
    if "reasoning" in ready:
        ready.setdefault("reasoning_content", ready["reasoning"])
    return cast("ChatMessage", ready)


def _absent_content(message: ChatMessage, *, at: str) -> str:
    """Of an assistant that only called tools or only thought, and where an assistant or a tool gave null: "", which all
    templates can handle; some cannot null."""
    role, is_null = message["role"], "content" in message
    spoke_otherwise = any(message.get(name) for name in ("tool_calls", "reasoning_content", "reasoning", "refusal"))
    if (role == "assistant" and spoke_otherwise) or (role in ("assistant", "tool") and is_null):
        return ""
    if is_null:
        raise ApiError("invalid_type", f"'{at}.content' must be a string or an array of parts, not null.",
                       param=f"{at}.content")  # fmt: skip
    raise ApiError("missing_parameter", f"'{at}.content' is required.", param=f"{at}.content")


def _text_part(part: ContentPart, *, at: str) -> dict[str, str]:
    kind = part["type"]
    if kind not in ("text", "refusal"):
        shown = describe(kind)
        raise ApiError(
            "unsupported_parameter", f"'{at}' must be a part of type \"text\"; {shown} is not supported.", param=at
        )
    text = cast("str | None", part.get(kind))
    if text is None:
        raise ApiError("missing_parameter", f"'{at}.{kind}' is required.", param=f"{at}.{kind}")
    return {"type": "text", "text": text}


def _with_arguments_as_object(call: ToolCall) -> dict[str, Any]:
    """OpenAI sends arguments as JSON text, most templates print an object. Text that is no object stays as it is."""
    function = dict(call["function"])
    if isinstance(function["arguments"], str):
        try:
            arguments = from_json(function["arguments"], allow_inf_nan=False)
        except ValueError:
            arguments = None
        if isinstance(arguments, dict):
            function["arguments"] = arguments
    return {**call, "function": function}
