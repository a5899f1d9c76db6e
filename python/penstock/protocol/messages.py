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
    """A piece of a message's content: {"type": "text", "text": "…"}; an assistant's may be a refusal or a thought."""

    type: str
    text: NotRequired[str]
    refusal: NotRequired[str]
    thinking: NotRequired[str]
    reasoning: NotRequired[str]


@with_config(STRICT)
class FunctionCallFields(TypedDict):
    """The function an assistant called; `arguments` as JSON text (OpenAI) or as an object (templates)."""

    name: str
    arguments: Annotated[
        Annotated[str, Tag("~string")] | Annotated[dict[str, Any], Tag("~object")], by_kind("a JSON text or an object")
    ]


@with_config(STRICT)
class CustomCallFields(TypedDict):
    """The custom tool an assistant called, with a text."""

    name: str
    input: str


@with_config(STRICT)
class ToolCallFields(TypedDict):
    """A call in an assistant's history, of a function or a custom tool."""

    id: NotRequired[str]
    type: NotRequired[Literal["function", "custom"] | None]
    function: NotRequired[FunctionCallFields]
    custom: NotRequired[CustomCallFields]


@with_config(STRICT)
class ChatMessageFields(TypedDict):
    """One turn. `reasoning_content` (or `reasoning`, as some servers spell it) is an assistant's earlier thinking."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: NotRequired[
        Annotated[
            Annotated[str, Tag("~string")] | Annotated[list[ContentPart], FAIL_FAST, Tag("~array")],
            by_kind("a string or an array of parts"),
        ]
        | None
    ]
    name: NotRequired[str | None]
    function_call: NotRequired[FunctionCallFields | None]
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


#: Types of a part that are text, and the key that holds it.
_TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
#: Types of an assistant's part that are its thinking, and the keys that may hold it.
_THOUGHT_PARTS = {"thinking": ("thinking", "text"), "reasoning": ("reasoning", "text")}
_IMAGE_PARTS = ("image_url", "input_image", "image")


#: A message with a role of these, a text as its content and no more keys is ready as it came.
_PLAIN_ROLES = frozenset({"system", "user", "assistant"})
_NUM_PLAIN_KEYS = 2


def template_messages(messages: list[ChatMessage], content_parts: frozenset[str] = frozenset()) -> list[ChatMessage]:
    """The messages as templates know them: `developer` is `system`, `function` is `tool`, calls are of functions, their
    arguments are objects, thoughts are `reasoning_content`, nulls are gone.

    They are changed in place.

    Args:
        content_parts: types of parts beside text that are left as they came, for whoever reads them.

    Raises:
        ApiError: another part that is not text, a message without content, a tool message without `tool_call_id`.
    """
    call_ids: dict[str, str] = {}  # of the older function calls, which have none, by the function's name
    for i, message in enumerate(messages):
        if len(message) == _NUM_PLAIN_KEYS and message["role"] in _PLAIN_ROLES and type(message.get("content")) is str:
            continue  # nearly all
        at = f"messages[{i}]"
        if "function_call" in message or message["role"] == "function":
            _make_modern(message, call_ids, at=at, position=i)
        _make_ready(message, content_parts, at=at)
    return messages


def _make_modern(message: ChatMessage, call_ids: dict[str, str], *, at: str, position: int) -> None:
    """`function_call` becomes a tool call, and `function`, its answer, a tool's."""
    call = message.pop("function_call", None)
    if call is not None:
        call_ids[call["name"]] = call_id = f"call{position:05d}"  # as Mistral's templates want them: nine characters
        message["tool_calls"] = [*(message.get("tool_calls") or ()),
                                 {"id": call_id, "type": "function", "function": call}]  # fmt: skip
    if message["role"] == "function":
        name = message.get("name")
        if name is None:
            raise ApiError("missing_parameter", f"'{at}.name' is required.", param=f"{at}.name")
        message["role"] = "tool"
        message.setdefault("tool_call_id", call_ids.get(name, f"call{position:05d}"))


def _make_ready(message: ChatMessage, content_parts: frozenset[str], *, at: str) -> None:
    if message.get("audio") is not None:
        raise ApiError("unsupported_parameter", f"'{at}.audio' is not supported.", param=f"{at}.audio")
    content = message.get("content")
    if isinstance(content, list):
        _read_parts(message, content, content_parts, at=at)
    elif content is None:
        message["content"] = _absent_content(message, at=at)
    if None in message.values():
        for name in [name for name, value in message.items() if value is None]:
            del message[name]
    role = message["role"]
    if role == "developer":
        message["role"] = "system"
    if role == "tool" and "tool_call_id" not in message:
        raise ApiError("missing_parameter", f"'{at}.tool_call_id' is required.", param=f"{at}.tool_call_id")
    if calls := message.get("tool_calls"):
        message["tool_calls"] = [_with_arguments_as_object(call, at=f"{at}.tool_calls[{j}]")
                                 for j, call in enumerate(calls)]  # fmt: skip
    if "reasoning" in message or "reasoning_content" in message:
        _spell_thoughts(message)


def _read_parts(message: ChatMessage, parts: list[dict[str, Any]], content_parts: frozenset[str], *, at: str) -> None:
    """Texts stay where they are; an assistant's thoughts become its `reasoning_content`."""
    content, thoughts = [], []
    for j, part in enumerate(parts):
        place = f"{at}.content[{j}]"
        if part["type"] in content_parts:
            content.append(part)
        elif part["type"] in _THOUGHT_PARTS and message["role"] == "assistant":
            thoughts.append(_text_of(part, _THOUGHT_PARTS[part["type"]], at=place))
        else:
            content.append(_text_part(part, at=place))
    message["content"] = content or ("" if thoughts else content)
    if thoughts and message.get("reasoning_content") is None and message.get("reasoning") is None:
        message["reasoning_content"] = "".join(thoughts)


def _spell_thoughts(message: ChatMessage) -> None:
    """Under each name by which a template may look for them; as `thinking`, which is gpt-oss's, only where it takes
    them: beside a content it refuses them."""
    thoughts = message.setdefault("reasoning_content", message.get("reasoning"))
    message.setdefault("reasoning", thoughts)
    if not message["content"]:
        message.setdefault("thinking", thoughts)


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
    if kind not in _TEXT_PARTS:
        problem = "is an image, and this model reads text only"
        if kind not in _IMAGE_PARTS:
            problem = f'must be a part of type "text"; {describe(kind)} is not supported'
        raise ApiError("unsupported_parameter", f"'{at}' {problem}.", param=at)
    return {"type": "text", "text": _text_of(part, (_TEXT_PARTS[kind],), at=at)}


def _text_of(part: dict[str, Any], keys: tuple[str, ...], *, at: str) -> str:
    for key in keys:
        if (text := part.get(key)) is not None:
            return cast("str", text)
    raise ApiError("missing_parameter", f"'{at}.{keys[0]}' is required.", param=f"{at}.{keys[0]}")


def _with_arguments_as_object(call: dict[str, Any], *, at: str) -> dict[str, Any]:
    """OpenAI sends arguments as JSON text, most templates print an object. Text that is no object stays as it is. A
    custom tool's text is shown as a function's only argument, `input`."""
    if "function" not in call:
        if "custom" not in call:
            raise ApiError("missing_parameter", f"'{at}.function' is required.", param=f"{at}.function")
        custom = call["custom"]
        function = {"name": custom["name"], "arguments": {"input": custom["input"]}}
        return {**{name: value for name, value in call.items() if name != "custom"},
                "type": "function", "function": function}  # fmt: skip
    function = dict(call["function"])
    if isinstance(function["arguments"], str):
        function["arguments"] = _object_of(function["arguments"])
    return {**call, "function": function}


def _object_of(arguments: str) -> str | dict[str, Any]:
    if not arguments.strip():  # as some clients write a call without arguments
        return {}
    try:
        value = from_json(arguments, allow_inf_nan=False)
    except ValueError:
        return arguments
    return value if isinstance(value, dict) else arguments
