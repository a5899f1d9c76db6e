"""Which pages every slot has, in order: the host's side of the device's block tables, for all page groups.

A sequence has an entry for each page of its tokens, in every group the same number of them. In a group with a window
those that no token will see again are given back, and stand as 0. The device is not told of that: whatever a page
holds that a token does not see, it is left out there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from penstock.engine.interface import BlockTableChange, Capacity
from penstock.engine.page_plan import first_page_seen
from penstock.scheduler.cells import cells
from penstock.scheduler.page_pool import PagePool, int32s


class PageTables:
    """By slot.

    Attributes:
        pools: of each group.
        num_entries: int32 [S].
    """

    def __init__(self, capacity: Capacity, pools: tuple[PagePool, ...]) -> None:
        self.pools = pools
        self.num_entries = np.zeros(capacity.num_slots, np.int32)
        self._entry_cells = cells(self.num_entries)
        self._page_size = capacity.page_size
        self._windows = capacity.windows
        self._pages: list[list[list[int]]] = [[[] for _ in range(capacity.num_slots)] for _ in pools]
        self._firsts = [[0] * capacity.num_slots for _ in pools]  # the first entry that is not given back
        self._num_told = [0] * capacity.num_slots  # entries that the device knows
        self._untold: set[int] = set()  # slots with others

    @property
    def num_in_use(self) -> int:
        """Pages held, of all groups."""
        return sum(pool.num_in_use for pool in self.pools)

    def nums_live(self, group: int) -> np.ndarray:
        """int32 [S], pages that each slot holds in a group."""
        live: np.ndarray = self.num_entries - int32s(self._firsts[group])
        return live

    # ---- what a slot gets

    def adopt(self, slot: int, first: int, pages: Sequence[list[int]]) -> None:
        """Entries from `first` on, of pages that were found by name: for each group as many, 0 for those that its
        window has passed. What stood there was taken for a span that did not come to be, and goes back."""
        for pool, lists, firsts, new in zip(self.pools, self._pages, self._firsts, pages, strict=True):
            own, num_passed = lists[slot], new.count(0)
            pool.hold(new[num_passed:])
            pool.give_back(reversed(own[first:]))
            del own[first:]
            if num_passed:
                pool.give_back(reversed(own[firsts[slot] :]))
                own[:] = [0] * len(own)
                firsts[slot] = len(own) + num_passed
            own += new
        self._count(slot, len(self._pages[0][slot]))

    def num_missing(self, slot: int, num_tokens: int) -> int:
        """Entries that it lacks to hold so many tokens."""
        return max(-(-num_tokens // self._page_size) - self._entry_cells[slot], 0)

    def grow(self, slot: int, num_tokens: int, *, position: int) -> bool:
        """Entries for `num_tokens` tokens, of which those from `position` on are yet to be stored. False, and nothing
        is taken, where a group has too few free pages."""
        self._pass_window(slot, position)
        num = self.num_missing(slot, num_tokens)
        if num > self.num_free():
            return False
        if num:
            for pool, lists in zip(self.pools, self._pages, strict=True):
                lists[slot] += pool.take(num)
            self._count(slot, self._entry_cells[slot] + num)
        return True

    def num_free(self) -> int:
        """Entries that some slot could get."""
        return min(pool.num_free for pool in self.pools)

    def _pass_window(self, slot: int, position: int) -> None:
        for pool, lists, firsts, window in zip(self.pools, self._pages, self._firsts, self._windows, strict=True):
            if window is None:
                continue
            first, old = min(first_page_seen(position, window, self._page_size), len(lists[slot])), firsts[slot]
            if first > old:
                pool.give_back(lists[slot][old:first])
                lists[slot][old:first] = [0] * (first - old)
                firsts[slot] = first

    def _count(self, slot: int, num_entries: int) -> None:
        self._entry_cells[slot] = num_entries
        if num_entries > self._num_told[slot]:
            self._untold.add(slot)

    def clear(self, slot: int) -> None:
        """Gives all back, the last page first: beginnings are what others may share, so they stay longest."""
        for pool, lists, firsts in zip(self.pools, self._pages, self._firsts, strict=True):
            pool.give_back(reversed(lists[slot][firsts[slot] :]))
            lists[slot], firsts[slot] = [], 0
        self._entry_cells[slot] = self._num_told[slot] = 0
        self._untold.discard(slot)

    # ---- names

    def name(self, slot: int, first: int, names: Sequence[bytes]) -> None:
        """Gives the pages from entry `first` on their names."""
        for pool, lists, firsts in zip(self.pools, self._pages, self._firsts, strict=True):
            start = max(firsts[slot], first)
            for page, name in zip(lists[slot][start:], names[start - first :], strict=False):
                pool.give_name(page, name)

    def forget(self, slot: int) -> None:
        """Takes the names of its pages away."""
        for pool, lists, firsts in zip(self.pools, self._pages, self._firsts, strict=True):
            pool.forget(lists[slot][firsts[slot] :])

    # ---- what the device is told

    @property
    def has_untold(self) -> bool:
        """There is something to tell of some slot."""
        return bool(self._untold)

    def changes(self, slots: Iterable[int]) -> list[BlockTableChange]:
        """What the device does not know yet of those of `slots`."""
        changes = []
        for slot in self._untold.intersection(slots):
            told, self._num_told[slot] = self._num_told[slot], self._entry_cells[slot]
            for group, (lists, firsts) in enumerate(zip(self._pages, self._firsts, strict=True)):
                first = max(told, firsts[slot])
                if new := lists[slot][first:]:
                    changes.append(BlockTableChange(slot, group, first, int32s(new)))
            self._untold.discard(slot)
        return changes

    def check_integrity(self, slots: Iterable[int]) -> None:
        """Asserts that every page is held as often as the tables of `slots`, all that are seated, name it, and that
        windows hold no more than they need."""
        slots = list(slots)
        empty = set(range(len(self.num_entries))).difference(slots)
        for pool, lists, firsts in zip(self.pools, self._pages, self._firsts, strict=True):
            assert not any(lists[slot] for slot in empty), "an empty slot holds pages"
            pool.check_integrity([lists[slot][firsts[slot] :] for slot in slots])
            assert all(page == 0 for slot in slots for page in lists[slot][: firsts[slot]]), "a page behind the window"
            assert all(len(lists[slot]) == self.num_entries[slot] for slot in slots), "groups of different lengths"
