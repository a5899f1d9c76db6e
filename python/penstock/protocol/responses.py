"""The body of POST /v1/responses, and the chat that it stands for.

Source: OpenAI's API reference, "Responses". Built-in tools, background work, stored prompts and conversations are
refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, PrivateAttr, Tag
from pydantic_core import to_json

from penstock.errors import ApiError
from penstock.output_options import OutputOptions
from penstock.protocol.chat import ChatCompletionRequest
from penstock.protocol.common import FAIL_FAST, GenerationBody, Limits, Parsed, StreamOptions, by_kind
from penstock.protocol.parse import invalid, read
from penstock.protocol.responses_items import InputItem, kind_of, messages_of, with_instructions
from penstock.protocol.responses_options import ReasoningConfig, TextConfig, chat_response_format
from penstock.protocol.responses_tools import chat_tool_choice, chat_tools
from penstock.protocol.translated import to_chat

if TYPE_CHECKING:
    from penstock.generation import SamplingDefaults

_LOGPROBS = "message.output_text.logprobs"
#: A chat's field -> what it is called here.
_NAMES = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "top_logprobs",
}
_EXAMPLES: list[JsonValue] = [
    {"input": "Hello!", "max_output_tokens": 16},
    {"input": [{"role": "user", "content": "Hello!"}], "max_output_tokens": 16, "stream": True},
]


class ResponsesChat(ChatCompletionRequest):
    """A chat whose answer is a response."""

    dialect: ClassVar[str] = "responses"
    response_id_prefix: ClassVar[str] = "resp_"

    _dialect_options: bytes | None = PrivateAttr(default=None)

    def tell(self, dialect_options: bytes) -> None:
        """Says what the dialect is to be told."""
        self._dialect_options = dialect_options

    def output_options(self, *args: Any, **kwargs: Any) -> OutputOptions:
        return replace(super().output_options(*args, **kwargs), dialect_options=self._dialect_options)


class ResponsesRequest(GenerationBody):
    """A response to make, from texts, messages, calls and their outputs, behind those of a stored response.

    Attributes:
        input: a text, or items.
        instructions: the system prompt. It is of this response alone: one that goes on from it does not repeat it.
        previous_response_id: of a stored response, whose input and output come first.
        store: whether the response can be asked for later, and gone on from. Default: yes.
        background: what is not true is taken.
    """

    model_config = ConfigDict(json_schema_extra={"examples": _EXAMPLES})

    model: str | None = Field(None, min_length=1, max_length=512)
    input: Annotated[
        Annotated[str, Tag("~string")] | Annotated[list[InputItem], FAIL_FAST, Tag("~array")],
        by_kind("a string or an array of items"),
    ]
    instructions: str | None = None
    previous_response_id: str | None = Field(None, max_length=256)
    store: bool | None = None
    metadata: dict[str, str] | None = Field(None, max_length=16)
    max_output_tokens: int | None = Field(None, ge=1, le=2**31 - 1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    tools: Annotated[list[dict[str, Any]], FAIL_FAST] | None = None
    tool_choice: (
        Annotated[
            Annotated[str, Tag("~string")] | Annotated[dict[str, Any], Tag("~object")],
            by_kind("a string or an object"),
        ]
        | None
    ) = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: ReasoningConfig | None = None
    include: Annotated[list[str], FAIL_FAST] | None = Field(None, max_length=64)
    truncation: Literal["auto", "disabled"] | None = None
    background: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> Parsed[Self]:
        """Reads the body of POST /v1/responses. Raises ApiError, with `param`, on anything wrong.

        What it goes on from is not looked at here: `to_chat` is to be given it.
        """
        request = read(cls, body, limits)
        for name in ("background", "conversation", "prompt"):
            if getattr(request, name, None) or (request.model_extra or {}).get(name):
                raise ApiError("unsupported_parameter", f"'{name}' is not supported.", param=name)
        if request.stream_options is not None and not request.stream:
            raise invalid("stream_options", "is allowed only when 'stream' is true")
        return Parsed(request, [])

    @property
    def keeps(self) -> bool:
        """Whether the response is to be stored."""
        return self.store is not False

    @property
    def items(self) -> list[Mapping[str, Any]]:
        """The input as items."""
        if isinstance(self.input, str):
            content = [{"type": "input_text", "text": self.input}]
            return [{"type": "message", "role": "user", "content": content}]
        return [dict(item) for item in self.input]

    @property
    def references(self) -> list[str]:
        """Ids of the stored items that the input refers to."""
        if isinstance(self.input, str):
            return []
        return [str(item.get("id")) for item in self.input if kind_of(item) == "item_reference"]

    def to_chat(
        self, history: Sequence[Mapping[str, Any]], items: Iterable[Mapping[str, Any]], limits: Limits
    ) -> Parsed[ResponsesChat]:
        """The chat to continue.

        Args:
            history: items of the responses that it goes on from.
            items: its own, with what they refer to in the references' place.

        Raises:
            ApiError: in this API's words.
        """
        messages = messages_of(history, param="previous_response_id") + messages_of(items)
        text, reasoning = self.text or TextConfig(), self.reasoning or ReasoningConfig()
        includes = self.include or []
        wants_logprobs = bool(self.top_logprobs) or _LOGPROBS in includes
        fields = {
            "model": self.model,
            "messages": with_instructions(self.instructions, messages),
            "max_tokens": self.max_output_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "logprobs": wants_logprobs or None,
            "top_logprobs": self.top_logprobs if wants_logprobs else None,
            "tools": chat_tools(self.tools),
            "tool_choice": chat_tool_choice(self.tool_choice),
            "parallel_tool_calls": self.parallel_tool_calls,
            "response_format": chat_response_format(text.format),
            "verbosity": text.verbosity,
            "reasoning_effort": reasoning.effort,
            "stream": self.stream,
            "stream_options": self.stream_options and self.stream_options.model_dump(exclude_unset=True),
        }
        parsed = to_chat(ResponsesChat, fields, self.model_extra or {}, limits, names=_NAMES)
        parsed.warnings.extend(_not_acted_on(includes, self.truncation))
        return parsed

    def dialect_options(self, defaults: SamplingDefaults) -> bytes:
        """What the dialect is told: the members that every response object repeats, as JSON.

        Args:
            defaults: of the model, where the request says nothing.
        """
        reasoning = self.reasoning or ReasoningConfig()
        summary = reasoning.summary or reasoning.generate_summary
        text = self.text or TextConfig()
        extra = self.model_extra or {}
        told: dict[str, Any] = {
            "background": False,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "max_tool_calls": None,
            "metadata": self.metadata or {},
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "previous_response_id": self.previous_response_id,
            "prompt_cache_key": extra.get("prompt_cache_key"),
            "reasoning": {"effort": reasoning.effort, "summary": summary},
            "safety_identifier": extra.get("safety_identifier"),
            "service_tier": "default",
            "store": self.keeps,
            "temperature": defaults.temperature if self.temperature is None else self.temperature,
            "text": {"format": text.format or {"type": "text"}, "verbosity": text.verbosity or "medium"},
            "tool_choice": self.tool_choice or "auto",
            "tools": self.tools or [],
            "top_logprobs": self.top_logprobs or 0,
            "top_p": defaults.top_p if self.top_p is None else self.top_p,
            "truncation": "disabled",
            "user": extra.get("user"),
        }
        return to_json({"response": told, "reasoning_as_summary": summary is not None, "keeps": self.keeps})


def _not_acted_on(includes: Iterable[str], truncation: str | None) -> list[str]:
    """Names, for a warning, of what is asked for and not given: other includes; and what does not fit is refused."""
    names = ["include"] if any(each != _LOGPROBS for each in includes) else []
    return names + (["truncation"] if truncation == "auto" else [])
