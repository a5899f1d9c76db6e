"""What both generation endpoints share: the base of wire models, the sampling fields, and the limits of a request.

Types are strict, as OpenAI's are: "5" is no number, true is no integer, 1.0 is no integer. A null counts as not given.
Fields that are not declared here are kept aside in `model_extra`; `fields` decides about them.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, FailFast, Field, Tag

from penstock.generation import (
    MAX_BAD_WORDS,
    MAX_BIAS,
    MAX_LOGIT_BIAS,
    MAX_PENALTY,
    MAX_REPETITION_PENALTY,
    MAX_STOP_IDS_OF_A_REQUEST,
    MIN_PENALTY,
    MIN_REPETITION_PENALTY,
    SamplingParams,
)
from penstock.output_options import MAX_LOGPROBS, OutputOptions

STRICT = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

MAX_STOP_CHARS = 256
#: Fields that not every endpoint declares, with what they are where a client says nothing.
UNDECLARED: dict[str, Any] = {
    "suppress_tokens": [],
    "logprobs": None,
    "top_logprobs": None,
    "functions": None,
    "function_call": None,
    "tools": None,
    "tool_choice": None,
    "parallel_tool_calls": None,
    "reasoning_effort": None,
    "best_of": None,
    "echo": None,
    "suffix": None,
    "user": None,
    "metadata": None,
}

MAX_ALLOWED_TOKEN_IDS = 16_384
MAX_BAD_WORD_CHARS = 256
MAX_CACHE_SALT_CHARS = 512

INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1

#: A number of new tokens by which several clients say that they set none.
NO_LIMIT = -1

#: Tags of union members start with this sign, so that `refusal` can tell them from field names in an error's path.
TAG = "~"


class _FailFast(FailFast):
    """pydantic's marker, hashable, so that it can stand in a member of a union."""

    def __hash__(self) -> int:
        return hash(self.fail_fast)


#: For every list from a client: a million bad items are one complaint, not a million.
FAIL_FAST = _FailFast()

_KINDS: dict[type, str] = {str: "~string", list: "~array", dict: "~object"}


def json_kind(value: Any) -> str | None:
    """The union member for a JSON value, by its kind."""
    return _KINDS.get(type(value))


def by_kind(expected: str) -> Discriminator:
    """Chooses among members tagged "~string", "~array" and "~object"; `expected` completes "must be …"."""
    return Discriminator(json_kind, custom_error_type="json_kind", custom_error_message=expected)


StringOrStrings = Annotated[
    Annotated[str, Tag("~string")] | Annotated[list[str], FAIL_FAST, Tag("~array")],
    by_kind("a string or an array of strings"),
]


class WireModel(BaseModel):
    """A JSON object from a client."""

    model_config = STRICT


class StreamOptions(WireModel):
    """`stream_options`.

    Attributes:
        include_usage: one more event with the usage, before [DONE].
        continuous_usage_stats: every event has the usage so far (vLLM's).
    """

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


TokenId = Annotated[int, Field(ge=0, le=INT32_MAX)]
TokenIds = Annotated[list[TokenId], FAIL_FAST]
BadWord = Annotated[str, Field(min_length=1, max_length=MAX_BAD_WORD_CHARS)]
Bias = Annotated[float, Field(ge=-MAX_BIAS, le=MAX_BIAS)]
NumLogprobs = Annotated[int, Field(ge=0, le=MAX_LOGPROBS)]


class RequestBody(WireModel):
    """The body of an endpoint: it has a door of its own, which names or refuses what nothing acts on."""

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> Parsed[Self]:
        """The door of this endpoint. Raises ApiError, with `param`, on anything wrong."""
        raise NotImplementedError(f"{cls.__name__} has no door of its own")


class GenerationBody(RequestBody):
    """The body of an endpoint that needs an engine's work: it is read only where there is room for that."""


class GenerationFields(GenerationBody):
    """The fields of /v1/chat/completions and /v1/completions that Penstock acts on, but for the prompt itself. Which of
    them an engine acts on is said by its `Abilities`; `fields` refuses the others.

    Attributes:
        model: may be left out where one model is served.
        dialect: how the answer is told (`_core.Opening`).
        response_id_prefix: of the answer's id.
        default_max_tokens: new tokens of a request that sets no number; None: fills the context.
        adds_special_tokens: whether a prompt gets the tokenizer's special tokens where the client says nothing.
        logit_bias: added to the logits of these tokens; allowed_token_ids: no others are drawn.
        bad_words: texts that the answer may not hold.
        prompt_logprobs: tells the log-probabilities of the prompt's tokens, in a field of their own (vLLM's).
        response_format, structured_outputs: the form that the answer must have (`structured`), OpenAI's and vLLM's.
        truncate_prompt_tokens: only so many of a prompt's last tokens are read; -1: as many as leave room.
        priority: the lower, the sooner among the requests of the same API key.
        cache_salt: only prompts with the same salt share what is cached, and none can tell what another has cached.
        return_cache_report: the answer tells how much of each prompt was cached, and why no more.
    """

    dialect: ClassVar[str]
    response_id_prefix: ClassVar[str]
    default_max_tokens: ClassVar[int | None] = None
    adds_special_tokens: ClassVar[bool] = True

    model: str | None = Field(None, min_length=1, max_length=512)
    n: int | None = Field(None, ge=1, le=INT32_MAX)
    stop: StringOrStrings | None = None
    stop_token_ids: Annotated[list[int], FAIL_FAST] | None = Field(None, max_length=MAX_STOP_IDS_OF_A_REQUEST)
    max_tokens: int | None = Field(None, ge=NO_LIMIT, le=_INT64_MAX)
    max_completion_tokens: int | None = Field(None, ge=NO_LIMIT, le=_INT64_MAX)
    min_tokens: int | None = Field(None, ge=0, le=INT32_MAX)
    ignore_eos: bool | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=INT32_MAX)
    min_p: float | None = Field(None, ge=0, le=1)
    presence_penalty: float | None = Field(0.0, ge=MIN_PENALTY, le=MAX_PENALTY)
    frequency_penalty: float | None = Field(0.0, ge=MIN_PENALTY, le=MAX_PENALTY)
    repetition_penalty: float | None = Field(1.0, ge=MIN_REPETITION_PENALTY, le=MAX_REPETITION_PENALTY)
    logit_bias: dict[TokenId, Bias] | None = Field(None, max_length=MAX_LOGIT_BIAS)
    allowed_token_ids: TokenIds | None = Field(None, max_length=MAX_ALLOWED_TOKEN_IDS)
    bad_words: Annotated[list[BadWord], FAIL_FAST] | None = Field(None, max_length=MAX_BAD_WORDS)
    response_format: dict[str, Any] | None = None
    structured_outputs: dict[str, Any] | None = None
    prompt_logprobs: NumLogprobs | None = None
    seed: int | None = Field(None, ge=-_INT64_MAX - 1, le=_INT64_MAX)
    include_stop_str_in_output: bool | None = None
    skip_special_tokens: bool | None = None
    return_token_ids: bool | None = None
    add_special_tokens: bool | None = None
    truncate_prompt_tokens: int | None = Field(None, ge=-1, le=INT32_MAX)
    priority: int | None = Field(None, ge=-INT32_MAX - 1, le=INT32_MAX)
    cache_salt: str | None = Field(None, min_length=1, max_length=MAX_CACHE_SALT_CHARS)
    return_cache_report: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    def __getattr__(self, name: str) -> Any:
        """A field that is not declared here: as sent, else its default, so that handlers may ask for it by name."""
        try:
            return super().__getattr__(name)  # type: ignore[misc]  # pydantic hides it from type checkers
        except AttributeError:
            if name not in UNDECLARED:
                raise
            return copy(UNDECLARED[name])

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def output_options(
        self, sampling: SamplingParams, *,
        tool_format: str | None = None, reasoning_format: str | None = None, reasoning_field: str = "reasoning_content",
        is_thinking: bool | None = None, system_fingerprint: str | None = None,
    ) -> OutputOptions:  # fmt: skip
        """How the answer is told.

        Args:
            sampling: what the engine is asked for.
            tool_format, reasoning_format: of the model; None: it has none.
            reasoning_field: what its thinking is called.
            is_thinking: as of `Prompt`.
        """
        stream_options = self.stream_options
        continuous_usage = bool(
            stream_options is not None and stream_options.include_usage and stream_options.continuous_usage_stats
        )
        reading = self.reading_options(tool_format, reasoning_format, reasoning_field, is_thinking)
        is_plain = _OF_PLAIN_TEXT.issuperset(self.__pydantic_fields_set__) and _OF_PLAIN_TEXT.issuperset(vars(sampling))
        if is_plain and not reading and not continuous_usage:  # most
            return _plain_options(system_fingerprint)
        options: dict[str, Any] = {
            "logprobs": sampling.logprobs,
            "prompt_logprobs": None if self.prompt_logprobs is None else sampling.prompt_logprobs,
            "include_stop_str": sampling.include_stop_str_in_output,
            "skip_special_tokens": sampling.skip_special_tokens,
            "echo": self.is_echoed,
            "return_token_ids": bool(self.return_token_ids),
            "continuous_usage": continuous_usage,
            "cache_report": bool(self.return_cache_report),
            "system_fingerprint": system_fingerprint,
            "num_best": sampling.n if (sampling.best_of or 0) > sampling.n else None,
        }
        if "tools" in reading:  # as large as a client likes: nothing to keep
            return OutputOptions(**options, **reading)
        return _same_options(**options, **reading)

    def reading_options(
        self, tool_format: str | None, reasoning_format: str | None, reasoning_field: str, is_thinking: bool | None
    ) -> dict[str, Any]:
        """Those of `OutputOptions` by which tool calls and thoughts are read from the model's text."""
        return {}

    @property
    def assumed(self) -> frozenset[str]:
        """Fields that the client has not given itself: where nothing reads them, it need not be told."""
        return frozenset()

    @property
    def wants_special_tokens(self) -> bool:
        """Whether the tokenizer adds its special tokens to a prompt."""
        given = self.add_special_tokens
        return self.adds_special_tokens if given is None else given

    @property
    def num_logprobs(self) -> int | None:
        """How many of the likeliest tokens are to be told beside each; None: no log-probabilities are asked for."""
        return None

    @property
    def is_echoed(self) -> bool:
        """Whether the answer begins with the prompt."""
        return False

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """Without empty ones, which would stop before the first token."""
        stop = self.stop
        if not stop:
            return ()
        return (stop,) if isinstance(stop, str) else tuple(filter(None, stop))

    @property
    def new_token_limit(self) -> int | None:
        """What the client asked for, however it spelt it; None when it said nothing."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


#: Fields of a request, or of its sampling, that do not make an answer more than its text.
_OF_PLAIN_TEXT = frozenset({
    "model", "messages", "prompt", "stream", "stream_options", "stop", "stop_token_ids", "max_tokens",
    "max_completion_tokens", "min_tokens", "ignore_eos", "n", "seed", "temperature", "top_p", "top_k", "min_p",
    "presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "extra", "user", "priority",
    "cache_salt",
})  # fmt: skip

#: Many requests to a model ask for the same, and options take longer to be made than to be found.
_same_options = lru_cache(maxsize=64)(OutputOptions)


@lru_cache(maxsize=64)
def _plain_options(system_fingerprint: str | None) -> OutputOptions:
    return OutputOptions(system_fingerprint=system_fingerprint)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for.

    Attributes:
        max_choices: n times prompts.
        max_stop_strings: stop strings.
        max_json_members: object members, objects and arrays of its body. A thousand take the GIL for about 1 ms.
        max_json_items: items of all arrays of its body, as token ids. Ten thousand take about 1 ms.
        engine_reads: from the name of a model, as the request gives it, to the fields that its engine acts on beyond
            those that every engine does (`fields.fields_of`): they are neither refused nor named in a warning.
        content_parts: types of a message's parts, beside text, that the server reads.
        is_strict: a field that nothing acts on is refused, where it is otherwise named in a warning.
    """

    max_choices: int = 128
    max_stop_strings: int = 16
    max_json_members: int = 20_000
    max_json_items: int = 262_144
    engine_reads: Callable[[str | None], frozenset[str]] = lambda _: frozenset()
    content_parts: frozenset[str] = frozenset()
    is_strict: bool = False


RequestT = TypeVar("RequestT", bound=RequestBody)


@dataclass(slots=True, eq=False)
class Parsed(Generic[RequestT]):
    """A request that has passed the door, and the names of its fields that nothing acts on."""

    request: RequestT
    warnings: list[str]
