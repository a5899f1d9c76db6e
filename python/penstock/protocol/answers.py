"""What answers look like, as models: for handlers that build their own, and for documents.

Penstock's own answers are written in Rust and never pass through these.
"""

from __future__ import annotations

import time
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field

from penstock.protocol.messages import ChatMessage

FinishReasonName = Literal["stop", "length", "function_call", "tool_calls", "content_filter", "abort"]


def _now() -> int:
    return int(time.time())


def _chat_id() -> str:
    return f"chatcmpl-{uuid4().hex}"


def _completion_id() -> str:
    return f"cmpl-{uuid4().hex}"


class AnswerModel(BaseModel):
    """A JSON object to a client; fields beyond those declared may be added."""

    model_config = ConfigDict(extra="allow", defer_build=True)  # most servers never make one


class UsageInfo(AnswerModel):
    """What a request took. Attributes: processing_time, first_token_time: seconds."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: dict[str, Any] | None = None
    completion_tokens_details: dict[str, Any] | None = None
    tokens_per_second: float | None = None
    processing_time: float | None = None
    first_token_time: float | None = None


class DeltaFunctionCall(AnswerModel):
    """What an event adds to a call: its name first, then pieces of its arguments."""

    name: str | None = None
    arguments: str | None = None


class DeltaToolCall(AnswerModel):
    """What an event adds to the call `index`; a whole ToolCall is one, too."""

    index: int = 0
    id: str | None = None
    type: Literal["function"] | None = None
    function: DeltaFunctionCall | None = None


class DeltaMessage(AnswerModel):
    """What an event adds to a message."""

    role: str | None = None
    content: str | None = None
    function_call: dict[str, Any] | None = None
    tool_calls: list[DeltaToolCall] | None = None
    reasoning_content: str | None = None


class ChatCompletionResponseChoice(AnswerModel):
    """One answer of a chat."""

    index: int = 0
    message: ChatMessage
    logprobs: dict[str, Any] | None = None
    finish_reason: FinishReasonName | None = None


class ChatCompletionResponse(AnswerModel):
    """The answer of POST /v1/chat/completions. Attributes: created: Unix seconds."""

    id: str = Field(default_factory=_chat_id)
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(default_factory=_now)
    model: str
    choices: list[ChatCompletionResponseChoice]
    usage: UsageInfo | None = None
    system_fingerprint: str | None = None


class ChatCompletionStreamResponseChoice(AnswerModel):
    """One choice of an event; the last one of a choice has the reason why it ended."""

    index: int = 0
    delta: DeltaMessage
    logprobs: dict[str, Any] | None = None
    finish_reason: FinishReasonName | None = None


class ChatCompletionStreamResponse(AnswerModel):
    """One event of a streamed chat. Attributes: created: Unix seconds."""

    id: str = Field(default_factory=_chat_id)
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int = Field(default_factory=_now)
    model: str
    choices: list[ChatCompletionStreamResponseChoice]
    usage: UsageInfo | None = None
    system_fingerprint: str | None = None


class CompletionResponseChoice(AnswerModel):
    """One continuation of a prompt."""

    text: str
    index: int = 0
    logprobs: dict[str, Any] | None = None
    finish_reason: FinishReasonName | None = None


class CompletionResponse(AnswerModel):
    """The answer of POST /v1/completions. Attributes: created: Unix seconds."""

    id: str = Field(default_factory=_completion_id)
    object: Literal["text_completion"] = "text_completion"
    created: int = Field(default_factory=_now)
    model: str
    choices: list[CompletionResponseChoice]
    usage: UsageInfo | None = None
    system_fingerprint: str | None = None


class CompletionStreamResponseChoice(CompletionResponseChoice):
    """One choice of an event: the text it adds."""


class CompletionStreamResponse(AnswerModel):
    """One event of a streamed completion; OpenAI gives it the same `object` as a whole one."""

    id: str = Field(default_factory=_completion_id)
    object: Literal["text_completion"] = "text_completion"
    created: int = Field(default_factory=_now)
    model: str
    choices: list[CompletionStreamResponseChoice]
    usage: UsageInfo | None = None
