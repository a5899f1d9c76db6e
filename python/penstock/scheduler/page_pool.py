"""The pages of one page group: which are free, who holds the others, and which can be found again by a name.

Knows ids and names, not what is written in a page or whose it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np


class PagePool:
    """Ids run from 1 to `num_pages`; page 0 is the device's trash page and never handed out.

    A page is held, by one or more; or idle: free, but its name still finds it; or blank. Blank ones are taken first,
    the one freed last before all; then the idle one that was unused longest, whose name is forgotten. Exact: the counts
    of holders are what callers have taken and not given back.

    Python's own containers: most sequences have a few pages, for which numpy's calls take longer than all else.

    Args:
        on_evict: told the name of an idle page that was taken.
    """

    def __init__(self, num_pages: int, *, on_evict: Callable[[bytes], None] = lambda _: None) -> None:
        self.num_pages = num_pages
        self._on_evict = on_evict
        self._blank = list(range(num_pages, 0, -1))
        self._idle: dict[int, None] = {}  # the longest unused first
        self._num_holders = [0] * (num_pages + 1)
        self._pages: dict[bytes, int] = {}  # by name
        self._names: dict[int, bytes] = {}  # by page

    @property
    def num_free(self) -> int:
        """Blank and idle ones."""
        return len(self._blank) + len(self._idle)

    @property
    def num_in_use(self) -> int:
        return self.num_pages - self.num_free

    def take(self, num: int) -> list[int]:
        """Takes `num` pages, which must be free, for one holder. They have no name."""
        assert 0 <= num <= self.num_free, f"{num} pages asked for, {self.num_free} free"
        first = max(len(self._blank) - num, 0)
        pages = self._blank[first:]
        del self._blank[first:]
        while len(pages) < num:
            pages.append(self._evict())
        for page in pages:
            self._num_holders[page] = 1
        return pages

    def _evict(self) -> int:
        page = next(iter(self._idle))
        del self._idle[page]
        name = self._names.pop(page)
        del self._pages[name]
        self._on_evict(name)
        return page

    def hold(self, pages: Iterable[int]) -> None:
        """One more holder of each of `pages`, which have been found by their names."""
        for page in pages:
            if self._num_holders[page] == 0:
                del self._idle[page]
            self._num_holders[page] += 1

    def give_back(self, pages: Iterable[int]) -> None:
        """One holder less of each. Of those that become idle the first is the first to be taken."""
        for page in pages:
            assert self._num_holders[page] > 0, "a page was given back twice"
            self._num_holders[page] -= 1
            if self._num_holders[page] == 0:
                if page in self._names:
                    self._idle[page] = None
                else:
                    self._blank.append(page)

    # ---- names

    def find(self, name: bytes) -> int | None:
        """The page of that name, held or idle."""
        return self._pages.get(name)

    def is_held(self, page: int) -> bool:
        return self._num_holders[page] > 0

    def give_name(self, page: int, name: bytes) -> None:
        """From now on `name` finds a held page. One that another page has stays that page's."""
        if name not in self._pages and page not in self._names:
            self._pages[name] = page
            self._names[page] = name

    def forget(self, pages: Iterable[int]) -> None:
        """Takes the names of held pages away: what they hold is not to be trusted."""
        for page in pages:
            name = self._names.pop(page, None)
            if name is not None:
                del self._pages[name]

    def forget_all(self) -> None:
        """Takes every name away: what the device had is gone."""
        self._blank += self._idle
        self._idle.clear()
        self._pages.clear()
        self._names.clear()

    def check_integrity(self, held: Iterable[Sequence[int]]) -> None:
        """Asserts that the callers' `held` pages have as many holders as it says, and every other page is free once."""
        num_holders = [0] * (self.num_pages + 1)
        for pages in held:
            for page in pages:
                num_holders[page] += 1
        assert num_holders[0] == 0, "page 0 is held"
        assert num_holders == self._num_holders, "pages lost or held twice"
        free = self._blank + list(self._idle)
        assert len(set(free)) == len(free), "a page is free twice"
        assert {page for page in range(1, self.num_pages + 1) if not num_holders[page]} == set(free), "pages lost"
        assert {page: name for name, page in self._pages.items()} == self._names, "names do not agree"
        assert self._idle.keys() <= self._names.keys(), "an idle page without a name"
        assert not self._names.keys() & set(self._blank), "a blank page with a name"


def int32s(ids: Sequence[int]) -> np.ndarray:
    """A new array of the same, int32 [N]: as `np.array`, but it does not look through them first."""
    return np.fromiter(ids, np.int32, len(ids))
