"""The door: bytes of a body in, a request that everything behind may trust out, or one ApiError."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from penstock.errors import ApiError
from penstock.protocol.chat import ChatCompletionRequest
from penstock.protocol.common import INT32_MAX, MAX_STOP_CHARS, GenerationFields, Limits, Parsed, WireModel
from penstock.protocol.completions import CompletionRequest
from penstock.protocol.fields import NOT_BUILT_IN_CHAT, NOT_BUILT_IN_COMPLETIONS, check_fields
from penstock.protocol.messages import template_messages
from penstock.protocol.refusal import refusal

WireT = TypeVar("WireT", bound=WireModel)


def parse_chat(body: bytes, limits: Limits) -> Parsed[ChatCompletionRequest]:
    """Reads the body of POST /v1/chat/completions. Raises ApiError, with `param`, on anything wrong."""
    request = read(ChatCompletionRequest, body)
    warnings = check_fields(request, NOT_BUILT_IN_CHAT)
    _check_generation(request, limits, num_prompts=1)
    _check_chat(request)
    request.messages = template_messages(request.messages)
    return Parsed(request, warnings)


def parse_completion(body: bytes, limits: Limits) -> Parsed[CompletionRequest]:
    """Reads the body of POST /v1/completions. Raises ApiError, with `param`, on anything wrong."""
    request = read(CompletionRequest, body)
    warnings = check_fields(request, NOT_BUILT_IN_COMPLETIONS)
    prompts = request.prompts
    if not prompts:
        raise _invalid("prompt", "must not be an empty array")
    _check_generation(request, limits, num_prompts=len(prompts))
    for prompt in prompts:
        if isinstance(prompt, list):
            _check_ids(prompt, param="prompt")
    return Parsed(request, warnings)


def read(model: type[WireT], body: bytes) -> WireT:
    """A wire model from JSON. Raises ApiError of kind invalid_json, missing_parameter, invalid_type, invalid_value."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise refusal(error) from None


def _check_generation(request: GenerationFields, limits: Limits, *, num_prompts: int) -> None:
    n = request.n or 1
    if n * num_prompts > limits.max_choices:
        param = "n" if n > 1 else "prompt"
        raise _invalid(param, f"asks for {n * num_prompts} choices (n times prompts); at most {limits.max_choices} fit")
    _check_stop(request.stop_strings, limits)
    if request.stop_token_ids:
        _check_ids(request.stop_token_ids, param="stop_token_ids")
    if request.stream_options is not None and not request.stream:
        raise _invalid("stream_options", "is allowed only when 'stream' is true")


def _check_stop(stop: tuple[str, ...], limits: Limits) -> None:
    if len(stop) > limits.max_stop_strings:
        raise _invalid("stop", f"must be at most {limits.max_stop_strings} strings, not {len(stop)}")
    if not all(0 < len(each) <= MAX_STOP_CHARS for each in stop):
        raise _invalid("stop", f"must hold strings of 1 to {MAX_STOP_CHARS} characters")


def _check_ids(ids: list[int], *, param: str) -> None:
    """Which ids there are is the model's to say (`server.served_model`)."""
    if not ids:
        raise _invalid(param, "must not hold an empty array of token ids")
    if min(ids) < 0 or max(ids) > INT32_MAX:
        raise _invalid(param, f"must hold token ids, which go from 0 to at most {INT32_MAX}")


def _check_chat(request: ChatCompletionRequest) -> None:
    first, second = request.max_tokens, request.max_completion_tokens
    if first is not None and second is not None and first != second:
        raise _invalid("max_tokens", "and 'max_completion_tokens' must agree when both are given")
    if request.continue_final_message and request.add_generation_prompt:
        raise _invalid("continue_final_message", "cannot be true together with 'add_generation_prompt'")


def _invalid(param: str, problem: str) -> ApiError:
    return ApiError("invalid_value", f"'{param}' {problem}.", param=param)
