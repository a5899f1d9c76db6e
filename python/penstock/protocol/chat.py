"""The body of POST /v1/chat/completions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import ConfigDict, Field, JsonValue

from penstock.protocol.common import FAIL_FAST, GenerationFields, Limits, Parsed, engine_reads
from penstock.protocol.fields import NOT_BUILT_IN_CHAT, check_fields
from penstock.protocol.messages import ChatMessage, template_messages
from penstock.protocol.parse import check_generation, invalid, read, read_limits

_EXAMPLES: list[JsonValue] = [
    {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 16},
    {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 16, "stream": True},
]


class ChatCompletionRequest(GenerationFields):
    """A chat to continue. Beside OpenAI's fields, four that reach the chat template, spelt as vLLM spells them.

    Attributes:
        messages: once parsed, ready for a chat template (`messages.template_messages`).
        chat_template_kwargs: variables for the template, as {"enable_thinking": false}.
        continue_final_message: the answer goes on where the last message stops; needs add_generation_prompt false.
    """

    model_config = ConfigDict(json_schema_extra={"examples": _EXAMPLES})

    dialect: ClassVar[str] = "chat"
    response_id_prefix: ClassVar[str] = "chatcmpl-"

    messages: Annotated[list[ChatMessage], FAIL_FAST] = Field(min_length=1)
    chat_template_kwargs: dict[str, Any] | None = None
    documents: Annotated[list[dict[str, Any]], FAIL_FAST] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> Parsed[Self]:
        """Reads the body of POST /v1/chat/completions. Raises ApiError, with `param`, on anything wrong."""
        request = read(cls, body, limits)
        warnings = check_fields(request, NOT_BUILT_IN_CHAT, engine_reads(request, limits))
        warnings += read_limits(request)
        check_generation(request, limits, num_prompts=1)
        request._check_chat()
        request.messages = template_messages(request.messages, limits.content_parts)
        return Parsed(request, warnings)

    def _check_chat(self) -> None:
        if self.continue_final_message and self.add_generation_prompt:
            raise invalid("continue_final_message", "cannot be true together with 'add_generation_prompt'")
