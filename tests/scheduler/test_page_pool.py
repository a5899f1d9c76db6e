"""Page accounting against a set."""

import random

import numpy as np
import pytest

from penstock.scheduler.page_pool import PagePool


def test_pages_are_handed_out_once_and_never_page_zero():
    pool = PagePool(10)
    taken = np.concatenate([pool.take(3), pool.take(7)])
    assert sorted(taken.tolist()) == list(range(1, 11))
    assert (pool.num_free, pool.num_in_use) == (0, 10)


def test_random_taking_and_giving_back_equals_a_set():
    rng, pool, free, held = random.Random(5), PagePool(50), set(range(1, 51)), []
    for _ in range(2000):
        if held and rng.random() < 0.5:
            pages = held.pop(rng.randrange(len(held)))
            pool.give_back(pages)
            free |= set(pages.tolist())
        else:
            pages = pool.take(rng.randint(0, min(9, pool.num_free)))
            assert set(pages.tolist()) <= free
            free -= set(pages.tolist())
            held.append(pages)
        assert pool.num_free == len(free)
        pool.check_integrity(held)


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
