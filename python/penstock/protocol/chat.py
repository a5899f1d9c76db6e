"""The body of POST /v1/chat/completions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from penstock.protocol.common import FAIL_FAST, GenerationFields
from penstock.protocol.messages import ChatMessage


class ChatCompletionRequest(GenerationFields):
    """A chat to continue. Beside OpenAI's fields, four that reach the chat template, spelt as vLLM spells them.

    Attributes:
        messages: once parsed, ready for a chat template (`messages.template_messages`).
        chat_template_kwargs: variables for the template, as {"enable_thinking": false}.
        continue_final_message: the answer goes on where the last message stops; needs add_generation_prompt false.
    """

    #: None: fills the context.
    default_max_tokens: ClassVar[int | None] = None

    messages: Annotated[list[ChatMessage], FAIL_FAST] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1, le=2**63 - 1)
    chat_template_kwargs: dict[str, Any] | None = None
    documents: Annotated[list[dict[str, Any]], FAIL_FAST] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None

    @property
    def new_token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
