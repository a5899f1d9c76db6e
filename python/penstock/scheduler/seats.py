"""What a sequence has while it is in a slot: its row of the batch, its pages, what it has made, how far it is.

Whoever gets a slot, and who must give one up, is the planner's to say.
"""

from __future__ import annotations

import numpy as np

from penstock.engine.interface import Capacity
from penstock.engine.page_plan import window_pages
from penstock.scheduler.batch import Batch
from penstock.scheduler.made_tokens import MadeTokens
from penstock.scheduler.page_forecast import PageForecast
from penstock.scheduler.page_tables import PageTables
from penstock.scheduler.prefix_cache import CacheReport, PrefixCache
from penstock.scheduler.sequence import Sequence
from penstock.scheduler.slot_progress import SlotProgress


class Seats:
    """All slots.

    Attributes:
        batch: which are free, which decode.
        tables: their pages.
        cache: what pages hold the beginnings of prompts.
        forecast: what they are likely to need yet.
    """

    def __init__(self, capacity: Capacity, *, prefix_caching: bool) -> None:
        self.batch = Batch(capacity.num_slots)
        self.cache = PrefixCache(capacity, is_on=prefix_caching)
        self.tables = PageTables(capacity, self.cache.pools)
        self.progress = SlotProgress(capacity.num_slots, capacity.page_size)
        self.forecast = PageForecast(capacity, self.tables, self.progress)
        self._page_size = capacity.page_size
        for num, window in zip(capacity.num_pages, capacity.windows, strict=True):
            least = 1 if window is None else window_pages(window, page_size=self._page_size, max_span=capacity.max_span)
            assert num >= min(least, -(-capacity.max_model_len // self._page_size)), (
                "a window's pages are too few for one"
            )
        self._made = MadeTokens(
            capacity.num_slots, max_tokens=capacity.max_model_len, tokens_per_dispatch=capacity.tokens_per_dispatch
        )

    # ---- who comes

    def has_room(
        self, names: list[bytes], *, num_input: int, num_prompt: int, max_new: int, num_findable: int, is_follower: bool
    ) -> bool:
        """Whether the pages of a sequence are likely to suffice.

        Args:
            names, num_input, num_prompt, max_new, num_findable: as of `Sequence` and its request.
            is_follower: what is found of it is computed before its turn.
        """
        sizes = {"num_prompt": num_prompt, "max_new": max_new}
        if self.forecast.has_room_for_all(**sizes):
            return True
        limit = min(num_findable // self._page_size, len(names))
        num_shared = limit if is_follower else self.cache.num_held(names, self.cache.num_found(names, limit))
        return self.forecast.has_room(num_input=num_input, num_shared=num_shared, **sizes)

    def sit(self, sequence: Sequence, *, num_shared: int) -> None:
        """Gives it a free slot, and what the cache has of it."""
        slot = sequence.slot = self.batch.seat(sequence.row_key)
        sizes = self._sizes(sequence)
        self.progress.seat(slot, num_input=len(sequence.input_ids), **sizes)
        self.forecast.seat(slot, num_shared=num_shared, **sizes)
        self._made.seat(slot)
        self.find(sequence)

    def find(self, sequence: Sequence) -> None:
        """Takes from the cache what goes on where its pages end, before it has computed anything of its own."""
        if not sequence.page_names:
            return
        first = sequence.num_prefilled // self._page_size
        limit = self._num_findable(sequence)
        if limit <= first:
            return
        end = self.cache.num_found(sequence.page_names, limit)
        if end > first:
            self.tables.adopt(sequence.slot, first, self.cache.pages(sequence.page_names, first, end))
            sequence.num_prefilled = end * self._page_size
            self.progress.set_stored(sequence.slot, sequence.num_prefilled)

    def report(self, sequence: Sequence) -> CacheReport:
        """Why a newcomer that has computed nothing yet found no more than it did."""
        limit = -1 if sequence.generation.needs_all_states else self._num_findable(sequence)
        salt = sequence.generation.request.cache_salt
        return self.cache.report(sequence.page_names, sequence.num_prefilled // self._page_size, limit, salt)

    def _num_findable(self, sequence: Sequence) -> int:
        return min(sequence.num_findable // self._page_size, len(sequence.page_names))

    @staticmethod
    def _sizes(sequence: Sequence) -> dict[str, int]:
        max_new = sequence.generation.request.sampling.max_tokens
        assert max_new is not None, "the server sets max_tokens before it submits"
        return {"num_prompt": len(sequence.prompt_ids), "max_new": max_new}

    # ---- what runs

    def grow(self, sequence: Sequence, num_new: int) -> bool:
        """Pages for so many more tokens, as far as it will ever store them; False where there are too few."""
        stored, most = self.progress.stored_and_most(sequence.slot)
        num_tokens = min(stored + num_new, most)
        return self.tables.grow(sequence.slot, num_tokens, position=stored)

    def num_affordable(self, sequence: Sequence) -> int:
        """Tokens that it can store more with the pages that it has and those that are free."""
        slot = sequence.slot
        num_entries = int(self.tables.num_entries[slot]) + self.tables.num_free()
        return num_entries * self._page_size - int(self.progress.num_stored[slot])

    def advance(self, sequence: Sequence) -> None:
        """A span of its prompt is on its way: the pages that it fills are found by others from now on."""
        first = self.progress.stored_and_most(sequence.slot)[0] // self._page_size
        self.progress.set_stored(sequence.slot, sequence.num_prefilled)
        self._name(sequence, first, sequence.num_prefilled // self._page_size)

    def take_made(self, slots: np.ndarray, row_keys: np.ndarray, ids: np.ndarray) -> None:
        """What rows have made: slots int32 [R], each once, keys uint64 [R], ids int32 [R, N]. Those that are somebody
        else's by now are left out."""
        is_theirs = self.batch.row_keys[slots] == row_keys
        if is_theirs.all():
            self._made.add(slots, ids)
        else:
            self._made.add(slots[is_theirs], ids[is_theirs])

    # ---- who goes

    def put_off(self, sequence: Sequence) -> None:
        """It loses its slot, to go on later from what it has made. Nothing of it may be on its way."""
        made = self._made.of(sequence.slot).copy()
        self._name_made(sequence, made)
        self._empty(sequence.slot)
        sequence.put_off(made)

    def leave(self, sequence: Sequence, *, is_broken: bool = False) -> None:
        """It has ended. Slot and pages are free at once: a step in flight that still writes to them runs before any
        later one.

        Args:
            is_broken: what its pages hold is not to be trusted.
        """
        slot = sequence.slot
        if is_broken:
            self.tables.forget(slot)
        else:
            made = self._made.of(slot)
            self._name_made(sequence, made)
            if max_new := self.progress.prompt_and_new(slot)[1]:
                num_made = len(sequence.input_ids) - len(sequence.prompt_ids) + len(made)
                self.forecast.use.count_end(min(num_made / max_new, 1.0))
        self._empty(slot)

    def _empty(self, slot: int) -> None:
        self.forecast.leave(slot)
        self.progress.leave(slot)
        self.tables.clear(slot)
        self.batch.leave(slot)

    def _name(self, sequence: Sequence, first: int, end: int) -> None:
        names = sequence.page_names[first:end]
        if names:
            self.tables.name(sequence.slot, first, names)
            self.cache.note(sequence.page_names[:end], first, sequence.generation.request.cache_salt)

    def _name_made(self, sequence: Sequence, made: np.ndarray) -> None:
        """Names the pages that it has filled by decode: all that it has made is stored but the last."""
        if not self.cache.is_on or sequence.num_to_prefill:
            return
        first, num_stored = len(sequence.page_names), len(sequence.input_ids) + len(made) - 1
        end = num_stored // self._page_size
        if end <= first:
            return
        ids = np.concatenate([sequence.input_ids, made])[first * self._page_size : end * self._page_size]
        parent, salt = sequence.page_names[-1] if first else None, sequence.generation.request.cache_salt
        names = self.cache.chain(ids, salt=salt, prompt_length=len(sequence.prompt_ids), parent=parent)
        sequence.page_names = [*sequence.page_names, *names]
        self._name(sequence, first, end)
