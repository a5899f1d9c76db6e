"""Whether there will be pages for one more sequence: those that are free, less what others are likely to take yet.

An estimate that may be wrong: then somebody gives way (see `planner`). It errs on the side of too many pages: it takes
two standard deviations on top of what is likely, and counts nothing of what those who end will give back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from penstock.engine.interface import Capacity
from penstock.engine.page_plan import window_pages
from penstock.scheduler.cells import cells
from penstock.scheduler.page_tables import PageTables
from penstock.scheduler.slot_progress import SlotProgress
from penstock.scheduler.use_forecast import UseForecast

_NUM_DEVIATIONS = 2


@dataclass(slots=True)
class Demand:
    """Of sequences that have slots.

    Attributes:
        num_pages: float64 [G], likely to be taken yet.
        variance: of that, in tokens.
    """

    num_pages: np.ndarray
    variance: float


class PageForecast:
    """Asked in rounds: `restart`, then `has_room` and `seat` for one sequence after the other.

    Attributes:
        use: what sequences use of what they may.
    """

    def __init__(self, capacity: Capacity, tables: PageTables, progress: SlotProgress) -> None:
        self.use = UseForecast()
        self._tables = tables
        self._progress = progress
        self._page_size = capacity.page_size
        self._num_pages = min(capacity.num_pages)
        self._num_reserved = 0  # pages of all that have slots, if each used all that it may
        self._num_shared = np.zeros(capacity.num_slots, np.int32)  # entries that it will find in the cache
        self._shared_cells = cells(self._num_shared)
        sizes = {"page_size": capacity.page_size, "max_span": capacity.max_span}
        self._max_pages = [None if window is None else window_pages(window, **sizes) for window in capacity.windows]
        self._demand: Demand | None = None

    def restart(self) -> None:
        """Sequences have moved on."""
        self._demand = None

    def has_room_for_all(self, *, num_prompt: int, max_new: int) -> bool:
        """Whether there is room even if everybody used all that they may."""
        return self._num_reserved + self._pages_at_most(num_prompt, max_new) <= self._num_pages

    def has_room(self, *, num_input: int, num_prompt: int, max_new: int, num_shared: int) -> bool:
        """Whether a sequence is likely to get what it needs, of which `num_shared` pages cost nothing."""
        if self._demand is None:
            self._demand = self._of_seated()
        new = self._of(
            np.array([num_input]), np.array([num_prompt]), np.array([max_new]), np.array([num_shared]),
            [np.array([num_shared])] * len(self._max_pages),
        )  # fmt: skip
        spread = _NUM_DEVIATIONS * (self._demand.variance + new.variance) ** 0.5 / self._page_size
        num_free = np.array([pool.num_free for pool in self._tables.pools])
        return bool(np.all(self._demand.num_pages + new.num_pages + spread <= num_free))

    def seat(self, slot: int, *, num_prompt: int, max_new: int, num_shared: int) -> None:
        """It has got the slot."""
        self._shared_cells[slot] = num_shared
        self._num_reserved += self._pages_at_most(num_prompt, max_new)
        self._demand = None

    def leave(self, slot: int) -> None:
        """The slot's sequence leaves it."""
        self._num_reserved -= self._pages_at_most(*self._progress.prompt_and_new(slot))

    def _pages_at_most(self, num_prompt: int, max_new: int) -> int:
        return -(-(num_prompt + max(max_new - 1, 0)) // self._page_size)

    def _of_seated(self) -> Demand:
        progress, tables = self._progress, self._tables
        slots = progress.max_stored.nonzero()[0]
        entries = tables.num_entries[slots]
        live = [tables.nums_live(group)[slots] for group in range(len(tables.pools))]
        return self._of(
            np.maximum(progress.num_stored, progress.num_input)[slots], progress.num_prompt[slots],
            progress.max_new[slots], np.maximum(entries, self._num_shared[slots]), live,
        )  # fmt: skip

    def _of(
        self, nums_input: np.ndarray, nums_prompt: np.ndarray, max_new: np.ndarray, shared: np.ndarray,
        live: list[np.ndarray],
    ) -> Demand:  # fmt: skip
        """What sequences are likely to take yet.

        Args:
            nums_input: tokens that they have, or will have when their prompts are in; nums_prompt: of their prompts.
            max_new: that they may make from the first on.
            shared: entries that they need not take.
            live: for each group the pages that they hold, or find.
        """
        rest, variance = self.use.remaining((nums_input - nums_prompt) / np.maximum(max_new, 1))
        most = nums_prompt + np.maximum(max_new - 1, 0)
        num_tokens = np.minimum(nums_input + np.ceil(rest * max_new), np.maximum(most, nums_input))
        num_pages = np.ceil(num_tokens / self._page_size)
        of_groups = [
            np.maximum(num_pages - shared, 0).sum()
            if most_pages is None
            else np.maximum(np.minimum(num_pages, most_pages) - held, 0).sum()
            for most_pages, held in zip(self._max_pages, live, strict=True)
        ]
        return Demand(np.array(of_groups), float((variance * max_new.astype(np.float64) ** 2).sum()))
