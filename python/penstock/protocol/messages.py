"""The messages of a chat: their wire types, and the step that makes them ready for a chat template.

Messages are dicts, because templates read them as such, with attributes for handlers (`message.role`). Keys that
Penstock does not know go to the template as they are; nothing here knows which of them a template reads.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import Tag, with_config
from pydantic_core import from_json
from typing_extensions import TypedDict

from penstock.errors import ApiError
from penstock.protocol.common import FAIL_FAST, STRICT, by_kind
from penstock.protocol.refusal import describe
from penstock.protocol.wire_object import WireObject


@with_config(STRICT)
class ContentPart(TypedDict):
    """A piece of a message's content: {"type": "text", "text": "…"}; an assistant's may be a refusal."""

    type: str
    text: NotRequired[str]
    refusal: NotRequired[str]


@with_config(STRICT)
class FunctionCallFields(TypedDict):
    """The function an assistant called; `arguments` as JSON text (OpenAI) or as an object (templates)."""

    name: str
    arguments: Annotated[
        Annotated[str, Tag("~string")] | Annotated[dict[str, Any], Tag("~object")], by_kind("a JSON text or an object")
    ]


@with_config(STRICT)
class ToolCallFields(TypedDict):
    """A call in an assistant's history."""

    id: NotRequired[str]
    type: NotRequired[Literal["function"] | None]
    function: FunctionCallFields


@with_config(STRICT)
class ChatMessageFields(TypedDict):
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
    tool_calls: NotRequired[Annotated[list[ToolCallFields], FAIL_FAST] | None]
    tool_call_id: NotRequired[str | None]
    reasoning_content: NotRequired[str | None]
    reasoning: NotRequired[str | None]


class FunctionCall(WireObject):
    """The function an assistant calls: `FunctionCall(name="f", arguments="{}")`."""

    fields = FunctionCallFields
    name: str
    arguments: str | dict[str, Any]


class ToolCall(WireObject):
    """One call: `ToolCall(id="call_1", type="function", function=FunctionCall(…))`; `index` in a stream's deltas."""

    fields = ToolCallFields
    index: int | None
    id: str | None
    type: str | None
    function: FunctionCall


class ChatMessage(WireObject):
    """One turn of a chat, asked or answered: `ChatMessage(role="assistant", content="Hi")`."""

    fields = ChatMessageFields
    role: str
    content: str | list[dict[str, Any]] | None
    name: str | None
    function_call: dict[str, Any] | None
    tool_calls: list[ToolCall] | None
    tool_call_id: str | None
    reasoning_content: str | None
    reasoning: str | None


def template_messages(messages: list[ChatMessage], content_parts: frozenset[str] = frozenset()) -> list[ChatMessage]:
    """The messages as templates know them: `developer` is `system`, call arguments are objects, nulls are gone.

    They are changed in place.

    Args:
        content_parts: types of parts beside text that are left as they came, for whoever reads them.

    Raises:
        ApiError: another part that is not text, a message without content, a tool message without `tool_call_id`.
    """
    for i, message in enumerate(messages):
        _make_ready(message, content_parts, at=f"messages[{i}]")
    return messages


def _make_ready(message: ChatMessage, content_parts: frozenset[str], *, at: str) -> None:
    for name in ("audio", "function_call"):
        if message.get(name) is not None:
            raise ApiError("unsupported_parameter", f"'{at}.{name}' is not supported.", param=f"{at}.{name}")
    content = message.get("content")
    if content is None:
        message["content"] = _absent_content(message, at=at)
    elif isinstance(content, list):
        message["content"] = [
            part if part["type"] in content_parts else _text_part(part, at=f"{at}.content[{j}]")
            for j, part in enumerate(content)
        ]
    if None in message.values():
        for name in [name for name, value in message.items() if value is None]:
            del message[name]
    role = message["role"]
    if role == "developer":
        message["role"] = "system"
    if role == "tool" and "tool_call_id" not in message:
        raise ApiError("missing_parameter", f"'{at}.tool_call_id' is required.", param=f"{at}.tool_call_id")
    if calls := message.get("tool_calls"):
        message["tool_calls"] = [_with_arguments_as_object(call) for call in calls]
    if "reasoning" in message:
        message.setdefault("reasoning_content", message["reasoning"])


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


def _text_part(part: dict[str, Any], *, at: str) -> dict[str, str]:
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


def _with_arguments_as_object(call: dict[str, Any]) -> dict[str, Any]:
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
