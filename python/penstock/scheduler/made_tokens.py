"""The tokens that every slot has made, on the host: what a preempted sequence goes on from, and what names the pages
that an answer filled."""

from __future__ import annotations

import numpy as np

from penstock.scheduler.cells import cells


class MadeTokens:
    """By slot; a few calls per step for all rows together.

    The memory of slots that were never long is never touched.
    """

    def __init__(self, num_slots: int, *, max_tokens: int, tokens_per_dispatch: int) -> None:
        self._tokens = np.zeros((num_slots, max_tokens + tokens_per_dispatch), np.int32)
        self._num = np.zeros(num_slots, np.int32)
        self._num_cells = cells(self._num)
        self._offsets = np.arange(tokens_per_dispatch, dtype=np.int32)

    def seat(self, slot: int) -> None:
        """Whoever has the slot now has made none."""
        self._num_cells[slot] = 0

    def add(self, slots: np.ndarray, ids: np.ndarray) -> None:
        """What rows have made.

        Args:
            slots: int32 [R], each once.
            ids: int32 [R, N], -1 for none and for all behind it.
        """
        num, width = self._num[slots], ids.shape[1]
        if width == 1:
            self._tokens[slots, num] = ids[:, 0]
            self._num[slots] = num + (ids[:, 0] >= 0)
        else:
            self._tokens[slots[:, None], num[:, None] + self._offsets[:width]] = ids
            self._num[slots] = num + (ids >= 0).sum(axis=1, dtype=np.int32)

    def of(self, slot: int) -> np.ndarray:
        """int32 [N], a view."""
        return self._tokens[slot, : self._num_cells[slot]]
