"""From a request's fields, and the model's defaults where it says nothing, to SamplingParams: by name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from penstock.generation import SamplingDefaults, SamplingParams
from penstock.protocol.common import GenerationFields

_SEED_MASK = 2**63 - 1
_NAMES = tuple(field.name for field in fields(SamplingParams))
_NAMES_WITH_DEFAULTS = tuple(field.name for field in fields(SamplingDefaults) if field.name in _NAMES)


def sampling_params(request: GenerationFields, defaults: SamplingDefaults) -> SamplingParams:
    """How this request samples. `max_tokens` is None when the client gave none; the room decides then.

    A negative seed is folded into [0, 2**63), so that what follows may pack it as it likes.
    """
    params: dict[str, Any] = {name: getattr(defaults, name) for name in _NAMES_WITH_DEFAULTS}
    params |= {name: value for name in _NAMES if (value := getattr(request, name)) is not None}
    params |= {
        "max_tokens": request.new_token_limit,
        "top_k": max(params["top_k"], 0),
        "stop": request.stop_strings,
        "stop_token_ids": tuple(request.stop_token_ids or ()),
    }
    if request.seed is not None:
        params["seed"] = request.seed & _SEED_MASK
    return SamplingParams(**params)
