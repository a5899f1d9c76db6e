"""The room of a context: refusing prompts that do not fit it, clamping new tokens to what is left of it."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.errors import ApiError


def context_length_exceeded(
    num_tokens: int, max_model_len: int, *, param: str, num_new: int = 1, at_least: bool = False
) -> ApiError:
    """The refusal in the words that clients look for ("maximum context length is N tokens") when they compact."""
    counted = f"at least {num_tokens}" if at_least else f"{num_tokens}"
    why = ", which leaves no room for an answer" if num_new else ""
    return ApiError(
        "context_length_exceeded",
        f"This model's maximum context length is {max_model_len} tokens. However, '{param}' has {counted} tokens{why}."
        " Please shorten it.",
        param=param,
    )


def check_prompt_length(
    ids: Sequence[int], max_model_len: int | None, *, param: str = "prompt", num_new: int = 1
) -> None:
    """Refuses a prompt without tokens (invalid_value), or one that leaves no room for `num_new` tokens of answer: 1, or
    0 for what is only read."""
    if not ids:
        raise ApiError("invalid_value", f"'{param}' must hold at least one token of text.", param=param)
    if max_model_len is not None and len(ids) + num_new > max_model_len:
        raise context_length_exceeded(len(ids), max_model_len, param=param, num_new=num_new)


def clamp_max_tokens(
    max_tokens: int | None, *, num_prompt_tokens: int, max_model_len: int, default: int | None = None
) -> int:
    """New tokens per choice: what was asked for, else `default`, else all, but never more than the room left.

    Args:
        num_prompt_tokens: of the request's longest prompt; below max_model_len.
        default: `default_max_tokens` of the request's class: None for chats, 16 for completions.
    """
    room = max_model_len - num_prompt_tokens
    wanted = default if max_tokens is None else max_tokens
    return room if wanted is None else min(wanted, room)
