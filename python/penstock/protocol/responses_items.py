"""The items of a Responses conversation, as the messages of a chat.

An assistant's turn is several items there: a thought, a message, calls. Here it is one message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NotRequired, cast

from pydantic import Tag, with_config
from pydantic_core import to_json
from typing_extensions import TypedDict

from penstock.errors import ApiError
from penstock.protocol.common import FAIL_FAST, STRICT, by_kind
from penstock.protocol.translated import required, text_of

_TEXT_PARTS = frozenset({"input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text"})
_ROLES = ("user", "assistant", "system", "developer")
Message = dict[str, Any]


@with_config(STRICT)
class ItemPart(TypedDict):
    """A piece of an item: {"type": "input_text", "text": "…"}."""

    type: str
    text: NotRequired[str | None]
    refusal: NotRequired[str | None]


_Content = Annotated[
    Annotated[str, Tag("~string")] | Annotated[list[ItemPart], FAIL_FAST, Tag("~array")],
    by_kind("a string or an array of parts"),
]


@with_config(STRICT)
class InputItem(TypedDict):
    """An item: a message, a call, a call's output, a thought, or a reference to one that is stored."""

    type: NotRequired[str | None]
    id: NotRequired[str | None]
    role: NotRequired[str | None]
    content: NotRequired[_Content | None]
    status: NotRequired[str | None]
    call_id: NotRequired[str | None]
    name: NotRequired[str | None]
    arguments: NotRequired[str | None]
    input: NotRequired[str | None]
    output: NotRequired[_Content | None]
    summary: NotRequired[Annotated[list[ItemPart], FAIL_FAST] | None]


def kind_of(item: Mapping[str, Any]) -> str:
    """An item's type; messages and references may leave it out."""
    kind = item.get("type")
    if kind is None:
        kind = "message" if "role" in item else "item_reference"
    return str(kind)


def messages_of(items: Iterable[Mapping[str, Any]], *, param: str = "input") -> list[Message]:
    """A chat's messages. References must have been replaced by what they refer to.

    Raises:
        ApiError: an item of a type that is not known here, or without what it needs, by its place in `param`.
    """
    turns = _Turns()
    for i, item in enumerate(items):
        turns.add(item, at=f"{param}[{i}]")
    return turns.messages


class _Turns:
    """Messages in the making. Attributes: messages: those that are whole, and the one that may still grow."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._open: Message | None = None  # an assistant's turn, the last of them

    def add(self, item: Mapping[str, Any], *, at: str) -> None:
        kind = kind_of(item)
        add = {
            "message": self._add_message,
            "function_call": self._add_call,
            "custom_tool_call": self._add_call,
            "function_call_output": self._add_output,
            "custom_tool_call_output": self._add_output,
            "reasoning": self._add_reasoning,
        }.get(kind)
        if add is None:
            problem = f"'{at}' is of type '{kind[:40]}', which is not supported."
            raise ApiError("unsupported_parameter", problem, param=f"{at}.type")
        add(item, at=at)

    def _add_message(self, item: Mapping[str, Any], *, at: str) -> None:
        role = required(item, "role", at=at)
        if role not in _ROLES:
            problem = f"'{at}.role' must be one of {', '.join(_ROLES)}, not '{role[:40]}'."
            raise ApiError("invalid_value", problem, param=f"{at}.role")
        if item.get("content") is None:
            raise ApiError("missing_parameter", f"'{at}.content' is required.", param=f"{at}.content")
        content = text_of(item["content"], at=f"{at}.content", kinds=_TEXT_PARTS)
        if role != "assistant":
            self._open = None
            self.messages.append({"role": role, "content": content})
            return
        turn = self._turn(without=("content", "tool_calls"))
        turn["content"] = content

    def _add_call(self, item: Mapping[str, Any], *, at: str) -> None:
        if kind_of(item) == "function_call":
            arguments = required(item, "arguments", at=at)
        else:  # what a custom tool is given is a text
            arguments = to_json({"input": required(item, "input", at=at)}).decode()
        function = {"name": required(item, "name", at=at), "arguments": arguments}
        call = {"id": required(item, "call_id", at=at), "type": "function", "function": function}
        self._turn(without=()).setdefault("tool_calls", []).append(call)

    def _add_output(self, item: Mapping[str, Any], *, at: str) -> None:
        if item.get("output") is None:
            raise ApiError("missing_parameter", f"'{at}.output' is required.", param=f"{at}.output")
        content = text_of(item["output"], at=f"{at}.output", kinds=_TEXT_PARTS)
        self._open = None
        call_id = required(item, "call_id", at=at)
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": content})

    def _add_reasoning(self, item: Mapping[str, Any], *, at: str) -> None:
        """One that only its maker could read says nothing here."""
        parts = item.get("content") or item.get("summary")
        thought = _joined(text_of(parts, at=f"{at}.content", kinds=_TEXT_PARTS))
        if thought:
            turn = self._turn(without=("content", "tool_calls"))
            turn["reasoning_content"] = turn.get("reasoning_content", "") + thought

    def _turn(self, *, without: tuple[str, ...]) -> Message:
        """The assistant's turn that is under way, unless it has one of `without` already; else a new one."""
        if self._open is None or any(name in self._open for name in without):
            self._open = {"role": "assistant"}
            self.messages.append(self._open)
        return self._open


def _joined(content: str | list[dict[str, str]]) -> str:
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)


def with_instructions(instructions: str | None, messages: list[Message]) -> list[Message]:
    """`messages` behind the instructions. A system prompt that comes first joins them: many templates take only one."""
    if not instructions:
        return messages
    first = messages[0] if messages else None
    if first is None or first["role"] not in ("system", "developer"):
        return [{"role": "system", "content": instructions}, *messages]
    content = f"{instructions}\n\n{_joined(cast('Any', first['content']))}"
    return [{"role": "system", "content": content}, *messages[1:]]
