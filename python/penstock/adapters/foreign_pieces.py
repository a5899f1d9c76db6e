"""Tool calls and log probabilities of a foreign adapter's samples, read from OpenAI's shapes into the hub's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from penstock import _core
from penstock.adapters.foreign_samples import AdapterFaultError

#: A piece of a call: its index, its id and name where it begins, the next piece of its arguments.
CallPiece: TypeAlias = tuple[int, tuple[str, str] | None, str]
#: A token: its bytes, its log probability, the likeliest tokens in its place.
SpelledToken: TypeAlias = tuple[bytes, float, list[tuple[bytes, float]]]

#: JSON has no infinity; this is OpenAI's word for it.
_LEAST_LOGPROB = -9999.0


def read_calls(calls: Sequence[Mapping[str, Any]], begun: set[int]) -> list[CallPiece]:
    """The pieces of one sample.

    Args:
        calls: whole calls, or their deltas, which have an `index`. A call without one begins here.
        begun: indices of its choice's calls that have begun; those that begin here are added.

    Raises:
        AdapterFaultError: what came is not OpenAI's.
    """
    return [_read_call(call, begun) for call in calls]


def _read_call(call: Any, begun: set[int]) -> CallPiece:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise AdapterFaultError("a ReturnSample's tool call is not an object with a 'function'")
    index = call.get("index")
    index = len(begun) if index is None else index
    if type(index) is not int or not 0 <= index <= len(begun):
        raise AdapterFaultError("a ReturnSample's tool calls do not count up from 0 by their 'index'")
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(arguments, str | None):
        raise AdapterFaultError("a tool call's arguments are not a string of JSON")
    if index in begun:
        return index, None, arguments or ""
    if not isinstance(name, str) or not name:
        raise AdapterFaultError("a tool call begins without a name")
    begun.add(index)
    return index, (str(call.get("id") or _core.mint_id("call_")), name), arguments or ""


def read_logprobs(logprobs: Any, *, num_tokens: int) -> list[SpelledToken]:
    """The tokens of one sample: `{"content": [...]}` of a chat, of which the list may be null, or that list alone.

    Raises:
        AdapterFaultError: what came is not OpenAI's, or tells more tokens than the sample has.
    """
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else logprobs
    if content is None:  # OpenAI's word for none, as beside a refusal
        return []
    if not isinstance(content, list | tuple) or len(content) > num_tokens:
        raise AdapterFaultError("a ReturnSample's logprobs are not a list of at most num_tokens tokens")
    return [(*_read_token(token), list(_read_top(token))) for token in content]


def _read_top(token: Mapping[str, Any]) -> Iterator[tuple[bytes, float]]:
    top: Any = token.get("top_logprobs") or ()
    if not isinstance(top, list | tuple):
        raise AdapterFaultError("a token's 'top_logprobs' are not a list")
    return map(_read_token, top)


def _read_token(token: Any) -> tuple[bytes, float]:
    text, logprob = (token.get("token"), token.get("logprob")) if isinstance(token, Mapping) else (None, None)
    if not isinstance(text, str) or not isinstance(logprob, int | float):
        raise AdapterFaultError("a token's logprob is not an object with 'token' and 'logprob'")
    given = token.get("bytes")
    try:
        spelled = text.encode("utf-8", "replace") if given is None else bytes(given)
    except (TypeError, ValueError):
        raise AdapterFaultError("a token's 'bytes' are not a list of bytes") from None
    return spelled, float(logprob) if math.isfinite(logprob) else _LEAST_LOGPROB
