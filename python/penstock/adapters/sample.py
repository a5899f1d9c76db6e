"""ReturnSample: what an adapter gives, a piece of one choice at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ReturnSample:
    """One choice as an adapter hands it over: a delta when streamed, the whole text when not.

    Attributes:
        index: prompt index times n plus choice index.
        text: new text since the last sample of this index (streamed) or all of it.
        num_tokens: new tokens since the last sample (streamed) or all of them.
        finish_reason: "stop", "length", "tool_calls" or None while it goes on; "abort" or "error" fails the request.
        tool_calls: OpenAI's objects, or their deltas. In a chat alone, as reasoning is.
        reasoning: new text of the reasoning, told before the text.
        logprobs: of the new tokens, as chats tell them: `{"content": [...]}`, or the list alone. Told where the request
            asks for them.
    """

    index: int
    text: str
    num_tokens: int
    finish_reason: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] | None = None
    reasoning: str | None = None
    logprobs: Any = None
