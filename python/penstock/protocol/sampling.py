"""From a request's fields, and the model's defaults where it says nothing, to SamplingParams."""

from __future__ import annotations

from typing import Any

from penstock.generation import SamplingDefaults, SamplingParams
from penstock.protocol.common import GenerationFields

_SEED_MASK = 2**63 - 1


def sampling_params(
    request: GenerationFields, defaults: SamplingDefaults, engine_reads: frozenset[str] = frozenset()
) -> SamplingParams:
    """How this request samples. `max_tokens` is None when the client gave none; the room decides then.

    A negative seed is folded into [0, 2**63), so that what follows may pack it as it likes.

    Args:
        engine_reads: fields that the engine reads by itself (`fields.fields_of`): they become `extra`.
    """
    given: dict[str, Any] = {}
    if request.seed is not None:
        given["seed"] = request.seed & _SEED_MASK
    if engine_reads and request.model_extra:
        given["extra"] = {name: value for name, value in request.model_extra.items() if name in engine_reads}
    top_p = defaults.top_p if request.top_p is None else request.top_p
    top_k = max(defaults.top_k if request.top_k is None else request.top_k, 0)
    if top_p == 0:  # the smallest nucleus is the likeliest token
        top_p, top_k = 1.0, 1
    return SamplingParams(
        max_tokens=request.new_token_limit,
        temperature=defaults.temperature if request.temperature is None else request.temperature,
        top_p=top_p,
        top_k=top_k,
        min_p=defaults.min_p if request.min_p is None else request.min_p,
        n=request.n or 1,
        stop=request.stop_strings,
        stop_token_ids=tuple(request.stop_token_ids or ()),
        **given,
    )
