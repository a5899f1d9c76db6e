"""The bodies of POST /v1/messages and its count of tokens, and the chats that they stand for.

Source: Anthropic's API reference, "Messages" and "Count Message tokens". Images, documents and Anthropic's own tools
are refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import ConfigDict, Field, JsonValue, PrivateAttr, Tag

from penstock.protocol.anthropic_options import (
    OutputConfig,
    Thinking,
    ToolChoice,
    ToolFields,
    chat_output,
    chat_thinking,
    chat_thinking_budget,
    chat_tool_choice,
    chat_tools,
)
from penstock.protocol.anthropic_turns import Turn, chat_messages, system_text
from penstock.protocol.chat import TEMPLATE_FIELDS, ChatCompletionRequest
from penstock.protocol.common import FAIL_FAST, GenerationBody, Limits, Parsed, RequestBody, WireModel, by_kind
from penstock.protocol.fields import check_extra
from penstock.protocol.parse import read
from penstock.protocol.translated import to_chat

#: A chat's field -> what it is called here.
_NAMES = {
    "stop": "stop_sequences",
    "response_format": "output_config.format",
    "reasoning_effort": "output_config.effort",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "continue_final_message": "messages",
    "thinking_token_budget": "thinking.budget_tokens",
}
_BUDGET = "thinking_token_budget"
_EXAMPLES: list[JsonValue] = [
    {"max_tokens": 16, "messages": [{"role": "user", "content": "Hello!"}]},
    {"max_tokens": 16, "messages": [{"role": "user", "content": "Hello!"}], "stream": True},
]


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
        return {
            "model": self.model,
            "messages": messages,
            "continue_final_message": goes_on or None,
            "tools": None if self.tools is None else chat_tools(self.tools),
            **chat_output(self.output_config),
            **chat_tool_choice(self.tool_choice),
            **chat_thinking(self.thinking),
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
        budget = chat_thinking_budget(request.thinking)
        is_kept = _BUDGET in limits.engine_reads(request.model)
        if budget is not None and is_kept:
            fields[_BUDGET] = budget
        request._chat = to_chat(MessagesChat, fields, request.model_extra or {}, limits, names=_NAMES)
        # Where nothing tells thoughts apart, none can be closed: it ends by itself, at the latest with max_tokens.
        unkept = [] if budget is None or is_kept else [_NAMES[_BUDGET]]
        return Parsed(request, request._chat.warnings + unkept)

    @property
    def chat(self) -> MessagesChat:
        """The chat that it stands for, of one that has come through the door."""
        assert self._chat is not None, "made by parse"
        return self._chat.request


class CountTokensRequest(RequestBody, _Prompt):
    """A message whose prompt is to be counted."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"messages": [{"role": "user", "content": "Hello!"}]}]})

    _chat: MessagesChat | None = PrivateAttr(default=None)

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> Parsed[Self]:
        """Reads the body of POST /v1/messages/count_tokens. Raises ApiError as `MessagesRequest.parse`."""
        request = read(cls, body, limits)
        extra = request.model_extra or {}
        parsed = to_chat(MessagesChat, request._chat_fields(), extra, limits, names=_NAMES)
        request._chat = parsed.request
        # What a chat acts on, but no count of its prompt.
        of_answers = MessagesChat.model_fields.keys() - TEMPLATE_FIELDS
        others = {name: value for name, value in extra.items() if name in of_answers}
        return Parsed(request, parsed.warnings + check_extra(others, {}, limits))

    @property
    def chat(self) -> MessagesChat:
        """The chat that it stands for, of one that has come through the door."""
        assert self._chat is not None, "made by parse"
        return self._chat


class CountTokensResponse(WireModel):
    """What a prompt comes to."""

    input_tokens: int
