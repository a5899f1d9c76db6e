"""How many pages of the KV cache each page group gets. Numbers only: no device, no jax.

A group whose layers see all positions needs a sequence's pages all the time, one with a window only those that the
window still reaches. Each group has pages of its own, as its layers' caches have shapes of their own.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


def window_pages(window: int, *, page_size: int, max_span: int) -> int:
    """Pages that a sequence holds at most in a group that sees `window` positions.

    Args:
        max_span: tokens that one step stores of a sequence at most.
    """
    return -(-(window - 1) // page_size) + -(-max_span // page_size) + 1


def first_page_seen(position: int, window: int, page_size: int) -> int:
    """The first page of a sequence that its tokens from `position` on read. Of the page of `position` all are taken to
    be new, so that what ends there can be found again in a cache of whole pages."""
    return max(position // page_size * page_size - window + 1, 0) // page_size


@dataclass(frozen=True, slots=True)
class PageNeeds:
    """Of each page group.

    Attributes:
        page_bytes: of a page of all layers of the group.
        max_pages: that one sequence holds at most, however long it is; None: all of its pages.
    """

    page_bytes: tuple[int, ...]
    max_pages: tuple[int | None, ...]

    def of_sequence(self, num_pages: int) -> tuple[int, ...]:
        """What a sequence of `num_pages` pages holds at most."""
        return tuple(num_pages if most is None else min(most, num_pages) for most in self.max_pages)

    def num_bytes(self, num_pages: tuple[int, ...]) -> int:
        """Of so many pages, and page 0 on top."""
        return sum((num + 1) * size for num, size in zip(num_pages, self.page_bytes, strict=True))

    def longest_within(self, num_bytes: int, *, limit: int) -> int:
        """The most pages that a single sequence can have; at most `limit`."""
        return bisect_right(range(limit + 1), num_bytes, key=lambda num: self.num_bytes(self.of_sequence(num))) - 1

    def shares(self, num_pages: int, *, of_longest: tuple[int, ...], num_slots: int) -> tuple[int, ...]:
        """`num_pages` for each group, or less where all slots at full length need less; enough for one of them."""
        return tuple(max(one, min(num_pages, num_slots * one)) for one in of_longest)

    def most_within(self, num_bytes: int, *, of_longest: tuple[int, ...], num_slots: int) -> int:
        """The largest argument of `shares` that fits; -1 where none does."""
        limit = num_slots * max(of_longest)

        def size(num_pages: int) -> int:
            return self.num_bytes(self.shares(num_pages, of_longest=of_longest, num_slots=num_slots))

        return bisect_right(range(limit + 1), num_bytes, key=size) - 1
