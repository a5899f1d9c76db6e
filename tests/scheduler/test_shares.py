"""Shares as a client feels them: how many steps pass until its first token, whatever other keys do meanwhile."""

import random

import pytest
from fakes import FakeHub, FakeRunner, make_request, small_capacity

from penstock.scheduler.scheduler import Scheduler


class Served:
    """A scheduler over the fakes, which counts the steps."""

    def __init__(self, **capacity):
        self.hub = FakeHub()
        runner = FakeRunner(small_capacity(**capacity))
        self.scheduler = Scheduler(runner, self.hub, max_queued_requests=1000)
        self.num_submitted = 0

    def submit(self, prompt, max_tokens, **options):
        self.num_submitted += 1
        self.scheduler.submit(make_request(self.num_submitted, [prompt], max_tokens, **options))
        return self.num_submitted << 12

    def step(self):
        self.scheduler.step()
        self.scheduler.check_integrity()

    def steps_to_the_first_token(self, stream_key, *, at_most):
        for num_steps in range(1, at_most + 1):
            self.step()
            if self.hub.tokens.get(stream_key):
                return num_steps
        raise AssertionError(f"no token within {at_most} steps")


def test_a_key_with_a_very_long_prompt_holds_nobody_up():
    served = Served(max_model_len=4096, num_pages=2000, num_slots=8)
    long = served.submit([1] * 4000, 4, tenant="long")  # 500 steps of 8 tokens
    served.step()
    for _ in range(5):
        short = served.submit([2, 3, 4], 2, tenant="short")
        assert served.steps_to_the_first_token(short, at_most=2) == 1
    assert long not in served.hub.tokens


def test_a_very_long_prompt_holds_no_request_of_its_own_key_up():
    served = Served(max_model_len=4096, num_pages=2000, num_slots=8)
    served.submit([1] * 4000, 4)
    served.step()
    short = served.submit([2, 3, 4], 2)
    assert served.steps_to_the_first_token(short, at_most=2) == 1


def test_a_lone_long_prompt_loses_nothing_to_shares():
    served = Served(max_model_len=4096, num_pages=2000)
    long = served.submit([1] * 800, 1, tenant="long")
    assert served.steps_to_the_first_token(long, at_most=100) == 100


@pytest.mark.parametrize("seed", range(8))
def test_a_modest_key_waits_for_a_slot_at_most(seed):
    """Other keys ask for all that there is, all the time. A key that has one request at a time gets the next slot that
    becomes free, and its prompt goes on in every step."""
    rng = random.Random(seed)
    longest = 12
    served = Served(num_slots=3, num_pages=60, max_model_len=64)
    waits = []
    for _ in range(25):
        for flood in ("x", "y", "z"):
            if served.scheduler.queue.order.num_waiting(flood) < 4:
                served.submit([rng.randrange(20)] * rng.randint(1, 40), rng.randint(1, longest), tenant=flood, n=3)
        modest = served.submit([1, 2, 3], 1, tenant="modest", seed=rng.randrange(1 << 60))
        waits.append(served.steps_to_the_first_token(modest, at_most=200))
    # The slot: what runs has at most 40 tokens of prompt, which get on by a third of 8 at least, and 12 new ones.
    assert max(waits) <= 40 // (8 // 4) + longest + 3
