"""Page accounting against sets."""

import random

import pytest

from penstock.scheduler.page_pool import PagePool


def test_pages_are_handed_out_once_and_never_page_zero():
    pool = PagePool(10)
    taken = pool.take(3) + pool.take(7)
    assert sorted(taken) == list(range(1, 11))
    assert (pool.num_free, pool.num_in_use) == (0, 10)


class Twin:
    """What is known by which name, and who may be evicted: sets and lists, looked through."""

    def __init__(self, num_pages: int) -> None:
        self.held = dict.fromkeys(range(1, num_pages + 1), 0)
        self.names: dict[int, bytes] = {}
        self.idle: list[int] = []  # the longest unused first

    def free(self) -> set[int]:
        return {page for page, num in self.held.items() if num == 0}

    def take(self, pages: list[int]) -> None:
        num_blank = len(self.free()) - len(self.idle)
        assert set(pages) <= self.free()
        evicted = self.idle[: max(len(pages) - num_blank, 0)]
        assert [page for page in pages if page in self.idle] == evicted, "blank ones first, then the longest unused"
        for page in pages:
            self.held[page] = 1
            self.names.pop(page, None)
        del self.idle[: len(evicted)]

    def hold(self, page: int) -> None:
        self.held[page] += 1
        if page in self.idle:
            self.idle.remove(page)

    def give_back(self, pages: list[int]) -> None:
        for page in pages:
            self.held[page] -= 1
            if self.held[page] == 0 and page in self.names:
                self.idle.append(page)


@pytest.mark.parametrize("seed", range(4))
def test_random_holders_and_names_equal_a_twin(seed):
    rng, evicted = random.Random(seed), []
    pool, twin, holders = PagePool(30, on_evict=evicted.append), Twin(30), []
    for _ in range(1500):
        action = rng.random()
        if action < 0.35 and holders:
            pages = holders.pop(rng.randrange(len(holders)))
            pool.give_back(pages)
            twin.give_back(pages)
        elif action < 0.65:
            known = len(twin.names)
            pages = pool.take(rng.randint(0, min(6, pool.num_free)))
            twin.take(pages)
            assert len(evicted) == known - len(twin.names)
            evicted.clear()
            holders.append(pages)
        elif action < 0.8 and holders and (pages := rng.choice(holders)):
            page, name = rng.choice(pages), bytes([rng.randrange(60)])
            pool.give_name(page, name)
            if page not in twin.names and name not in twin.names.values():
                twin.names[page] = name
        elif action < 0.95 and twin.names:
            page, name = rng.choice(list(twin.names.items()))
            assert pool.find(name) == page
            assert pool.is_held(page) == (twin.held[page] > 0)
            pool.hold([page])
            twin.hold(page)
            holders.append([page])
        elif holders:
            pages = rng.choice(holders)
            pool.forget(pages)
            for page in pages:
                twin.names.pop(page, None)
        assert pool.num_free == len(twin.free())
        assert [pool.find(bytes([number])) for number in range(60)] == [
            next((page for page, name in twin.names.items() if name == bytes([number])), None) for number in range(60)
        ]
        pool.check_integrity(holders)


def test_a_page_given_back_twice_is_caught():
    pool = PagePool(4)
    pages = pool.take(2)
    pool.give_back(pages)
    with pytest.raises(AssertionError, match="twice"):
        pool.give_back(pages)


def test_a_lost_page_is_caught():
    pool = PagePool(4)
    pool.take(2)
    with pytest.raises(AssertionError, match="lost"):
        pool.check_integrity([])


def test_nothing_is_found_once_all_is_forgotten():
    pool = PagePool(4)
    pages = pool.take(3)
    for page in pages:
        pool.give_name(page, bytes([page]))
    pool.give_back(pages[:2])
    pool.forget_all()
    assert [pool.find(bytes([page])) for page in pages] == [None] * 3
    pool.check_integrity([pages[2:]])
