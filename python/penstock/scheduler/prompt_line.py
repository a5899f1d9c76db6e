"""The prompts that are computed, and those that wait for another's."""

from __future__ import annotations

from collections.abc import Collection

from penstock.engine.interface import Capacity
from penstock.scheduler.prefill_budget import PrefillBudget
from penstock.scheduler.seats import Seats
from penstock.scheduler.sequence import Sequence


class PromptLine:
    """Sequences with prompt left: in the budget, or behind the first choice of the same prompt until that one's is in
    the cache."""

    def __init__(self, capacity: Capacity, seats: Seats) -> None:
        self._seats = seats
        self._page_size = capacity.page_size
        self._budget = PrefillBudget(
            max_tokens=capacity.max_prefill_tokens, max_tokens_beside=capacity.max_prefill_tokens_beside,
            max_spans=capacity.max_spans, span_sizes=capacity.span_sizes, is_mixed=capacity.is_mixed,
        )  # fmt: skip
        self._followers: dict[int, list[Sequence]] = {}  # who waits for whose prompt, by the first one's row key

    def __len__(self) -> int:
        """Prompts that are computed now."""
        return len(self._budget)

    def sit(self, sequence: Sequence, *, leader: Sequence | None) -> None:
        """Seats a sequence; it waits for `leader`, where there is one."""
        num_shared = 0 if leader is None else sequence.num_findable // self._page_size
        self._seats.sit(sequence, num_shared=num_shared)
        if leader is None:
            self._budget.add(sequence)
        else:
            self._followers.setdefault(leader.row_key, []).append(sequence)

    def choose(self, *, is_beside: bool) -> list[tuple[Sequence, int]]:
        """The prompts' share of a step: whose, and how many tokens of each at most. `is_beside`: rows decode in it."""
        return self._budget.choose(is_beside=is_beside)

    def stop(self, sequence: Sequence) -> None:
        """Its prompt is in, or it has lost its slot: who waited for it goes on."""
        self._budget.discard(sequence)
        for follower in self._followers.pop(sequence.row_key, ()):
            if follower.slot >= 0:
                self._seats.find(follower)
                self._budget.add(follower)

    def leave(self, sequence: Sequence) -> None:
        """It has lost its slot."""
        self.stop(sequence)
        for followers in self._followers.values():
            if sequence in followers:
                followers.remove(sequence)

    def check_integrity(self, sequences: Collection[Sequence]) -> None:
        """Asserts that those of `sequences` that have prompt left are in the line, each once."""
        assert all(s.num_to_prefill for s in self._budget), "a prompt that waits for no span"
        in_line = [*self._budget, *(s for each in self._followers.values() for s in each)]
        assert len({id(s) for s in in_line}) == len(in_line), "a prompt waits twice"
        assert {id(s) for s in in_line} == {id(s) for s in sequences if s.num_to_prefill}, (
            "a prompt that nobody computes"
        )
