"""How far every slot's sequence has come and how far it may go: numbers by slot, for all rows of a step at once."""

from __future__ import annotations

import numpy as np

from penstock.scheduler.cells import cells

_NONE = np.empty(0, np.int32)
_FAR = np.iinfo(np.int32).max


class SlotProgress:
    """Counts of tokens, int32 [S] each. Steady decode costs two comparisons, however many rows there are.

    What decode stores is counted as if no row ended before its limit: ends are learnt later, and a row that has ended
    needs nothing more.

    Attributes:
        max_stored: that its pages will ever hold, as the last token that it makes is not stored; 0 for an empty slot.
        num_prompt: of its prompt.
        num_input: of its prompt and what it had made before it got the slot.
        max_new: that it may make, from the first on.
    """

    def __init__(self, num_slots: int, page_size: int) -> None:
        self.max_stored, self.num_prompt, self.num_input, self.max_new = np.zeros((4, num_slots), np.int32)
        self._num_stored = np.zeros(num_slots, np.int32)
        self._prompt, self._input, self._new = cells(self.num_prompt), cells(self.num_input), cells(self.max_new)
        self._stored, self._most = cells(self._num_stored), cells(self.max_stored)
        self._page_size = page_size
        self._slots = _NONE  # those that have decoded since what they stored was last counted, and how much
        self._num_ahead = 0
        self._checked = _NONE  # those of which none needs a page for so many tokens
        self._num_spare = 0

    def seat(self, slot: int, *, num_prompt: int, num_input: int, max_new: int) -> None:
        """A sequence that has stored nothing."""
        self.set_stored(slot, 0)
        self._prompt[slot], self._input[slot], self._new[slot] = num_prompt, num_input, max_new
        self._most[slot] = num_prompt + max(max_new - 1, 0)

    def leave(self, slot: int) -> None:
        """The slot is empty."""
        self.set_stored(slot, 0)
        self._most[slot] = 0

    def set_stored(self, slot: int, num_tokens: int) -> None:
        """After a span of a prompt, or what a cache had of it."""
        self._count()
        self._checked = _NONE
        self._stored[slot] = num_tokens

    def stored_and_most(self, slot: int) -> tuple[int, int]:
        """`num_stored` and `max_stored` of one slot."""
        self._count()
        return self._stored[slot], self._most[slot]

    def prompt_and_new(self, slot: int) -> tuple[int, int]:
        """`num_prompt` and `max_new` of one slot."""
        return self._prompt[slot], self._new[slot]

    @property
    def num_stored(self) -> np.ndarray:
        """int32 [S], when all that was planned has run."""
        self._count()
        return self._num_stored

    def advance(self, slots: np.ndarray, num_tokens: int) -> None:
        """The rows of `slots`, int32 [B], each make `num_tokens` more and store as many."""
        if slots is not self._slots:
            self._count()
            self._slots = slots
        self._num_ahead += num_tokens
        if slots is self._checked:
            self._num_spare -= num_tokens

    def lacking(self, slots: np.ndarray, num_tokens: int, num_entries: np.ndarray) -> np.ndarray:
        """Those of `slots`, int32 [B], whose pages do not hold `num_tokens` more.

        Args:
            num_entries: pages of every slot, int32 [S].
        """
        if slots is self._checked and num_tokens <= self._num_spare:
            return _NONE
        stored, most = self.num_stored[slots], self.max_stored[slots]
        room = num_entries[slots] * self._page_size
        is_short = np.minimum(stored + num_tokens, most) > room
        if is_short.any():
            self._checked = _NONE
            found: np.ndarray = slots[is_short]
            return found
        self._checked = slots
        self._num_spare = int(np.where(room < most, room - stored, _FAR).min(initial=_FAR))
        return _NONE

    def _count(self) -> None:
        if self._num_ahead:
            slots = self._slots
            self._num_stored[slots] = np.minimum(self._num_stored[slots] + self._num_ahead, self.max_stored[slots])
            self._num_ahead = 0
        self._slots = _NONE
