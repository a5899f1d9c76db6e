"""Storms over capacities of any kind: pages of a token, slices of one, a slot alone, queues that refuse, many tenants,
rows whose logits are no numbers, masks that come late. PENSTOCK_TEST_ALL asks for many.

A storm is only over when nothing has moved for long: with a token of a prompt per step one may take thousands of steps.
"""

import os
import random
from dataclasses import dataclass, replace
from typing import Any

import pytest
from fakes import FakeHub, FakeRunner, small_capacity
from test_constrained import EOS, LateRows
from test_storms import Storm, run_storm

from penstock.engine.interface import Capacity
from penstock.engine.page_plan import window_pages
from penstock.generation import GenerationRequest
from penstock.scheduler.scheduler import Scheduler

SEEDS = range(400) if "PENSTOCK_TEST_ALL" in os.environ else range(12)
#: Steps without a token, an end or anybody admitted after which a storm is stuck.
PATIENCE = 1000
#: A token whose histories have logits that are no numbers.
BROKEN = 19


def odd_capacity(rng: random.Random) -> Capacity:
    """Where a window's pages are just enough for one sequence, or those of all others not even for the longest."""
    windows = tuple(rng.choice([None, None, 2, 3, 5, 6, 10, 17]) for _ in range(rng.choice([1, 1, 2, 3])))
    capacity = small_capacity(
        num_slots=rng.randint(1, 7), page_size=rng.choice([1, 2, 3, 4, 8]), max_model_len=rng.choice([34, 48, 60]),
        max_prefill_tokens=rng.choice([1, 2, 4, 8, 16, 64]), tokens_per_dispatch=rng.choice([1, 1, 2, 4, 8]),
        pipeline_depth=rng.choice([1, 2, 2, 3]), is_mixed=rng.random() < 0.5, windows=windows,
        num_pages=(1,) * len(windows),
    )  # fmt: skip
    whole = -(-capacity.max_model_len // capacity.page_size)
    least = [
        min(whole, window_pages(window, page_size=capacity.page_size, max_span=capacity.max_span))
        if window is not None
        else int(whole * rng.choice([0.7, 1]))
        for window in windows
    ]
    return replace(capacity, num_pages=tuple(num + rng.choice([0, 0, 1, 2, 5, 20]) for num in least))


@dataclass
class OddStorm(Storm):
    groups: str = ""
    pipeline: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.rng = rng = random.Random(self.seed)
        self.capacity = odd_capacity(rng)
        self.runner, self.hub = FakeRunner(self.capacity), FakeHub()
        self.scheduler = Scheduler(
            self.runner, self.hub,
            stop_ids=(EOS,), max_queued_requests=rng.choice([3, 20]), prefix_caching=rng.random() < 0.75,
        )  # fmt: skip
        self.planner = self.scheduler._planner
        if rng.random() < 0.5:
            self.planner._has_room = lambda _: True
        if rng.random() < 0.4:
            constraints = self.planner.constraints
            constraints._rows = LateRows(constraints._rows, random.Random(self.seed))
        self.runner.broken_tokens = {BROKEN} if rng.random() < 0.25 else set()
        self.tenants = rng.choice([[""], ["a", "b"], ["a", "b", "c", ""]])
        self.beginnings = [[rng.randrange(BROKEN) for _ in range(24)] for _ in range(3)]

    def request(self, stream: int, prompts: list[list[int]], max_tokens: int, **sampling: Any) -> GenerationRequest:
        request = super().request(stream, prompts, max_tokens, **sampling)
        return replace(request, tenant=self.rng.choice(self.tenants))

    def _prompt(self) -> list[int]:
        return super()._prompt()[: self.capacity.max_model_len - 22]

    def run_to_the_end(self, *, limit: int = PATIENCE) -> None:
        last, num_still = None, 0
        while not self.scheduler.is_idle:
            self.step()
            hub, now = self.hub, self.scheduler.gauges[1]
            moved = (sum(map(len, hub.tokens.values())), len(hub.ends), len(hub.failed), self.runner.num_computed, now)
            num_still = num_still + 1 if moved == last else 0
            last = moved
            assert num_still < limit, f"stuck: {self.scheduler.gauges}"
            assert self.scheduler.num_preemptions < 100_000, "it goes round in circles"


@pytest.mark.parametrize("seed", SEEDS)
def test_any_capacity_serves_everybody_to_the_end(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    storm = OddStorm(seed)
    run_storm(storm, num_steps=30, has_faults=seed % 2 == 0)
