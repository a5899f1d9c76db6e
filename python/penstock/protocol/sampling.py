"""From a request's fields, and the model's defaults where it says nothing, to SamplingParams: by name."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import Any

from penstock.generation import SamplingDefaults, SamplingParams
from penstock.protocol.common import GenerationFields

_SEED_MASK = 2**63 - 1
_DECLARED = GenerationFields.model_fields.keys() | {"best_of"}
_NAMES = frozenset(field.name for field in fields(SamplingParams)) & _DECLARED
_NAMES_WITH_DEFAULTS = tuple(field.name for field in fields(SamplingDefaults) if field.name in _NAMES)
_values_of_defaults = attrgetter(*_NAMES_WITH_DEFAULTS)


def sampling_params(
    request: GenerationFields, defaults: SamplingDefaults, engine_reads: frozenset[str] = frozenset()
) -> SamplingParams:
    """How this request samples. `max_tokens` is None when the client gave none; the room decides then.

    A negative seed is folded into [0, 2**63), so that what follows may pack it as it likes.

    Args:
        engine_reads: fields that a foreign engine acts on by itself (`fields.fields_of`): they become `extra`.
    """
    params: dict[str, Any] = dict(zip(_NAMES_WITH_DEFAULTS, _values_of_defaults(defaults), strict=True))
    values = vars(request)
    for name in _NAMES & request.__pydantic_fields_set__:
        if (value := values[name]) is not None:
            params[name] = value
    params["max_tokens"] = request.new_token_limit
    if "stop" in params:
        params["stop"] = request.stop_strings
    params["top_k"] = max(params["top_k"], 0)
    if params["top_p"] == 0:  # the smallest nucleus is the likeliest token
        params |= {"top_p": 1.0, "top_k": 1}
    if "seed" in params:
        params["seed"] &= _SEED_MASK
    if (num_logprobs := request.num_logprobs) is not None:
        params["logprobs"] = num_logprobs
        if request.is_echoed:
            params["prompt_logprobs"] = num_logprobs
    if engine_reads:
        params["extra"] = _given_of(request, engine_reads)
        if "best_of" in engine_reads:  # it gives the best ones itself
            params.pop("best_of", None)
    return SamplingParams.of(params)


def _given_of(request: GenerationFields, names: frozenset[str]) -> dict[str, Any]:
    extra = request.model_extra or {}
    given = {name: value for name, value in vars(request).items() if name in names and name in request.model_fields_set}
    return given | {name: value for name, value in extra.items() if name in names}
