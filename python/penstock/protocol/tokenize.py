"""The bodies of POST /tokenize and POST /detokenize, as vLLM has them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from penstock.errors import ApiError
from penstock.protocol.chat import ChatCompletionRequest
from penstock.protocol.common import FAIL_FAST, INT32_MAX, Limits, WireModel

#: Of a chat to tokenize, beside its messages: what its template is given.
_CHAT_FIELDS = (
    "model", "messages", "tools", "tool_choice", "documents", "chat_template_kwargs", "reasoning_effort",
    "add_generation_prompt", "continue_final_message",
)  # fmt: skip


class TokenizeRequest(WireModel):
    """A text, or a chat, whose tokens are asked for.

    Attributes:
        add_special_tokens: those that the tokenizer adds to a text. Default: true for a text, false for a chat, whose
            template writes its own.
        return_token_strs: each token's own spelling, too.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"prompt": "Hello"}, {"messages": [{"role": "user", "content": "Hello"}]}]}
    )

    model: str | None = Field(None, min_length=1, max_length=512)
    prompt: str | None = None
    messages: Annotated[list[dict[str, Any]], FAIL_FAST] | None = Field(None, min_length=1)
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None

    def check(self) -> None:
        """Raises ApiError where it is not one of both."""
        if (self.prompt is None) == (self.messages is None):
            problem = "Either 'prompt' or 'messages' is required, and not both."
            raise ApiError("missing_parameter", problem, param="prompt")

    def to_chat(self, limits: Limits) -> ChatCompletionRequest:
        """The chat, through a chat's own door. Raises ApiError, with `param`, on anything wrong."""
        given = self.model_dump(exclude_none=True)
        fields = {name: given[name] for name in _CHAT_FIELDS if name in given}
        return ChatCompletionRequest.parse_object(fields, limits).request


class TokenizeResponse(BaseModel):
    """Attributes: count: of the tokens; max_model_len: of the model; token_strs: where they were asked for."""

    count: int
    max_model_len: int | None
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeRequest(WireModel):
    """Tokens whose text is asked for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tokens": [5, 6, 7]}]})

    model: str | None = Field(None, min_length=1, max_length=512)
    tokens: Annotated[list[Annotated[int, Field(ge=0, le=INT32_MAX)]], FAIL_FAST]


class DetokenizeResponse(BaseModel):
    """The text, special tokens included."""

    prompt: str
