"""What a Responses request says of the answer's text and of thinking."""

from __future__ import annotations

from typing import Any, Literal

from penstock.protocol.common import WireModel


class TextConfig(WireModel):
    """`text`: the form of the answer's text."""

    format: dict[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningConfig(WireModel):
    """`reasoning`. Attributes: summary: anything: thoughts are told as a summary, whole; else as text."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


def chat_response_format(format_: dict[str, Any] | None) -> dict[str, Any] | None:
    """`text.format` as a chat has it: what stands flat here has an object of its own there."""
    if format_ is None or format_.get("type") == "text":
        return None
    if format_.get("type") != "json_schema":
        return format_
    return {"type": "json_schema", "json_schema": {name: value for name, value in format_.items() if name != "type"}}
