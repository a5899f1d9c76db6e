"""Anthropic's messages, whose content is a list of blocks, as the messages of a chat.

The results of tools stand in a user's message there; in a chat each is a message of its own, before what the user says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Tag, with_config
from pydantic_core import to_json
from typing_extensions import TypedDict

from penstock.errors import ApiError
from penstock.protocol.common import FAIL_FAST, STRICT, by_kind
from penstock.protocol.translated import required, text_of

_TEXT = frozenset({"text"})
Message = dict[str, Any]


@with_config(STRICT)
class Block(TypedDict):
    """A piece of a message: text, a thought, a tool's use or its result."""

    type: str
    text: NotRequired[str | None]
    thinking: NotRequired[str | None]
    id: NotRequired[str | None]
    name: NotRequired[str | None]
    input: NotRequired[dict[str, Any] | None]
    tool_use_id: NotRequired[str | None]
    content: NotRequired[Any]
    is_error: NotRequired[bool | None]


@with_config(STRICT)
class Turn(TypedDict):
    """One message."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[
        Annotated[str, Tag("~string")] | Annotated[list[Block], FAIL_FAST, Tag("~array")],
        by_kind("a string or an array of blocks"),
    ]


def chat_messages(turns: list[Turn]) -> list[Message]:
    """A chat's messages. Raises ApiError, by its place, on a block that a role cannot have or that is not known."""
    messages: list[Message] = []
    for i, turn in enumerate(turns):
        role, content, at = turn["role"], turn["content"], f"messages[{i}].content"
        if isinstance(content, str):
            messages.append({"role": role, "content": content})
        elif role == "assistant":
            messages.append(_assistant(content, at=at))
        else:
            messages += _user(role, content, at=at)
    return messages


def system_text(system: str | list[dict[str, Any]] | None) -> str | list[dict[str, str]] | None:
    """The system prompt, as a chat's message has it."""
    return None if not system else text_of(system, at="system", kinds=_TEXT)


def _assistant(blocks: list[Block], *, at: str) -> Message:
    message: Message = {"role": "assistant"}
    texts: list[Block] = []
    for i, block in enumerate(blocks):
        kind, place = block["type"], f"{at}[{i}]"
        if kind == "text":
            texts.append(block)
        elif kind == "thinking":
            thought = required(block, "thinking", at=place)
            message["reasoning_content"] = message.get("reasoning_content", "") + thought
        elif kind == "tool_use":
            message.setdefault("tool_calls", []).append(_call(block, at=place))
        elif kind != "redacted_thinking":  # which only its maker could read
            raise _unknown(kind, place)
    message["content"] = text_of(texts, at=at, kinds=_TEXT) if texts else ""
    return message


def _call(block: Block, *, at: str) -> dict[str, Any]:
    arguments = to_json(block.get("input") or {}).decode()
    function = {"name": required(block, "name", at=at), "arguments": arguments}
    return {"id": required(block, "id", at=at), "type": "function", "function": function}


def _user(role: str, blocks: list[Block], *, at: str) -> list[Message]:
    """The results, then what is said beside them."""
    messages: list[Message] = []
    texts: list[Block] = []
    for i, block in enumerate(blocks):
        if block["type"] == "tool_result":
            messages.append(_result(block, at=f"{at}[{i}]"))
        elif block["type"] == "text":
            texts.append(block)
        else:
            raise _unknown(block["type"], f"{at}[{i}]")
    if texts or not messages:
        messages.append({"role": role, "content": text_of(texts, at=at, kinds=_TEXT) if texts else ""})
    return messages


def _result(block: Block, *, at: str) -> Message:
    content: Any = block.get("content")
    if not (content is None or isinstance(content, str) or _is_list_of_objects(content)):
        problem = f"'{at}.content' must be a string or an array of blocks."
        raise ApiError("invalid_type", problem, param=f"{at}.content")
    call_id = required(block, "tool_use_id", at=at)
    text = text_of(content or "", at=f"{at}.content", kinds=_TEXT)
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)


def _unknown(kind: str, at: str) -> ApiError:
    problem = f"'{at}' is of type '{kind[:40]}', which this model cannot read."
    return ApiError("unsupported_parameter", problem, param=f"{at}.type")
