"""What an engine of a given capacity could never do for a request, refused before it is queued."""

from __future__ import annotations

import struct
from operator import attrgetter

from penstock.engine.interface import Capacity
from penstock.engine.row_parameters import pack_row
from penstock.errors import ApiError
from penstock.generation import (
    MAX_BAD_WORD_TOKENS,
    MAX_BAD_WORDS,
    MAX_LOGIT_BIAS,
    MAX_STOP_IDS,
    GenerationRequest,
    SamplingParams,
)

_num_tokens = attrgetter("num_tokens")


def check_fits(request: GenerationRequest, *, limit: int, stop_ids: tuple[int, ...]) -> None:
    """Refuses what could never be admitted. The server's door has checked the rest.

    Args:
        limit: tokens of a sequence (`max_sequence_len`).
        stop_ids: the model's own that count for it, and its own.
    """
    max_tokens = request.sampling.max_tokens
    assert max_tokens is not None, "the server sets max_tokens before it submits"
    nums_tokens = list(map(_num_tokens, request.prompts))
    if not all(nums_tokens):
        raise ApiError("invalid_request", "Each prompt needs at least one token.")
    if request.sampling.min_tokens > max_tokens:
        message = f"'min_tokens' must be at most the {max_tokens} new tokens that can be made."
        raise ApiError("invalid_value", message, param="min_tokens")
    num_tokens = max(nums_tokens) + max_tokens
    if num_tokens > limit:
        raise ApiError(
            "context_length_exceeded",
            f"This model's maximum context length is {limit} tokens, prompt and new tokens are {num_tokens}.",
            param="max_tokens",
        )
    if len(stop_ids) > MAX_STOP_IDS:
        message = f"At most {MAX_STOP_IDS} stop tokens, the model's own included."
        raise ApiError("invalid_request", message, param="stop_token_ids")
    _check_rules(request.sampling)
    _check_row(request.sampling, stop_ids)


def _check_row(sampling: SamplingParams, stop_ids: tuple[int, ...]) -> None:
    """Refuses numbers that a row has no words for: they are of a server's own code, as the wire's are within bounds,
    and must not fail a step that works for others, too."""
    try:
        pack_row(sampling, rng_key=(0, 0), stop_ids=stop_ids)
    except (struct.error, OverflowError) as error:
        raise ApiError("invalid_value", f"The sampling parameters cannot be used: {error}.") from None


def max_sequence_len(capacity: Capacity) -> int:
    """Tokens of a sequence that has all pages for itself. Groups with a window always have enough for one."""
    seeing_all = [num for num, window in zip(capacity.num_pages, capacity.windows, strict=True) if window is None]
    return min([capacity.max_model_len, *(num * capacity.page_size for num in seeing_all)])


def _check_rules(sampling: SamplingParams) -> None:
    """Refuses rules for single tokens beyond what a slot has room for."""
    if len(sampling.logit_bias) > MAX_LOGIT_BIAS:
        raise ApiError("invalid_value", f"At most {MAX_LOGIT_BIAS} tokens can be biased.", param="logit_bias")
    words = sampling.bad_word_ids
    if words and (len(words) > 2 * MAX_BAD_WORDS or not all(0 < len(word) <= MAX_BAD_WORD_TOKENS for word in words)):
        message = f"At most {2 * MAX_BAD_WORDS} sequences of 1 to {MAX_BAD_WORD_TOKENS} tokens can be bad words."
        raise ApiError("invalid_value", message, param="bad_words")
