"""Whose prompt gets on: the tokens that a step computes of prompts, and how the sequences with prompt left share them.

No pages, slots or device here: sequences in, sequences with a number of tokens each out.
"""

from __future__ import annotations

from collections.abc import Iterator

from penstock.scheduler.sequence import Sequence


class PrefillBudget:
    """The sequences with prompt left, in order of admission.

    Args:
        max_tokens: of all prompts together, in one step.
        max_spans: prompts that one step takes tokens of.
    """

    def __init__(self, *, max_tokens: int, max_spans: int) -> None:
        self._max_tokens = max_tokens
        self._max_spans = max_spans
        self._sequences: dict[int, Sequence] = {}  # by row key

    def __len__(self) -> int:
        return len(self._sequences)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._sequences.values())

    def add(self, sequence: Sequence) -> None:
        """A sequence that has prompt left."""
        self._sequences[sequence.row_key] = sequence

    def discard(self, sequence: Sequence) -> None:
        """Its prompt is in, or it is over. Others are ignored."""
        self._sequences.pop(sequence.row_key, None)

    def choose(self) -> list[tuple[Sequence, int]]:
        """This step's spans: sequences, each once, and how many tokens of each."""
        num_left = self._max_tokens
        chosen: list[tuple[Sequence, int]] = []
        for sequence in self:
            if chosen and (sequence.num_to_prefill > num_left or len(chosen) == self._max_spans):
                break
            num_tokens = min(sequence.num_to_prefill, num_left)
            num_left -= num_tokens
            chosen.append((sequence, num_tokens))
        return chosen
