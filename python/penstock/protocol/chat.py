"""The body of POST /v1/chat/completions."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import to_json

from penstock.protocol.common import FAIL_FAST, INT32_MAX, GenerationFields, Limits, NumLogprobs, Parsed
from penstock.protocol.fields import NOT_BUILT_IN_CHAT, check_fields
from penstock.protocol.messages import ChatMessage, template_messages
from penstock.protocol.parse import check_generation, invalid, read, read_limits
from penstock.protocol.refusal import refusal
from penstock.protocol.tool_use import (
    FunctionChoice,
    Functions,
    ToolChoice,
    Tools,
    ToolUse,
    read_function_use,
    read_tool_use,
)

_EXAMPLES: list[JsonValue] = [
    {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 16},
    {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 16, "stream": True},
]


_TOOL_FIELDS = frozenset({"tools", "tool_choice", "functions", "function_call"})
#: Fields by which a chat's template is told something, beside the messages.
TEMPLATE_FIELDS = _TOOL_FIELDS | {
    "documents", "add_generation_prompt", "continue_final_message", "reasoning_effort", "enable_thinking",
    "chat_template_kwargs",
}  # fmt: skip


class ChatCompletionRequest(GenerationFields):
    """A chat to continue. Beside OpenAI's fields, those that reach the chat template, spelt as vLLM spells them.

    Attributes:
        messages: once parsed, ready for a chat template (`messages.template_messages`).
        logprobs: whether the tokens' log-probabilities are told; top_logprobs: of how many other tokens too.
        reasoning_effort: for the template; "none" tells it not to think.
        enable_thinking: for the template.
        chat_template_kwargs: variables for the template, as {"enable_thinking": false}; they win over the two above.
        include_reasoning: false leaves thoughts out of the answer; separate_reasoning: false leaves them in its text.
        thinking_token_budget: after so many tokens a thought is closed.
        continue_final_message: the answer goes on where the last message stops; needs add_generation_prompt false.
    """

    model_config = ConfigDict(json_schema_extra={"examples": _EXAMPLES})

    dialect: ClassVar[str] = "chat"
    response_id_prefix: ClassVar[str] = "chatcmpl-"
    adds_special_tokens: ClassVar[bool] = False

    messages: Annotated[list[ChatMessage], FAIL_FAST] = Field(min_length=1)
    logprobs: bool | None = None
    top_logprobs: NumLogprobs | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: Functions | None = None
    function_call: FunctionChoice | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    enable_thinking: bool | None = None
    include_reasoning: bool | None = None
    thinking_token_budget: int | None = Field(None, ge=0, le=INT32_MAX)
    separate_reasoning: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    documents: Annotated[list[dict[str, Any]], FAIL_FAST] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> Parsed[Self]:
        """Reads the body of POST /v1/chat/completions. Raises ApiError, with `param`, on anything wrong."""
        return read(cls, body, limits)._checked(limits)

    @classmethod
    def parse_object(cls, fields: dict[str, Any], limits: Limits) -> Parsed[Self]:
        """As `parse`, of an object that another endpoint's body has been made into."""
        try:
            request = cls.model_validate_json(to_json(fields))
        except ValidationError as error:
            raise refusal(error) from None
        return request._checked(limits)

    def _checked(self, limits: Limits) -> Parsed[Self]:
        warnings = check_fields(self, NOT_BUILT_IN_CHAT, limits)
        warnings += read_limits(self)
        check_generation(self, limits, num_prompts=1)
        if self.continue_final_message and self.add_generation_prompt:
            raise invalid("continue_final_message", "cannot be true together with 'add_generation_prompt'")
        if self.top_logprobs and not self.logprobs:
            raise invalid("top_logprobs", "needs 'logprobs' to be true")
        if not _TOOL_FIELDS.isdisjoint(self.__pydantic_fields_set__):
            _ = self.tool_use  # read now, so that what is wrong is refused
        template_messages(self.messages, limits.content_parts)
        return Parsed(self, warnings)

    @property
    def num_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    def reading_options(
        self, tool_format: str | None, reasoning_format: str | None, reasoning_field: str, is_thinking: bool | None
    ) -> dict[str, Any]:
        options: dict[str, Any] = {"old_function_call": True, "parallel_tool_calls": False} if self.functions else {}
        if tool_format is not None and self.has_tools:
            options |= {
                "tool_format": tool_format,
                "tools": self.tool_use.to_json(),
                "parallel_tool_calls": self.tool_use.is_parallel,
            }
        if reasoning_format is not None and is_thinking is not False and self.separate_reasoning is not False:
            options |= {
                "reasoning_format": reasoning_format,
                "reasoning_field": reasoning_field,
                "begins_in_reasoning": bool(is_thinking),
                "include_reasoning": self.include_reasoning is not False,
            }
        return options

    @property
    def has_tools(self) -> bool:
        """Whether there is something that the model may call."""
        return bool(self.tools or self.functions) and bool(self.tool_use.functions)

    @cached_property
    def tool_use(self) -> ToolUse:
        """What the model may call. Raises ApiError on tools and choices that do not go together."""
        if self.functions or self.function_call:
            if self.tools:
                raise invalid("functions", "cannot be given together with 'tools'")
            return read_function_use(self.functions or [], self.function_call)
        return read_tool_use(self.tools, self.tool_choice, parallel=self.parallel_tool_calls)

    @property
    def template_kwargs(self) -> dict[str, Any]:
        """Variables for the chat template, beside those that every template gets."""
        kwargs: dict[str, Any] = {}
        if self.reasoning_effort is not None:
            thinks = self.reasoning_effort != "none"
            kwargs = {"reasoning_effort": self.reasoning_effort, "enable_thinking": thinks, "thinking": thinks}
        if self.enable_thinking is not None:
            kwargs |= {"enable_thinking": self.enable_thinking, "thinking": self.enable_thinking}
        return kwargs | (self.chat_template_kwargs or {})
