"""The bodies of POST /tokenize and POST /detokenize, as vLLM has them."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from penstock.errors import ApiError
from penstock.protocol.chat import TEMPLATE_FIELDS, ChatCompletionRequest
from penstock.protocol.common import FAIL_FAST, INT32_MAX, Limits, Parsed, RequestBody
from penstock.protocol.fields import check_extra
from penstock.protocol.parse import read, read_declared

#: Of a chat to tokenize: what its prompt is made of.
_CHAT_FIELDS = TEMPLATE_FIELDS | {"model", "messages"}
#: What says how tokens are told, of a text or of a chat.
_OWN_FIELDS = frozenset({"model", "prompt", "add_special_tokens", "return_token_strs"})
#: Fields of other servers that would change the tokens -> their neutral values, beside null.
_NOT_BUILT: dict[str, tuple[Any, ...]] = {
    "chat_template": (),
    "mm_processor_kwargs": ({},),
    "truncate_prompt_tokens": (),
}


class TokenizeRequest(RequestBody):
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

    _chat: ChatCompletionRequest | None = PrivateAttr(default=None)

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> Parsed[Self]:
        """Reads the body of POST /tokenize, a chat through its own door. Raises ApiError, with `param`, on anything
        wrong."""
        request = read(cls, body, limits)
        if (request.prompt is None) == (request.messages is None):
            problem = "Either 'prompt' or 'messages' is required, and not both."
            raise ApiError("missing_parameter", problem, param="prompt")
        given = {name: value for name, value in (vars(request) | (request.model_extra or {})).items()
                 if value is not None}  # fmt: skip
        acted_on, warnings = _OWN_FIELDS, []
        if request.messages is not None:
            acted_on |= _CHAT_FIELDS
            chat = {name: value for name, value in given.items() if name in _CHAT_FIELDS}
            parsed = ChatCompletionRequest.parse_object(chat, limits)
            request._chat, warnings = parsed.request, parsed.warnings
        others = {name: value for name, value in given.items() if name not in acted_on}
        return Parsed(request, warnings + check_extra(others, _NOT_BUILT, limits))

    @property
    def chat(self) -> ChatCompletionRequest | None:
        """The chat, of a body that has come through the door; None: it is a text."""
        return self._chat


class TokenizeResponse(BaseModel):
    """Attributes: count: of the tokens; max_model_len: of the model; token_strs: where they were asked for."""

    count: int
    max_model_len: int | None
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeRequest(RequestBody):
    """Tokens whose text is asked for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"tokens": [5, 6, 7]}]})

    model: str | None = Field(None, min_length=1, max_length=512)
    tokens: Annotated[list[Annotated[int, Field(ge=0, le=INT32_MAX)]], FAIL_FAST]

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> Parsed[Self]:
        """Reads the body of POST /detokenize. Raises ApiError, with `param`, on anything wrong."""
        return read_declared(cls, body, limits)


class DetokenizeResponse(BaseModel):
    """The text, special tokens included."""

    prompt: str
