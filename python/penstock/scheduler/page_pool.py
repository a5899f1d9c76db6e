"""The pages of the KV cache: which are free, which are taken. Knows ids, not what is written in them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


class PagePool:
    """A stack of free page ids.

    Ids run from 1 to `num_pages`; page 0 is the device's trash page and never handed out. The page freed last is
    given out first. Exact: every page is either on the stack or held by one caller.
    """

    def __init__(self, num_pages: int) -> None:
        self.num_pages = num_pages
        self.num_free = num_pages
        self._stack = np.arange(num_pages, 0, -1, dtype=np.int32)  # free ids are _stack[:num_free]
        self._is_taken = np.zeros(num_pages + 1, bool)

    @property
    def num_in_use(self) -> int:
        return self.num_pages - self.num_free

    def take(self, num: int) -> np.ndarray:
        """Takes `num` pages, which must be free: int32 [num]."""
        assert 0 <= num <= self.num_free, f"{num} pages asked for, {self.num_free} free"
        pages = self._stack[self.num_free - num : self.num_free].copy()
        self.num_free -= num
        self._is_taken[pages] = True
        return pages

    def give_back(self, pages: np.ndarray) -> None:
        """Frees what `take` returned."""
        assert self._is_taken[pages].all(), "a page was given back twice"
        self._is_taken[pages] = False
        self._stack[self.num_free : self.num_free + len(pages)] = pages
        self.num_free += len(pages)

    def check_integrity(self, held: Iterable[np.ndarray]) -> None:
        """Asserts that free pages and the callers' `held` ones are together every page once."""
        ids = np.sort(np.concatenate([self._stack[: self.num_free], *held]))
        assert np.array_equal(ids, np.arange(1, self.num_pages + 1)), "pages lost or held twice"
