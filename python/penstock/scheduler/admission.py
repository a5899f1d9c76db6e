"""Whether who is next has room: for its slot there are likely to be pages enough, for it and for all that run."""

from __future__ import annotations

from penstock.scheduler.fair_order import Waiting
from penstock.scheduler.seats import Seats
from penstock.scheduler.sequence import Generation, Sequence

#: Who had no room is remembered, so that the same question is not asked in every step; bounded.
_MAX_REFUSED = 64


class Admission:
    """Asked for whoever may be next; alone, everybody has room."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats
        self._refused: dict[int, tuple[int, int]] = {}  # by row key: how many pages were free, and how many had slots

    def has_room(self, waiting: Waiting, *, num_running: int) -> bool:
        """Whether the next choice of a generation, or a sequence that goes on, should get a slot."""
        if num_running == 0:
            return True
        key = waiting.row_key if isinstance(waiting, Sequence) else waiting.stream_key | waiting.num_begun
        num_free = self._seats.tables.num_free()
        least_free, most_running = self._refused.get(key, (-1, 0))
        if num_free <= least_free and num_running >= most_running:
            return False  # nothing has changed for the better
        has_room = self._goes_on(waiting) if isinstance(waiting, Sequence) else self._begins(waiting)
        if not has_room:
            if len(self._refused) >= _MAX_REFUSED:
                self._refused.clear()
            self._refused[key] = num_free, num_running
        else:
            self._refused.pop(key, None)
        return has_room

    def _begins(self, generation: Generation) -> bool:
        request, sampling = generation.request, generation.request.sampling
        prompt_index, choice_index = divmod(generation.num_begun, sampling.num_computed)
        prompt = request.prompts[prompt_index]
        assert sampling.max_tokens is not None, "the server sets max_tokens before it submits"
        return self._seats.has_room(
            self._seats.cache.names_of(prompt, request.cache_salt),
            num_input=prompt.num_tokens, num_prompt=prompt.num_tokens, max_new=sampling.max_tokens,
            num_findable=0 if generation.needs_all_states else prompt.num_tokens - 1, is_follower=choice_index > 0,
        )  # fmt: skip

    def _goes_on(self, sequence: Sequence) -> bool:
        max_tokens = sequence.generation.request.sampling.max_tokens
        assert max_tokens is not None, "the server sets max_tokens before it submits"
        return self._seats.has_room(
            sequence.page_names,
            num_input=len(sequence.input_ids), num_prompt=len(sequence.prompt_ids), max_new=max_tokens,
            num_findable=sequence.num_findable, is_follower=False,
        )  # fmt: skip
