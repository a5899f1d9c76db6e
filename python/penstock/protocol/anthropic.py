"""The bodies of POST /v1/messages and its count of tokens, and the chats that they stand for.

Source: Anthropic's API reference, "Messages" and "Count Message tokens". Images, documents and Anthropic's own tools
are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NotRequired, Self

from pydantic import ConfigDict, Field, JsonValue, PrivateAttr, Tag, with_config
from typing_extensions import TypedDict

from penstock.errors import ApiError
from penstock.protocol.anthropic_turns import Turn, chat_messages, system_text
from penstock.protocol.chat import ChatCompletionRequest
from penstock.protocol.common import FAIL_FAST, STRICT, GenerationBody, Limits, Parsed, WireModel, by_kind
from penstock.protocol.parse import read
from penstock.protocol.translated import to_chat

#: A chat's field -> what it is called here.
_NAMES = {
    "stop": "stop_sequences",
    "response_format": "output_config.format",
    "reasoning_effort": "output_config.effort",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "continue_final_message": "messages",
}
#: A chat knows no more than "xhigh".
_EFFORTS = {"max": "xhigh"}
_EXAMPLES: list[JsonValue] = [
    {"max_tokens": 16, "messages": [{"role": "user", "content": "Hello!"}]},
    {"max_tokens": 16, "messages": [{"role": "user", "content": "Hello!"}], "stream": True},
]


@with_config(STRICT)
class ToolFields(TypedDict):
    """A tool that the client runs: {"name": "f", "input_schema": {…}}."""

    type: NotRequired[str | None]
    name: str
    description: NotRequired[str | None]
    input_schema: NotRequired[dict[str, Any] | None]
    strict: NotRequired[bool | None]


class ToolChoice(WireModel):
    """Whether a tool must be called. Attributes: type: "any": some tool; "tool": the one called `name`."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(WireModel):
    """Whether the model thinks before it answers, where it can do without. Attributes: budget_tokens: for its thought;
    display: "omitted": the thought is not told."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = Field(None, ge=1, le=2**31 - 1)
    display: Literal["summarized", "omitted"] | None = None


class OutputConfig(WireModel):
    """The form of the answer: {"type": "json_schema", "schema": {…}}, and how hard the model is to think."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: dict[str, Any] | None = None


class MessagesChat(ChatCompletionRequest):
    """A chat whose answer is an Anthropic message."""

    dialect: ClassVar[str] = "messages"
    response_id_prefix: ClassVar[str] = "msg_"

    @property
    def assumed(self) -> frozenset[str]:
        return frozenset({"enable_thinking", "include_reasoning"})


class _Prompt(WireModel):
    """What both bodies have in common: all that the prompt is made of."""

    model: str | None = Field(None, min_length=1, max_length=512)
    messages: Annotated[list[Turn], FAIL_FAST] = Field(min_length=1)
    system: (
        Annotated[
            Annotated[str, Tag("~string")] | Annotated[list[dict[str, Any]], FAIL_FAST, Tag("~array")],
            by_kind("a string or an array of text blocks"),
        ]
        | None
    ) = None
    tools: Annotated[list[ToolFields], FAIL_FAST] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None

    def _chat_fields(self) -> dict[str, Any]:
        """Raises ApiError, by its place, on a block or a tool that is not supported."""
        messages = chat_messages(self.messages)
        if system := system_text(self.system):
            messages = [{"role": "system", "content": system}, *messages]
        goes_on = messages[-1]["role"] == "assistant" and not messages[-1].get("tool_calls")
        output = self.output_config or OutputConfig()
        return {
            "model": self.model,
            "messages": messages,
            "continue_final_message": goes_on or None,
            "tools": None if self.tools is None else _chat_tools(self.tools),
            "response_format": _response_format(output.format),
            "reasoning_effort": _EFFORTS.get(output.effort or "", output.effort),
            **_chat_tool_choice(self.tool_choice),
            **_chat_thinking(self.thinking),
        }  # fmt: skip


class MessagesRequest(GenerationBody, _Prompt):
    """A message to answer. `max_tokens` must be given, as Anthropic has it. A last message of the assistant is gone on
    with."""

    model_config = ConfigDict(json_schema_extra={"examples": _EXAMPLES})

    max_tokens: int = Field(ge=1, le=2**31 - 1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=2**31 - 1)
    stop_sequences: Annotated[list[str], FAIL_FAST] | None = None
    stream: bool | None = None

    _chat: Parsed[MessagesChat] | None = PrivateAttr(default=None)

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> Parsed[Self]:
        """Reads the body of POST /v1/messages. Raises ApiError, with `param`, on anything wrong."""
        request = read(cls, body, limits)
        fields = request._chat_fields() | {
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "stop": request.stop_sequences or None,
            "stream": request.stream,
        }
        request._chat = to_chat(MessagesChat, fields, request.model_extra or {}, limits, names=_NAMES)
        has_budget = request.thinking is not None and request.thinking.budget_tokens is not None
        # A thought ends by itself, at the latest with max_tokens.
        return Parsed(request, request._chat.warnings + (["thinking.budget_tokens"] if has_budget else []))

    @property
    def chat(self) -> MessagesChat:
        """The chat that it stands for, of one that has come through the door."""
        assert self._chat is not None, "made by parse"
        return self._chat.request


class CountTokensRequest(_Prompt):
    """A message whose prompt is to be counted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"messages": [{"role": "user", "content": "Hello!"}]}]})

    def to_chat(self, limits: Limits) -> MessagesChat:
        """The chat that it stands for. Raises ApiError as `MessagesRequest.parse`."""
        return to_chat(MessagesChat, self._chat_fields(), self.model_extra or {}, limits, names=_NAMES).request


class CountTokensResponse(WireModel):
    """What a prompt comes to."""

    input_tokens: int


def _chat_tools(tools: list[ToolFields]) -> list[dict[str, Any]]:
    return [_chat_tool(tool, at=f"tools[{i}]") for i, tool in enumerate(tools)]


def _chat_tool(tool: Mapping[str, Any], *, at: str) -> dict[str, Any]:
    kind = tool.get("type")
    if kind not in (None, "custom", "function"):
        problem = f"'{at}' is of type '{str(kind)[:40]}'; only tools with an 'input_schema' are supported."
        raise ApiError("unsupported_parameter", problem, param=f"{at}.type")
    function = {
        "name": tool["name"],
        "description": tool.get("description"),
        "parameters": tool.get("input_schema"),
        "strict": tool.get("strict"),
    }
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


def _chat_tool_choice(choice: ToolChoice | None) -> dict[str, Any]:
    if choice is None:
        return {}
    one = {"type": "function", "function": {"name": choice.name}}
    chosen = {"auto": "auto", "none": "none", "any": "required", "tool": one}[choice.type]
    if choice.type == "tool" and choice.name is None:
        raise ApiError("missing_parameter", "'tool_choice.name' is required.", param="tool_choice.name")
    return {"tool_choice": chosen, "parallel_tool_calls": False if choice.disable_parallel_tool_use else None}


def _chat_thinking(thinking: Thinking | None) -> dict[str, Any]:
    """A client that does not ask for thoughts does not expect any: a model that can do without them is told to, and
    those of one that cannot are left out."""
    if thinking is None or thinking.type == "disabled":
        return {"enable_thinking": False, "include_reasoning": False}
    return {
        "enable_thinking": True,
        "include_reasoning": False if thinking.display == "omitted" else None,
    }


def _response_format(format_: dict[str, Any] | None) -> dict[str, Any] | None:
    if format_ is None or format_.get("type") != "json_schema":
        return format_
    schema = {"name": "output", "schema": format_.get("schema"), "strict": True}
    return {"type": "json_schema", "json_schema": schema}
