"""Prompts whose states are wanted: pooled over spans, beside others that decode, and nothing left behind."""

import random

import numpy as np
import pytest
from fakes import FakeHub, FakeRunner, make_request, naive_pooled, naive_tokens, pooled_request, small_capacity

from penstock.pooling import Pooling
from penstock.scheduler.scheduler import Scheduler

LENGTH = 2


def run(scheduler: Scheduler) -> None:
    for _ in range(500):
        if scheduler.is_idle:
            return
        scheduler.step()
        scheduler.check_integrity()
    raise AssertionError("the scheduler never became idle")


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("pooling", Pooling)
def test_every_prompt_is_pooled_in_any_spans_and_company(pooling: Pooling, depth: int):
    runner, hub = FakeRunner(small_capacity(pipeline_depth=depth)), FakeHub()
    scheduler = Scheduler(runner, hub)
    prompts = [[3], list(range(1, 40)), [9, 8], list(range(5, 22)), [4] * 48]  # the last one fills the context
    request, config = pooled_request(1, prompts, pooling)
    others = [make_request(2, [[1, 2]], 12), make_request(3, [list(range(25))], 5)]
    for each in (others[0], request, others[1]):
        scheduler.submit(each)
    run(scheduler)
    got = request.vectors.embeddings(config)
    np.testing.assert_allclose(got, [naive_pooled(ids, pooling) for ids in prompts], rtol=1e-6)
    assert [hub.ends[request.stream_key | index] for index in range(5)] == [LENGTH] * 5
    assert all(hub.tokens[request.stream_key | index] == [] for index in range(5))
    for other in others:
        assert hub.tokens[other.stream_key] == naive_tokens(other, 0, stop_ids=())[0]
    assert scheduler.gauges == (0, 0, 0)


@pytest.mark.parametrize("seed", range(12))
def test_in_a_storm_of_few_pages_no_span_is_lost_or_counted_twice(seed: int):
    """Among others that grow and are preempted, and with tokens in the cache that only the last one's state may use."""
    rng = random.Random(seed)
    capacity = small_capacity(num_slots=rng.randint(2, 5), num_pages=rng.randint(13, 22), pipeline_depth=1 + seed % 2)
    scheduler = Scheduler(FakeRunner(capacity), FakeHub())
    shared = [rng.randrange(1, 20) for _ in range(20)]
    pooled = []
    for key in range(1, 13):
        ids = shared[: rng.randint(0, 20)] + [rng.randrange(1, 20) for _ in range(rng.randint(1, 20))]
        if key % 2:
            request, config = pooled_request(key, [ids, shared], rng.choice(list(Pooling)))
            pooled.append((request, config))
        else:
            request = make_request(key, [ids], rng.randint(1, 8), n=rng.choice([1, 2]))
        scheduler.submit(request)
        for _ in range(rng.randint(0, 3)):
            scheduler.step()
    run(scheduler)
    for request, config in pooled:
        want = [naive_pooled(list(prompt.ids), request.vectors._pooling) for prompt in request.prompts]
        np.testing.assert_allclose(request.vectors.embeddings(config), want, rtol=1e-5)


def test_a_prompt_whose_states_are_not_numbers_fails_its_request_alone():
    runner, hub = FakeRunner(small_capacity()), FakeHub()
    runner.broken_tokens = {13}
    scheduler = Scheduler(runner, hub)
    broken, _ = pooled_request(1, [[1, 2], [13, 1]], Pooling.MEAN)
    good, config = pooled_request(2, [[5, 7]], Pooling.MEAN)
    scheduler.submit(broken)
    scheduler.submit(good)
    run(scheduler)
    assert hub.failed == {broken.stream_key: "engine_error"}
    assert good.vectors.embeddings(config).tolist() == [[6.0, 0.5]]
    assert scheduler.gauges == (0, 0, 0)


def test_a_step_that_fails_takes_pooled_prompts_with_it_and_no_slot():
    runner, hub = FakeRunner(small_capacity()), FakeHub()
    runner.faults = ["span"]
    scheduler = Scheduler(runner, hub)
    first, _ = pooled_request(1, [[1, 2]], Pooling.LAST)
    scheduler.submit(first)
    run(scheduler)
    assert hub.failed == {first.stream_key: "engine_error"}
    second, config = pooled_request(2, [[1, 2]], Pooling.LAST)
    scheduler.submit(second)
    scheduler.cancel(first.stream_key)
    run(scheduler)
    assert second.vectors.embeddings(config).tolist() == [[2.0, 1.0]]


def test_vectors_are_cut_before_they_are_scaled():
    request, config = pooled_request(1, [[3]], Pooling.LAST, normalized=True)
    scheduler = Scheduler(FakeRunner(small_capacity()), FakeHub())
    scheduler.submit(request)
    run(scheduler)
    assert request.vectors.embeddings(config, num_dimensions=1).tolist() == [[1.0]]
