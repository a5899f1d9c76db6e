"""The body of POST /v1/completions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, JsonValue, Tag, WithJsonSchema

from penstock.generation import MAX_BEST_OF
from penstock.output_options import MAX_LOGPROBS
from penstock.protocol.common import FAIL_FAST, GenerationFields, Limits, NumLogprobs, Parsed
from penstock.protocol.fields import NOT_BUILT_IN_COMPLETIONS, check_fields
from penstock.protocol.parse import check_generation, check_ids, invalid, read, read_limits

_Ids = Annotated[list[int], FAIL_FAST]
#: More prompts than `--max-choices` can ever allow are not even made into objects.
_SEVERAL = Field(max_length=4096)


def _prompt_kind(value: Any) -> str | None:
    """The union member for a prompt, by its own kind and its first item's."""
    if isinstance(value, str):
        return "~text"
    if not isinstance(value, list):
        return None
    return {str: "~texts", int: "~ids", list: "~id_lists"}.get(type(value[0])) if value else "~texts"


Prompt = Annotated[
    Annotated[str, Tag("~text")]
    | Annotated[list[str], FAIL_FAST, _SEVERAL, Tag("~texts")]
    | Annotated[list[int], FAIL_FAST, Tag("~ids")]
    | Annotated[list[_Ids], FAIL_FAST, _SEVERAL, Tag("~id_lists")],
    Discriminator(
        _prompt_kind,
        custom_error_type="json_kind",
        custom_error_message="a string, an array of strings, an array of token ids, or an array of such arrays",
    ),
]


def _false_is_none(value: Any) -> Any:
    """Some clients say false, as in a chat, where they ask for nothing."""
    return None if value is False else value


_NUMBER_OR_FALSE = WithJsonSchema(
    {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_LOGPROBS}, {"const": False}, {"type": "null"}]}
)
_EXAMPLES: list[JsonValue] = [
    {"prompt": "Once upon a time", "max_tokens": 16, "seed": 1},
    {"prompt": [5, 6, 7], "stream": True},
]


class CompletionRequest(GenerationFields):
    """Text, or token ids, to continue: one prompt or several.

    Attributes:
        logprobs: tells the tokens' log-probabilities, and of so many other tokens too; with `echo` also the prompt's.
        echo: the answer begins with the prompt.
        best_of: so many choices are made of each prompt, and the `n` likeliest told.
    """

    model_config = ConfigDict(json_schema_extra={"examples": _EXAMPLES})

    dialect: ClassVar[str] = "completions"
    response_id_prefix: ClassVar[str] = "cmpl-"
    default_max_tokens: ClassVar[int | None] = 16

    prompt: Prompt
    logprobs: Annotated[NumLogprobs | None, BeforeValidator(_false_is_none), _NUMBER_OR_FALSE] = None
    echo: bool | None = None
    best_of: int | None = Field(None, ge=1, le=MAX_BEST_OF)

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> Parsed[Self]:
        """Reads the body of POST /v1/completions. Raises ApiError, with `param`, on anything wrong."""
        request = read(cls, body, limits)
        warnings = check_fields(request, NOT_BUILT_IN_COMPLETIONS, limits)
        warnings += read_limits(request)
        prompts = request.prompts
        if not prompts:
            raise invalid("prompt", "must not be an empty array")
        check_generation(request, limits, num_prompts=len(prompts))
        if request.best_of is not None:
            request._check_best_of(limits, num_prompts=len(prompts))
        for prompt in prompts:
            if isinstance(prompt, list):
                check_ids(prompt, param="prompt")
        return Parsed(request, warnings)

    def _check_best_of(self, limits: Limits, *, num_prompts: int) -> None:
        assert self.best_of is not None, "called where it is given"
        if self.best_of < (self.n or 1):
            raise invalid("best_of", f"must be at least 'n', {self.n or 1}")
        if self.best_of > (self.n or 1) and self.stream:
            raise invalid("best_of", "must be 'n' when 'stream' is true: the best is known at the end")
        if (num_choices := self.best_of * num_prompts) > limits.max_choices:
            raise invalid("best_of", f"asks for {num_choices} choices; at most {limits.max_choices} fit")

    @property
    def num_logprobs(self) -> int | None:
        return self.logprobs

    @property
    def is_echoed(self) -> bool:
        return bool(self.echo)

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """Each prompt by itself: texts to encode, or token ids to take as they are."""
        return prompts_of(self.prompt)


def prompts_of(given: str | list[str] | list[int] | list[list[int]]) -> list[str] | list[list[int]]:
    """Each prompt of a field that may hold one or several."""
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [given]
    return cast("list[str] | list[list[int]]", given)
