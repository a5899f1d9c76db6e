"""What the doors of all endpoints share: from bytes to a wire model, and the checks that types cannot say."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from penstock import _core
from penstock.errors import ApiError
from penstock.protocol.common import (
    INT32_MAX,
    MAX_STOP_CHARS,
    NO_LIMIT,
    GenerationFields,
    Limits,
    Parsed,
    RequestBody,
)
from penstock.protocol.fields import check_extra
from penstock.protocol.refusal import refusal

ModelT = TypeVar("ModelT", bound=BaseModel)
BodyT = TypeVar("BodyT", bound=RequestBody)


def read(model: type[ModelT], body: bytes, limits: Limits) -> ModelT:
    """A model from JSON. Raises ApiError of kind invalid_json, missing_parameter, invalid_type, invalid_value.

    What a parser would make too many objects of, under the GIL, is refused before one sees it.
    """
    excess = _core.json_excess(body, max_members=limits.max_json_members, max_items=limits.max_json_items)
    if excess is not None:
        raise ApiError(*excess)
    try:
        parsed: ModelT = model.__pydantic_validator__.validate_json(body)  # `model_validate_json`, less its options
    except ValidationError as error:
        raise refusal(error) from None
    return parsed


def read_declared(model: type[BodyT], body: bytes, limits: Limits) -> Parsed[BodyT]:
    """The door of an endpoint that acts on what its body declares, and on nothing else. Raises ApiError as `read`, and
    where `limits` are strict on a field that is not declared."""
    request = read(model, body, limits)
    return Parsed(request, check_extra(request.model_extra or {}, {}, limits))


def read_limits(request: GenerationFields) -> list[str]:
    """Checks both spellings of the number of new tokens. Returns the names of those that set none, which are unset."""
    unset = []
    first, second = request.max_tokens, request.max_completion_tokens
    if first == NO_LIMIT:
        first = request.max_tokens = None
        unset.append("max_tokens")
    if second == NO_LIMIT:
        second = request.max_completion_tokens = None
        unset.append("max_completion_tokens")
    if first is not None and second is not None and first != second:
        raise invalid("max_tokens", "and 'max_completion_tokens' must agree when both are given")
    return unset


def check_generation(request: GenerationFields, limits: Limits, *, num_prompts: int) -> None:
    n = request.n or 1
    if n * num_prompts > limits.max_choices:
        param = "n" if n > 1 else "prompt"
        raise invalid(param, f"asks for {n * num_prompts} choices (n times prompts); at most {limits.max_choices} fit")
    if request.stop:
        _check_stop(request.stop_strings, limits)
    if request.stop_token_ids:
        check_ids(request.stop_token_ids, param="stop_token_ids")
    if request.min_tokens and request.min_tokens > (limit := request.new_token_limit or INT32_MAX):
        raise invalid("min_tokens", f"must be at most 'max_tokens', {limit}")
    if request.prompt_logprobs is not None:
        _check_prompt_logprobs(request)
    if request.truncate_prompt_tokens == 0:
        raise invalid("truncate_prompt_tokens", "must be at least 1, or -1 for as many as leave room")
    if request.stream_options is not None and not request.stream:
        raise invalid("stream_options", "is allowed only when 'stream' is true")


def _check_prompt_logprobs(request: GenerationFields) -> None:
    """They are told once the answer is whole, and from the columns that an echo with log-probabilities tells, too."""
    if request.stream:
        raise invalid("prompt_logprobs", "is not told when 'stream' is true")
    num_logprobs = request.num_logprobs if request.is_echoed else None
    if num_logprobs not in (None, request.prompt_logprobs):
        raise invalid("prompt_logprobs", f"must be 'logprobs', {num_logprobs}, where the prompt is echoed with them")


def _check_stop(stop: tuple[str, ...], limits: Limits) -> None:
    if len(stop) > limits.max_stop_strings:
        raise invalid("stop", f"must be at most {limits.max_stop_strings} strings, not {len(stop)}")
    if stop and max(map(len, stop)) > MAX_STOP_CHARS:
        raise invalid("stop", f"must hold strings of at most {MAX_STOP_CHARS} characters")


def check_ids(ids: list[int], *, param: str) -> None:
    """Which ids there are is the model's to say (`server.served_model`)."""
    if not ids:
        raise invalid(param, "must not hold an empty array of token ids")
    if min(ids) < 0 or max(ids) > INT32_MAX:
        raise invalid(param, f"must hold token ids, which go from 0 to at most {INT32_MAX}")


def invalid(param: str, problem: str) -> ApiError:
    return ApiError("invalid_value", f"'{param}' {problem}.", param=param)
