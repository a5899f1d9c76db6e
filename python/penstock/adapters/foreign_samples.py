"""What a foreign adapter's `generate` gives, read in whichever way it gives it, and its mistakes named.

A mistake is the adapter's author's to mend: the sentence goes to the log and to the client, who is mostly the author.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from penstock.adapters.sample import ReturnSample
from penstock.errors import ApiError

_MAX_TOKENS_OF_A_SAMPLE = 2**31 - 1


class AdapterFaultError(ApiError):
    """An adapter did not keep to `InferenceEngineAdapter`. The message says how, and holds nothing of a request."""

    def __init__(self, sentence: str) -> None:
        super().__init__("engine_error", f"The engine's adapter is at fault: {sentence}.")


async def read_samples(given: Any) -> AsyncGenerator[Sequence[ReturnSample]]:
    """Batches of samples from what `generate` returned: a coroutine of a list or of an iterator, or an iterator.

    Raises:
        AdapterFaultError: what came is neither.
    """
    if inspect.isawaitable(given):
        given = await given
    elif not hasattr(given, "__aiter__"):
        raise AdapterFaultError(f"generate() must be an 'async def', but its call returned {_kind(given)}")
    if not hasattr(given, "__aiter__"):
        yield _checked(given, "returned")
        return
    try:
        async for samples in given:
            yield _checked(samples, "yielded")
    finally:
        if close := getattr(given, "aclose", None):
            await close()


def _checked(samples: Any, verb: str) -> Sequence[ReturnSample]:
    if not isinstance(samples, list | tuple):
        raise AdapterFaultError(f"generate() {verb} {_kind(samples)}, not a list of ReturnSample")
    for sample in samples:
        if not isinstance(sample, ReturnSample):
            raise AdapterFaultError(f"generate() {verb} a list with {_kind(sample)} in it, not of ReturnSample alone")
        _check(sample)
    return samples


def _check(sample: ReturnSample) -> None:
    if not isinstance(sample.text, str):
        raise AdapterFaultError(f"a ReturnSample's text is {_kind(sample.text)}, not a string")
    num_tokens: Any = sample.num_tokens
    if type(num_tokens) is not int or not 0 <= num_tokens <= _MAX_TOKENS_OF_A_SAMPLE:
        raise AdapterFaultError("a ReturnSample's num_tokens must be an integer of at least 0")
    if not isinstance(sample.reasoning, str | None):
        raise AdapterFaultError(f"a ReturnSample's reasoning is {_kind(sample.reasoning)}, not a string")
    if not isinstance(sample.tool_calls, list | tuple | None):
        raise AdapterFaultError(f"a ReturnSample's tool_calls are {_kind(sample.tool_calls)}, not a list")


def _kind(value: Any) -> str:
    """What a value is, never what it says."""
    return "None" if value is None else f"a value of type '{type(value).__name__}'"
