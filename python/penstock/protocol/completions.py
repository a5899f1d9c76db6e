"""The body of POST /v1/completions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import ConfigDict, Discriminator, Field, JsonValue, Tag

from penstock.protocol.common import FAIL_FAST, GenerationFields, Limits, Parsed, engine_reads
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

_EXAMPLES: list[JsonValue] = [
    {"prompt": "Once upon a time", "max_tokens": 16, "seed": 1},
    {"prompt": [5, 6, 7], "stream": True},
]


class CompletionRequest(GenerationFields):
    """Text, or token ids, to continue: one prompt or several."""

    model_config = ConfigDict(json_schema_extra={"examples": _EXAMPLES})

    dialect: ClassVar[str] = "completions"
    response_id_prefix: ClassVar[str] = "cmpl-"
    default_max_tokens: ClassVar[int | None] = 16

    prompt: Prompt

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> Parsed[Self]:
        """Reads the body of POST /v1/completions. Raises ApiError, with `param`, on anything wrong."""
        request = read(cls, body, limits)
        warnings = check_fields(request, NOT_BUILT_IN_COMPLETIONS, engine_reads(request, limits))
        warnings += read_limits(request)
        prompts = request.prompts
        if not prompts:
            raise invalid("prompt", "must not be an empty array")
        check_generation(request, limits, num_prompts=len(prompts))
        for prompt in prompts:
            if isinstance(prompt, list):
                check_ids(prompt, param="prompt")
        return Parsed(request, warnings)

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """Each prompt by itself: texts to encode, or token ids to take as they are."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [self.prompt]
        return cast("list[str] | list[list[int]]", self.prompt)
