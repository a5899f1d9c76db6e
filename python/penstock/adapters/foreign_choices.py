"""The choices of one request while a foreign adapter gives samples for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from penstock import _core
from penstock.adapters.foreign_pieces import read_calls, read_logprobs
from penstock.adapters.foreign_samples import AdapterFaultError
from penstock.adapters.sample import ReturnSample
from penstock.generation import FinishReason, GenerationRequest

#: From (new tokens, their limit, text) to a finish reason.
DetermineFinishReason = Callable[[int, float, str], str]

#: A choice that stops after it has called a tool ends for its calls, whichever of the two words an adapter takes.
_ENDS = {
    FinishReason.STOP.value: _core.END_STOP,
    FinishReason.LENGTH.value: _core.END_LENGTH,
    FinishReason.TOOL_CALLS.value: _core.END_STOP,
}
_FAILURES = {FinishReason.ABORT.value, FinishReason.ERROR.value}


class ForeignChoices:
    """Pushes samples into a hub, and knows which choices still wait for theirs.

    Args:
        determine_finish_reason: for choices that the adapter leaves without one.
    """

    def __init__(
        self, hub: _core.Hub, request: GenerationRequest, determine_finish_reason: DetermineFinishReason
    ) -> None:
        self._hub = hub
        self._request = request
        self._determine_finish_reason = determine_finish_reason
        self._texts: list[list[str]] = [[] for _ in range(request.num_choices)]
        self._num_tokens = [0] * request.num_choices
        self._calls: list[set[int]] = [set() for _ in range(request.num_choices)]  # of each choice, which have begun
        self._open = set(range(request.num_choices))
        for choice in self._open:
            hub.mark_scheduled(request.stream_key | choice)

    @property
    def are_done(self) -> bool:
        return not self._open

    def push(self, samples: Sequence[ReturnSample]) -> None:
        """Raises AdapterFaultError on a sample of a choice that there is not, or with no reason that there is."""
        num_choices = self._request.num_choices
        for sample in samples:
            index = sample.index
            if type(index) is not int or not 0 <= index < num_choices:
                raise AdapterFaultError(f"a ReturnSample's index is {index!r:.20}, of {num_choices} choices")
            if index not in self._open:  # a stop string has ended it, which the adapter may learn late
                continue
            self._texts[index].append(sample.text)
            self._num_tokens[index] += sample.num_tokens
            self._push(sample)

    def finish(self) -> None:
        """The adapter has no more. Raises AdapterFaultError where it gave nothing for a choice."""
        limit = inf if self._request.sampling.max_tokens is None else self._request.sampling.max_tokens
        for index in sorted(self._open):
            if not self._texts[index]:
                raise AdapterFaultError(
                    f"generate() ended without a sample of choice {index}; it was asked for"
                    f" {self._request.num_choices} (prompts times n)"
                )
            text = "".join(self._texts[index])
            reason = self._determine_finish_reason(self._num_tokens[index], limit, text)
            self._push(ReturnSample(index, "", 0, reason))

    def _push(self, sample: ReturnSample) -> None:
        index, row_key = sample.index, self._request.stream_key | sample.index
        end = _core.END_NONE if sample.finish_reason is None else _end_of(sample.finish_reason)
        calls = read_calls(sample.tool_calls or (), self._calls[index])
        logprobs = read_logprobs(sample.logprobs or (), num_tokens=sample.num_tokens)
        is_over = self._hub.push_text(
            row_key, sample.text, num_tokens=sample.num_tokens, end=end,
            reasoning=sample.reasoning or "", tool_calls=calls, logprobs=logprobs,
        )  # fmt: skip
        if is_over or end:
            self._open.discard(index)


def _end_of(finish_reason: str) -> int:
    end = _ENDS.get(finish_reason)
    if end is None and finish_reason in _FAILURES:
        raise AdapterFaultError(f"it ended a choice by '{finish_reason}'")
    if end is None:
        raise AdapterFaultError(f"the finish reason {finish_reason!r:.40} is none of {', '.join(map(repr, _ENDS))}")
    return end
