"""How a step's prompt tokens are shared: fairly among tenants, boundedly for one request, and all of them."""

import random

import numpy as np
import pytest
from fakes import make_request

from penstock.engine.program_set import prefill_buckets
from penstock.scheduler.prefill_budget import NUM_PARTS, PrefillBudget
from penstock.scheduler.sequence import Generation, Sequence

BUDGET = 64


class Prompts:
    """A budget, with what a planner does around it."""

    def __init__(self, *, max_tokens=BUDGET, max_spans=8, span_sizes=(), max_tokens_beside=None, is_mixed=False):
        self.budget = PrefillBudget(
            max_tokens=max_tokens, max_tokens_beside=max_tokens_beside, max_spans=max_spans, span_sizes=span_sizes,
            is_mixed=is_mixed,
        )  # fmt: skip
        self.num_arrived = 0

    def add(self, num_tokens, tenant="", *, priority=0, n=1):
        self.num_arrived += 1
        prompt = np.ones(num_tokens, np.int32).tolist()
        request = make_request(self.num_arrived, [prompt], 4, n=n, tenant=tenant, priority=priority)
        generation = Generation(request, arrival=self.num_arrived)
        sequences = [Sequence.begin(generation, index) for index in range(n)]
        for sequence in sequences:
            self.budget.add(sequence)
        return sequences[0]

    def step(self, *, is_beside=False):
        chosen = self.budget.choose(is_beside=is_beside)
        for sequence, num_tokens in chosen:
            assert 0 < num_tokens <= sequence.num_to_prefill
            sequence.num_prefilled += num_tokens
            if sequence.num_to_prefill == 0:
                self.budget.discard(sequence)
        return chosen

    def told(self, *, is_beside=False):
        """The next step as (stream, tokens)."""
        return [(sequence.stream_key >> 12, num_tokens) for sequence, num_tokens in self.step(is_beside=is_beside)]


def test_a_lone_prompt_gets_the_whole_step():
    prompts = Prompts()
    prompts.add(150)
    assert [prompts.told() for _ in range(4)] == [[(1, 64)], [(1, 64)], [(1, 22)], []]


def test_beside_rows_that_decode_a_step_computes_less_of_prompts():
    prompts = Prompts(max_tokens_beside=16)
    prompts.add(150)
    assert prompts.told() == [(1, 64)]
    assert prompts.told(is_beside=True) == [(1, 16)]
    prompts.add(4)
    assert prompts.told(is_beside=True) == [(1, 12), (2, 4)], "a short prompt waits for a long one"


def test_one_span_stands_beside_rows_and_a_short_prompt_waits_for_a_step_of_a_long_one():
    prompts = Prompts(max_tokens=128, max_tokens_beside=32, span_sizes=(16, 32, 64, 128), is_mixed=True)
    for num_tokens in (200, 40, 7):
        prompts.add(num_tokens)
    steps = [prompts.told(is_beside=True) for _ in range(6)]
    assert steps == [[(1, 32)], [(3, 7)], [(1, 32)], [(2, 32)], [(1, 32)], [(2, 8)]]
    assert prompts.told() == [(1, 104)]


def test_tenants_take_turns_in_the_only_span_beside_rows():
    prompts = Prompts(max_tokens_beside=16, is_mixed=True)
    for _ in range(5):
        prompts.add(100, "greedy")
    prompts.add(100, "modest")
    spent = {"greedy": 0, "modest": 0}
    for _ in range(10):
        ((sequence, num_tokens),) = prompts.step(is_beside=True)
        spent[sequence.tenant] += num_tokens
    assert spent == {"greedy": 80, "modest": 80}


def test_beside_rows_that_decode_no_span_is_padded_past_the_step():
    prompts = Prompts(max_tokens=128, max_tokens_beside=32, span_sizes=(16, 32, 64, 128))
    for num_tokens in (100, 20, 7):
        prompts.add(num_tokens)
    assert prompts.told(is_beside=True) == [(1, 16), (2, 16)]
    assert prompts.told(is_beside=True) == [(1, 16), (2, 4)]
    assert prompts.told(is_beside=True) == [(1, 16), (3, 7)]
    assert prompts.told(is_beside=True) == [(1, 32)]


def test_a_short_prompt_does_not_wait_for_a_long_one_of_the_same_tenant():
    prompts = Prompts()
    prompts.add(1000)
    prompts.add(10)
    assert prompts.told() == [(1, 54), (2, 10)]
    assert prompts.told() == [(1, 64)]


def test_tenants_have_equal_parts_however_many_requests_each_has():
    prompts = Prompts()
    for _ in range(6):
        prompts.add(1000, "greedy")
    prompts.add(1000, "modest")
    spent = {"greedy": 0, "modest": 0}
    for _ in range(10):
        for sequence, num_tokens in prompts.step():
            spent[sequence.tenant] += num_tokens
    assert spent == {"greedy": 320, "modest": 320}


def test_one_request_gets_half_of_a_step_while_others_wait_however_many_choices_it_has():
    prompts = Prompts()
    prompts.add(40, n=16)
    prompts.add(1000)
    assert prompts.told() == [(1, 32), (2, 32)]


def test_a_lower_priority_value_goes_first_within_its_tenant_alone():
    prompts = Prompts()
    late, urgent = prompts.add(100, "a", priority=3), prompts.add(100, "a", priority=-3)
    other = prompts.add(100, "b", priority=9)
    assert [sequence for sequence, _ in prompts.step()] == [urgent, other]
    prompts.budget.discard(urgent)
    assert late in dict(prompts.step())


def test_more_tenants_than_parts_take_turns():
    prompts = Prompts()
    for tenant in range(6):
        prompts.add(1000, str(tenant))
    turns = [[sequence.tenant for sequence, _ in prompts.step()] for _ in range(3)]
    assert turns == [["0", "1", "2", "3"], ["4", "5", "0", "1"], ["2", "3", "4", "5"]]


def test_what_one_tenant_does_not_use_another_gets():
    prompts = Prompts()
    prompts.add(1000, "a")
    prompts.add(4, "b")
    assert prompts.told() == [(1, 60), (2, 4)]


def test_a_preempted_sequence_goes_on_before_later_requests_of_its_tenant():
    prompts = Prompts(max_spans=1)
    first, _ = prompts.add(10), prompts.add(10)
    prompts.budget.discard(first)
    prompts.budget.add(first)
    assert prompts.told() == [(1, 10)]


@pytest.mark.parametrize("seed", range(25))
def test_in_any_storm_a_step_is_bounded_full_and_fair_and_nobody_starves(seed):
    rng = random.Random(seed)
    max_tokens, max_spans = rng.choice([8, 16, 64, 100, 128]), rng.choice([1, 3, 8, 32])
    sizes = prefill_buckets(max_tokens) if rng.random() < 0.7 else ()
    prompts = Prompts(max_tokens=max_tokens, max_spans=max_spans, span_sizes=sizes)
    num_tenants = rng.randint(1, 7)
    num_parts = min(NUM_PARTS, max_spans, max_tokens // max(sizes[0] if sizes else 1, 1))
    longest = rng.choice([max_tokens // 2, max_tokens * 6])
    steps_waited: dict[str, int] = {}
    for _ in range(200):
        for _ in range(rng.choice([0, 0, 1, 3])):
            tenant = str(rng.randrange(num_tenants))
            prompts.add(rng.randint(1, longest), tenant, priority=rng.choice([0, 0, 1, -1]), n=rng.choice([1, 1, 1, 4]))
        leaving = rng.sample(list(prompts.budget), k=len(prompts.budget) // 20)
        for sequence in leaving:
            prompts.budget.discard(sequence)
        waiting = {tenant: [s for s in prompts.budget if s.tenant == tenant] for tenant in map(str, range(num_tenants))}
        wanted = {tenant: sum(s.num_to_prefill for s in line) for tenant, line in waiting.items() if line}
        before = list(prompts.budget)
        chosen = prompts.step()

        cost = sum(padded(num_tokens, sizes) for _, num_tokens in chosen)
        assert cost <= max_tokens, "decode would wait for more than a step's prompts"
        assert len(chosen) <= max_spans
        assert len({sequence for sequence, _ in chosen}) == len(chosen)
        assert bool(chosen) == bool(before), "nobody got on"
        if not sizes:
            assert len(chosen) == max_spans or cost + max_tokens // NUM_PARTS >= max_tokens or all_whole(before)
        for tenant in map(str, range(num_tenants)):
            got = sum(num_tokens for sequence, num_tokens in chosen if sequence.tenant == tenant)
            waits = tenant in wanted and got == 0
            steps_waited[tenant] = steps_waited.get(tenant, 0) + 1 if waits else 0
            assert steps_waited[tenant] < -(-num_tenants // num_parts), "a tenant waits for longer than a round"
    while prompts.step():
        pass
    assert len(prompts.budget) == 0
    assert list(prompts.budget) == []


def padded(num_tokens, sizes):
    return next(size for size in sizes if size >= num_tokens) if sizes else num_tokens


def all_whole(sequences):
    return all(sequence.num_to_prefill == 0 for sequence in sequences)
