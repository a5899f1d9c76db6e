"""The pages of the KV cache: which are free, which are taken. Knows ids, not what is written in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


class PagePool:
    """A stack of free page ids.

    Ids run from 1 to `num_pages`; page 0 is the device's trash page and never handed out. The page freed last is
    given out first. Exact: every page is either on the stack or held by one caller.

    A list and a set: most sequences have a few pages, for which numpy's calls take longer than all else of a join.
    """

    def __init__(self, num_pages: int) -> None:
        self.num_pages = num_pages
        self._free = list(range(num_pages, 0, -1))
        self._taken: set[int] = set()

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def num_in_use(self) -> int:
        return self.num_pages - len(self._free)

    def take(self, num: int) -> np.ndarray:
        """Takes `num` pages, which must be free: int32 [num]."""
        first = len(self._free) - num
        assert 0 <= first <= len(self._free), f"{num} pages asked for, {self.num_free} free"
        pages = self._free[first:]
        del self._free[first:]
        self._taken.update(pages)
        return int32s(pages)

    def give_back(self, pages: np.ndarray) -> None:
        """Frees what `take` returned."""
        ids = pages.tolist()
        assert self._taken.issuperset(ids), "a page was given back twice"
        self._taken.difference_update(ids)
        self._free += ids

    def check_integrity(self, held: Iterable[np.ndarray]) -> None:
        """Asserts that free pages and the callers' `held` ones are together every page once."""
        ids = np.sort(np.concatenate([int32s(self._free), *held]))
        assert np.array_equal(ids, np.arange(1, self.num_pages + 1)), "pages lost or held twice"


def int32s(ids: Sequence[int]) -> np.ndarray:
    """A new array of the same, int32 [N]: as `np.array`, but it does not look through them first."""
    return np.fromiter(ids, np.int32, len(ids))
