"""From a request's fields, and the model's defaults where it says nothing, to SamplingParams: by name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from penstock.errors import ApiError
from penstock.generation import SamplingDefaults, SamplingParams
from penstock.protocol.common import GenerationFields

_SEED_MASK = 2**63 - 1
_NAMES = frozenset(field.name for field in fields(SamplingParams)) & GenerationFields.model_fields.keys()
_NAMES_WITH_DEFAULTS = tuple(field.name for field in fields(SamplingDefaults) if field.name in _NAMES)


def sampling_params(
    request: GenerationFields, defaults: SamplingDefaults, engine_reads: frozenset[str] = frozenset()
) -> SamplingParams:
    """How this request samples. `max_tokens` is None when the client gave none; the room decides then.

    A negative seed is folded into [0, 2**63), so that what follows may pack it as it likes.

    Args:
        engine_reads: fields that the engine reads by itself (`fields.fields_of`): they become `extra`.
    """
    params: dict[str, Any] = {name: getattr(defaults, name) for name in _NAMES_WITH_DEFAULTS}
    given = _NAMES & request.model_fields_set
    params |= {name: value for name in given if (value := getattr(request, name)) is not None}
    params |= {
        "max_tokens": request.new_token_limit,
        "top_k": max(params["top_k"], 0),
        "stop": request.stop_strings,
        "stop_token_ids": tuple(request.stop_token_ids or ()),
    }
    if params["top_p"] == 0:  # the smallest nucleus is the likeliest token
        params |= {"top_p": 1.0, "top_k": 1}
    if request.seed is not None:
        params["seed"] = request.seed & _SEED_MASK
    if (num_logprobs := request.num_logprobs) is not None:
        params["logprobs"] = num_logprobs
    if engine_reads and (given := engine_reads & (request.model_fields_set | (request.model_extra or {}).keys())):
        params["extra"] = {name: getattr(request, name) for name in given}
    return SamplingParams(**params)

