"""What /v1/messages answers, as models for documents: messages are written in Rust and never pass through these."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class MessageObject(BaseModel):
    """An assistant's message. Attributes: content: text, thoughts and uses of tools, in order."""

    model_config = ConfigDict(extra="allow", defer_build=True)  # for documents

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[dict[str, Any]]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"] | None
    stop_sequence: str | None
    usage: dict[str, Any]


class MessageEvent(BaseModel):
    """One event of a streamed message."""

    model_config = ConfigDict(extra="allow", defer_build=True)  # for documents

    type: str


class AnthropicError(BaseModel):
    """The body of an error. Attributes: error: `type` and `message`."""

    type: Literal["error"] = "error"
    error: dict[str, str]
    request_id: str | None = None
