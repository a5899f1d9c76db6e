"""Who is next when a slot is free. Counts and names only: no pages, no device, no lock.

The policy. A tenant is an API key; without keys all requests are of one tenant.

- The tenant with the smallest dominant share is next: the larger of its parts of the slots and of the cache's tokens
  (Ghodsi et al., "Dominant Resource Fairness", NSDI 2011). Among equals, it is whoever has waited for its turn longest.
  So a tenant alone may have all slots, and once another one waits, that one gets each slot that becomes free until both
  have as much.
- Of a tenant, the lowest `priority` is next, then the request that came first, then its lowest choice. A sequence that
  was preempted is older than all that has not begun, so it stands in front of them.
- Nobody overtakes within a tenant. Where a tenant's next does not fit into the cache, others may pass it, MAX_PASSED
  times; then all wait until it fits. So a long prompt neither holds the others up nor starves.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeAlias

from penstock.scheduler.sequence import Generation, Sequence

#: Sequences of others that may join while a tenant's next one does not fit.
MAX_PASSED = 32

#: Tenants that are looked at for one that fits: bounds what a step costs in which nobody does.
MAX_LOOKED_AT = 8

#: A generation, of which the next choice waits; or a sequence that was preempted.
Waiting: TypeAlias = Generation | Sequence

_rank = attrgetter("rank")


@dataclass(slots=True, eq=False)
class Line:
    """What waits of one tenant.

    Attributes:
        waiting: by rank.
        num_passed: how often others joined while the first of it did not fit.
    """

    waiting: list[Waiting] = field(default_factory=list)
    num_passed: int = 0


class FairOrder:
    """The lines of all tenants, and what each tenant has in slots.

    Attributes:
        num_slots, num_cache_tokens: what there is to be shared. Set by who has it.
    """

    def __init__(self) -> None:
        self.num_slots = 1
        self.num_cache_tokens = 1
        self._lines: dict[str, Line] = {}  # by tenant; whose turn was longest ago stands first
        self._seated: dict[int, tuple[str, int]] = {}  # tenant and tokens, by row key
        self._num_seated: dict[str, int] = {}  # by tenant
        self._num_tokens: dict[str, int] = {}  # of the seated, by tenant

    def num_waiting(self, tenant: str) -> int:
        """Requests and preempted sequences of a tenant that wait."""
        line = self._lines.get(tenant)
        return 0 if line is None else len(line.waiting)

    def add(self, item: Waiting) -> None:
        """It waits from now on."""
        line = self._lines.setdefault(item.tenant, Line())
        insort(line.waiting, item, key=_rank)

    def discard(self, item: Waiting) -> None:
        """It waits no longer. Ignored where it did not."""
        line = self._lines.get(item.tenant)
        place = -1 if line is None else bisect_left(line.waiting, item.rank, key=_rank)
        if line is None or place == len(line.waiting) or line.waiting[place] is not item:
            return
        del line.waiting[place]
        if place == 0:
            line.num_passed = 0
        if not line.waiting:
            del self._lines[item.tenant]

    def clear(self) -> None:
        """Nothing waits any more."""
        self._lines.clear()

    def heads(self) -> list[Waiting]:
        """The next one of each tenant, whose turn it is first. Not of all, where there are many."""
        if len(self._lines) == 1:
            (line,) = self._lines.values()
            return line.waiting[:1]
        tenants = sorted(self._lines, key=self._dominant_share)[:MAX_LOOKED_AT]
        return [self._lines[tenant].waiting[0] for tenant in tenants]

    def may_be_passed(self, item: Waiting) -> bool:
        """Whether others may join before the next one of a tenant, which does not fit."""
        line = self._lines.get(item.tenant)
        return line is None or line.num_passed < MAX_PASSED

    def note_passed(self, items: list[Waiting]) -> None:
        """Somebody joins before them."""
        for item in items:
            if item.tenant in self._lines:
                self._lines[item.tenant].num_passed += 1

    def take_turn(self, tenant: str) -> None:
        """A tenant's next one joins: among equals, the tenant is the last now. Called while that one waits."""
        line = self._lines[tenant] = self._lines.pop(tenant)
        line.num_passed = 0

    def seat(self, sequence: Sequence) -> None:
        """A sequence got a slot."""
        tenant, num_tokens = sequence.tenant, len(sequence.prompt_ids)
        self._seated[sequence.row_key] = (tenant, num_tokens)
        self._num_seated[tenant] = self._num_seated.get(tenant, 0) + 1
        self._num_tokens[tenant] = self._num_tokens.get(tenant, 0) + num_tokens

    def leave(self, row_key: int) -> None:
        """A sequence has its slot no longer."""
        tenant, num_tokens = self._seated.pop(row_key)
        self._num_seated[tenant] -= 1
        self._num_tokens[tenant] -= num_tokens
        if self._num_seated[tenant] == 0:
            del self._num_seated[tenant], self._num_tokens[tenant]

    def _dominant_share(self, tenant: str) -> float:
        share_of_slots = self._num_seated.get(tenant, 0) / self.num_slots
        return max(share_of_slots, self._num_tokens.get(tenant, 0) / self.num_cache_tokens)

    def check_integrity(self, row_keys: set[int]) -> None:
        """Asserts that exactly `row_keys` are seated, and that the sums are theirs."""
        assert self._seated.keys() == row_keys, "a seat is counted for nobody, or not at all"
        assert sum(self._num_seated.values()) == len(row_keys), "seats by tenant do not add up"
        assert sum(self._num_tokens.values()) == sum(num for _, num in self._seated.values()), "tokens do not add up"
        assert all(line.waiting for line in self._lines.values()), "a tenant without anything in line"


def who_gives_way(sequences: Collection[Sequence]) -> Sequence:
    """Of those that have slots, the one that loses it where pages run out: of the tenant whose request came last of
    all, the one of the greatest rank. So a priority is no weapon against other tenants, and as long as there are
    several, whoever came first keeps what it has: nothing can lock up."""
    last = max(sequences, key=lambda each: each.rank[1:])
    return max((each for each in sequences if each.tenant == last.tenant), key=_rank)
