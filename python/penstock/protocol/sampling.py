"""From a request's fields, and the model's defaults where it says nothing, to SamplingParams: by name."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import Any

from pydantic import TypeAdapter, ValidationError

from penstock.errors import ApiError
from penstock.generation import SamplingDefaults, SamplingParams
from penstock.protocol.common import GenerationFields

_SEED_MASK = 2**63 - 1
_NAMES = frozenset(field.name for field in fields(SamplingParams)) & GenerationFields.model_fields.keys()
#: What only engines of others act on and the wire spells as they do.
_FOREIGN_TYPES: dict[str, TypeAdapter[Any]] = {
    "presence_penalty": TypeAdapter(float | None),
    "frequency_penalty": TypeAdapter(float | None),
    "repetition_penalty": TypeAdapter(float | None),
    "logit_bias": TypeAdapter(dict[int, float] | None),
    "bad_words": TypeAdapter(list[str] | None),
    "allowed_token_ids": TypeAdapter(list[int] | None),
}
_FOREIGN_NAMES = frozenset(_FOREIGN_TYPES)
_NAMES_WITH_DEFAULTS = tuple(field.name for field in fields(SamplingDefaults) if field.name in _NAMES)
_values_of_defaults = attrgetter(*_NAMES_WITH_DEFAULTS)


def sampling_params(
    request: GenerationFields, defaults: SamplingDefaults, engine_reads: frozenset[str] = frozenset()
) -> SamplingParams:
    """How this request samples. `max_tokens` is None when the client gave none; the room decides then.

    A negative seed is folded into [0, 2**63), so that what follows may pack it as it likes.

    Args:
        engine_reads: fields that the engine reads by itself (`fields.fields_of`): they become `extra`.
    """
    params: dict[str, Any] = dict(zip(_NAMES_WITH_DEFAULTS, _values_of_defaults(defaults), strict=True))
    values = vars(request)
    for name in _NAMES & request.model_fields_set:
        if (value := values[name]) is not None:
            params[name] = value
    params["max_tokens"] = request.new_token_limit
    params["stop"] = request.stop_strings
    params["top_k"] = max(params["top_k"], 0)
    if params["top_p"] == 0:  # the smallest nucleus is the likeliest token
        params |= {"top_p": 1.0, "top_k": 1}
    if request.seed is not None:
        params["seed"] = request.seed & _SEED_MASK
    if engine_reads and request.model_extra:
        params["extra"] = {name: value for name, value in request.model_extra.items() if name in engine_reads}
        params |= {name: _checked(name, params["extra"][name]) for name in _FOREIGN_NAMES & params["extra"].keys()}
    return SamplingParams.of(params)


def _checked(name: str, value: Any) -> Any:
    """Raises ApiError "invalid_type" on a value of another kind than the parameter's."""
    try:
        return _FOREIGN_TYPES[name].validate_python(value)
    except ValidationError as error:
        expected = error.errors(include_url=False)[0]["msg"].removeprefix("Input should be ")
        raise ApiError("invalid_type", f"'{name}' must be {expected}.", param=name) from None
