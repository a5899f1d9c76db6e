"""Finds the pages that hold the beginning of a prompt already, whoever computed them.

A page's name is a hash of all tokens up to its end and of the request's salt (`_core.page_hashes`), so what is found by
it holds the right keys and values in every layer. Where these depend on the prompt's length, that is hashed, too. Only
whole pages are shared, and none of them is written to again. In a group with a window a beginning can be used where the
pages are there that its next token still sees.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, NamedTuple

from penstock._core import PAGE_HASH_BYTES, page_hashes
from penstock.engine.interface import Capacity
from penstock.engine.page_plan import first_page_seen
from penstock.generation import PageNames, Prompt
from penstock.scheduler.page_pool import PagePool, int32s

#: Salts that are remembered as seen.
_MAX_SALTS = 1024


class CacheReport(NamedTuple):
    """Where and why a prompt left what was cached.

    Attributes:
        num_cached_tokens: taken from the cache.
        reason: "whole": all that can be, for the last token is always computed, and pages are whole; "evicted": the
            next page was there once; "differs": the next page is not what followed the cached ones before; "new":
            nothing is known that began like this; "salt": nothing was computed under this salt yet; "off": the request
            reads nothing from a cache, or there is none.
        token: the first token of the prompt that was not found, at the beginning of a page.
    """

    num_cached_tokens: int
    reason: Literal["whole", "evicted", "differs", "new", "salt", "off"]
    token: int


class PrefixCache:
    """Over the pools of all page groups. For the engine's thread, but for `names_of`.

    Args:
        is_on: whether anything is named and found at all.

    Attributes:
        pools: of each group.
    """

    def __init__(self, capacity: Capacity, *, is_on: bool) -> None:
        self.is_on = is_on
        self.pools = tuple(PagePool(num, on_evict=self._remember) for num in capacity.num_pages)
        self._page_size = capacity.page_size
        self._windows = capacity.windows
        self._length_borders = capacity.length_borders
        self._max_evicted = max(capacity.num_pages)
        self._evicted: OrderedDict[bytes, None] = OrderedDict()  # names, as many as there are pages
        self._followed: OrderedDict[bytes, None] = OrderedDict()  # names that another page followed, likewise
        self._salts: OrderedDict[str, None] = OrderedDict()

    # ---- names

    def names_of(self, prompt: Prompt, salt: str) -> list[bytes]:
        """Of the whole pages of a prompt, kept with it. From any thread: for a long prompt it is work that the engine's
        should be spared."""
        if not self.is_on or prompt.ids is None:
            return []
        known = prompt.page_names
        if known is None or (known.page_size, known.salt) != (self._page_size, salt):
            is_short = prompt.num_tokens < self._page_size
            names = [] if is_short else self.chain(int32s(prompt.ids), salt=salt, prompt_length=prompt.num_tokens)
            known = prompt.page_names = PageNames(self._page_size, salt, names)
        return known.names

    def chain(self, ids: object, *, salt: str, prompt_length: int, parent: bytes | None = None) -> list[bytes]:
        """The names of the whole pages of `ids`, int32 [T], that follow `parent`."""
        if self._length_borders:
            salt = f"{sum(prompt_length > border for border in self._length_borders)}:{salt}"
        joined = page_hashes(ids, self._page_size, salt=salt, parent=parent)  # type: ignore[arg-type]  # a buffer
        return [joined[start : start + PAGE_HASH_BYTES] for start in range(0, len(joined), PAGE_HASH_BYTES)]

    # ---- finding

    def num_found(self, names: list[bytes], limit: int) -> int:
        """How many pages at the beginning of a sequence can be used, `limit` at most."""
        best, runs = 0, [0] * len(self.pools)
        needs = list(zip(self.pools, self._windows, strict=True))
        for num, name in enumerate(names[:limit], 1):
            can_use = True
            for group, (pool, window) in enumerate(needs):
                runs[group] = runs[group] + 1 if pool.find(name) is not None else 0
                if window is not None:
                    can_use &= runs[group] >= num - first_page_seen(num * self._page_size, window, self._page_size)
                elif runs[group] < num:
                    return best
            if can_use:
                best = num
        return best

    def pages(self, names: list[bytes], first: int, end: int) -> list[list[int]]:
        """For each group the pages `first` to `end` of a sequence that can use `end`; 0 for those that a window has
        passed."""
        found = []
        for pool, window in zip(self.pools, self._windows, strict=True):
            passed = 0 if window is None else first_page_seen(end * self._page_size, window, self._page_size)
            num_passed = min(max(passed - first, 0), end - first)
            kept = [pool.find(name) or 0 for name in names[first + num_passed : end]]
            assert all(kept), "a page that was found is gone"
            found.append([0] * num_passed + kept)
        return found

    def num_held(self, names: list[bytes], end: int) -> int:
        """How many of the first `end` pages somebody holds: they cost a newcomer nothing. The least of all groups."""
        found = self.pages(names, 0, end)
        held = [
            sum(pool.is_held(page) for page in pages if page) for pool, pages in zip(self.pools, found, strict=True)
        ]
        return min(held)

    # ---- what is remembered

    def note(self, names: list[bytes], first: int, salt: str) -> None:
        """The pages from `first` on were given these names: for reports."""
        if salt:
            _keep(self._salts, salt, _MAX_SALTS)
        for name in names[max(first - 1, 0) : -1]:
            _keep(self._followed, name, self._max_evicted)
        for name in names[first:]:
            self._evicted.pop(name, None)

    def _remember(self, name: bytes) -> None:
        _keep(self._evicted, name, self._max_evicted)

    def report(self, names: list[bytes], num_cached: int, limit: int, salt: str) -> CacheReport:
        """Why no more than `num_cached` pages of a prompt could be used, `limit` being all that could have been."""
        token = num_cached * self._page_size
        if not self.is_on or limit < 0:
            return CacheReport(token, "off", token)
        if num_cached >= limit:
            return CacheReport(token, "whole", token)
        if names[num_cached] in self._evicted:
            return CacheReport(token, "evicted", token)
        if num_cached == 0:
            return CacheReport(0, "salt" if salt and salt not in self._salts else "new", 0)
        return CacheReport(token, "differs" if names[num_cached - 1] in self._followed else "new", token)

    def forget_all(self) -> None:
        """The device's cache is gone."""
        for pool in self.pools:
            pool.forget_all()
        self._followed.clear()
        self._evicted.clear()


def _keep(memory: OrderedDict[bytes, None] | OrderedDict[str, None], key: bytes | str, limit: int) -> None:
    memory[key] = None  # type: ignore[index]  # each memory has keys of one kind
    memory.move_to_end(key)  # type: ignore[arg-type]
    if len(memory) > limit:
        memory.popitem(last=False)
