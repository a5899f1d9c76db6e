"""What is computed once and found again, by whom, and why something was not found; against the fake device."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeHub, FakeRunner, make_request, naive_tokens, small_capacity

from penstock._core import PAGE_HASH_BYTES, page_hashes
from penstock.engine.page_plan import first_page_seen
from penstock.scheduler.page_pool import PagePool
from penstock.scheduler.prefix_cache import PrefixCache
from penstock.scheduler.scheduler import Scheduler

PAGE = 4


def make_scheduler(*, prefix_caching=True, **capacity):
    capacity = {"num_pages": 40, "max_prefill_tokens": 64, "max_model_len": 120, **capacity}
    runner, hub = FakeRunner(small_capacity(**capacity)), FakeHub()
    return Scheduler(runner, hub, prefix_caching=prefix_caching), runner, hub


def run(scheduler, *requests):
    for request in requests:
        scheduler.submit(request)
    while not scheduler.is_idle:
        scheduler.step()
        scheduler.check_integrity()


def tokens(num, *, seed=0):
    rng = random.Random(seed)
    return [rng.randrange(20) for _ in range(num)]


@pytest.mark.parametrize("windows", [(None,), (6,), (None, 6)])
def test_a_prompt_is_computed_once_and_its_last_token_always(windows):
    scheduler, runner, hub = make_scheduler(num_pages=(40,) * len(windows), windows=windows)
    prompt = tokens(16)
    run(scheduler, make_request(1, [prompt], 3))
    assert runner.num_computed == 16
    run(scheduler, make_request(2, [prompt], 3))
    assert runner.num_computed == 16 + 4
    run(scheduler, make_request(3, [[*prompt, 1]], 3))
    assert runner.num_computed == 16 + 4 + 1
    assert hub.scheduled == {1 << 12: 0, 2 << 12: 12, 3 << 12: 16}


def test_choices_of_a_prompt_compute_it_once():
    scheduler, runner, hub = make_scheduler(num_slots=8)
    request = make_request(1, [tokens(19), tokens(10, seed=1)], 9, n=4, seed=3)
    run(scheduler, request)
    assert runner.num_computed == (19 + 3 * 3) + (10 + 3 * 2)
    assert [hub.scheduled[request.stream_key | index] for index in range(8)] == [0, 16, 16, 16, 0, 8, 8, 8]
    for index in range(8):
        assert hub.tokens[request.stream_key | index] == naive_tokens(request, index, stop_ids=())[0]


def test_choices_go_on_when_the_first_one_ends_before_its_prompt_is_in():
    scheduler, _, hub = make_scheduler(num_slots=8, max_prefill_tokens=8)
    request = make_request(1, [tokens(30)], 5, n=3, seed=3)
    scheduler.submit(request)
    scheduler.step()
    scheduler._planner.end_rows([request.stream_key])  # as a hub does that has lost it
    run(scheduler)
    assert [len(hub.tokens.get(request.stream_key | index, ())) for index in range(3)] == [0, 5, 5]


@pytest.mark.parametrize("pipeline_depth", [1, 2])
@pytest.mark.parametrize("windows", [(None,), (6,), (None, 6)])
def test_the_next_turn_finds_the_last_answer(windows, pipeline_depth):
    scheduler, runner, hub = make_scheduler(
        num_pages=(40,) * len(windows), windows=windows, pipeline_depth=pipeline_depth
    )
    history = tokens(9)
    for turn in range(1, 6):
        runner.num_computed = 0
        run(scheduler, make_request(turn, [history], 9, seed=turn))
        if turn > 1:
            # All that was stored in whole pages: of an answer every token but the last.
            num_stored = len(history) - 3 - 1
            assert hub.scheduled[turn << 12] == num_stored // PAGE * PAGE
            assert runner.num_computed == len(history) - num_stored // PAGE * PAGE
        history = [*history, *hub.tokens[turn << 12], *tokens(3, seed=turn)]


def test_salts_share_nothing():
    scheduler, runner, hub = make_scheduler()
    prompt = tokens(16)
    salts = ["", "one", "two", "one", ""]
    for stream, salt in enumerate(salts, 1):
        run(scheduler, replace(make_request(stream, [prompt], 3), cache_salt=salt))
    assert list(hub.scheduled.values()) == [0, 0, 0, 12, 12]
    assert runner.num_computed == 3 * 16 + 2 * 4


def test_prompt_logprobs_write_cached_pages_and_read_none():
    scheduler, runner, hub = make_scheduler()
    prompt = tokens(16)
    for stream in (1, 2):
        run(scheduler, make_request(stream, [prompt], 3, prompt_logprobs=1))
    run(scheduler, make_request(3, [prompt], 3))
    assert list(hub.scheduled.values()) == [0, 0, 12]
    assert runner.num_scored == {1 << 12: 16, 2 << 12: 16}


def test_a_prompt_on_the_other_side_of_a_length_border_shares_no_page():
    """Longrope rotates keys by other factors there: pages of the short prompt were wrong for the long one."""
    scheduler, _, hub = make_scheduler(length_borders=(16,))
    short = tokens(16)
    long, longer = [*short, 1, 2, 3, 4], [*short, 1, 2, 3, 4, 5, 6, 7, 8]
    for stream, prompt in enumerate([short, long, short, longer, [*short[:4], 9]], 1):
        run(scheduler, make_request(stream, [prompt], 9))
    assert list(hub.scheduled.values()) == [0, 0, 12, 20, 4]


def test_nothing_is_found_where_it_is_off_or_was_lost_with_the_device(caplog):
    prompt = tokens(16)
    scheduler, _, hub = make_scheduler(prefix_caching=False)
    for stream in (1, 2):
        run(scheduler, make_request(stream, [prompt], 3))
    assert set(hub.scheduled.values()) == {0}
    scheduler, runner, hub = make_scheduler()
    run(scheduler, make_request(1, [prompt], 3))
    runner.faults = ["decode"]
    run(scheduler, make_request(2, [prompt], 3))
    run(scheduler, make_request(3, [prompt], 3))
    assert (list(hub.failed), list(hub.scheduled.values())) == ([2 << 12], [0, 12, 0])


def test_what_was_not_a_number_is_not_found(caplog):
    scheduler, runner, hub = make_scheduler()
    prompt = tokens(16)
    runner.broken_tokens = {prompt[0]}
    run(scheduler, make_request(1, [prompt], 3))
    assert hub.failed == {1 << 12: "engine_error"}
    runner.broken_tokens = set()
    run(scheduler, make_request(2, [prompt], 3))
    assert hub.scheduled[2 << 12] == 0


def test_pages_that_fit_no_more_go_from_the_end_of_what_was_unused_longest():
    scheduler, _, hub = make_scheduler(num_pages=12)
    old, new = tokens(24), tokens(24, seed=1)
    run(scheduler, make_request(1, [old], 1))
    run(scheduler, make_request(2, [new], 1))  # 6 pages each
    run(scheduler, make_request(3, [tokens(8, seed=2)], 1))  # takes the last two of the first one
    assert list(reports(scheduler, old[:22])) == [(16, "evicted", 16)]
    run(scheduler, make_request(4, [old[:22]], 1))
    assert hub.scheduled[4 << 12] == 16
    assert list(reports(scheduler, old[:22])) == [(20, "whole", 20)]


def test_the_hub_is_told_why_where_a_request_asks():
    scheduler, _, hub = make_scheduler()
    prompt, asks = tokens(16), {"wants_cache_report": True}
    run(scheduler, replace(make_request(1, [prompt], 1), **asks))
    run(scheduler, replace(make_request(2, [prompt], 1, n=2), **asks))
    run(scheduler, replace(make_request(3, [prompt], 1), cache_salt="mine", **asks))
    run(scheduler, replace(make_request(4, [[*prompt[:9], 21, *prompt[10:]]], 1), **asks))
    run(scheduler, replace(make_request(5, [prompt], 1, prompt_logprobs=1), **asks))
    run(scheduler, make_request(6, [prompt], 1))
    assert {key >> 12: reason for key, reason in hub.cache_exits.items() if not key & 0xFFF} == {
        1: "new", 2: "whole", 3: "salt", 4: "differs", 5: "off",
    }  # fmt: skip


def reports(scheduler, *prompts, salt=""):
    for prompt in prompts:
        request = make_request(99, [prompt], 1)
        names = scheduler.cache.names_of(request.prompts[0], salt)
        limit = (len(prompt) - 1) // PAGE
        yield scheduler.cache.report(names, scheduler.cache.num_found(names, limit), limit, salt)


def test_a_report_tells_where_and_why_a_prompt_left_the_cache():
    scheduler, _, _ = make_scheduler()
    prompt = tokens(16)
    run(scheduler, make_request(1, [prompt], 1))
    found = list(reports(scheduler, prompt, [*prompt[:9], 21, *prompt[10:]], [21, *prompt], [*prompt, 1, 2, 3, 4, 5]))
    assert found == [(12, "whole", 12), (8, "differs", 8), (0, "new", 0), (16, "new", 16)]
    assert list(reports(scheduler, prompt, salt="mine")) == [(0, "salt", 0)]
    run(scheduler, replace(make_request(2, [prompt], 1), cache_salt="mine"))
    assert list(reports(scheduler, prompt, [21, *prompt], salt="mine")) == [(12, "whole", 12), (0, "new", 0)]
    off, _, _ = make_scheduler(prefix_caching=False)
    assert list(reports(off, prompt)) == [(0, "off", 0)]


@pytest.mark.parametrize("windows", [(None,), (1,), (6,), (None, 6), (9, 3), (None, 5, 17)])
def test_the_longest_beginning_is_found_that_every_group_can_use(windows):
    """Against the plain rule, over random sets of pages that are there."""
    rng = random.Random(len(windows))
    for _ in range(300):
        num = rng.randint(1, 9)
        cache = PrefixCache(small_capacity(num_pages=(20,) * len(windows), windows=windows), is_on=True)
        names = [bytes([number]) for number in range(num)]
        there = [{number for number in range(num) if rng.random() < 0.75} for _ in windows]
        for pool, numbers in zip(cache.pools, there, strict=True):
            for number in numbers:
                pool.give_name(pool.take(1)[0], names[number])
        want = max(
            end
            for end in range(num + 1)
            if all(
                set(range(0 if window is None else first_page_seen(end * PAGE, window, PAGE), end)) <= numbers
                for window, numbers in zip(windows, there, strict=True)
            )
        )
        assert cache.num_found(names, num) == want
        for pages, pool, window in zip(cache.pages(names, 0, want), cache.pools, windows, strict=True):
            passed = 0 if window is None else first_page_seen(want * PAGE, window, PAGE)
            assert pages == [0] * passed + [pool.find(name) for name in names[passed:want]]


def test_names_are_of_all_tokens_up_to_a_page_and_nobody_else_can_make_them():
    ids = np.array(tokens(40), np.int32)
    names = page_hashes(ids, PAGE)
    assert len(names) == 10 * PAGE_HASH_BYTES
    assert len({names[start : start + PAGE_HASH_BYTES] for start in range(0, len(names), PAGE_HASH_BYTES)}) == 10
    for cut in (0, 4, 20):
        parent = names[(cut // PAGE - 1) * PAGE_HASH_BYTES :][:PAGE_HASH_BYTES] if cut else None
        assert page_hashes(ids[cut:], PAGE, parent=parent) == names[cut // PAGE * PAGE_HASH_BYTES :]
    changed = [ids.copy() for _ in range(8)]
    for place, copy in enumerate(changed):
        copy[place] += 1
    firsts = {page_hashes(copy, PAGE)[-PAGE_HASH_BYTES:] for copy in [ids, *changed]}
    assert len(firsts) == 9
    salted = [page_hashes(ids, PAGE, salt=salt) for salt in ("", "a", "b")]
    assert all(a != b for a, b in itertools.combinations(salted, 2))
    with pytest.raises(ValueError, match="no tokens"):
        page_hashes(ids, 0)
    with pytest.raises(ValueError, match="no name"):
        page_hashes(ids, PAGE, parent=b"short")


def test_a_name_that_another_page_has_stays_there():
    pool = PagePool(4)
    first, second = pool.take(2)
    pool.give_name(first, b"a")
    pool.give_name(second, b"a")
    assert pool.find(b"a") == first
    pool.give_back([first])
    pool.take(3)
    assert pool.find(b"a") is None
