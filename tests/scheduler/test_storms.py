"""Random storms over caches that are too small: whoever loses its pages, shares them or finds them again gets the
tokens that it would get alone, and after every step each page, slot and sequence is accounted for.

The fake device (see `fakes`) compares every cell that a row sees with what should stand there.
"""

import contextlib
import itertools
import random
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from fakes import (
    LENGTH,
    STOP,
    FakeHub,
    FakeRunner,
    make_request,
    naive_pooled,
    naive_tokens,
    pooled_request,
    small_capacity,
)
from test_constrained import EOS, held_to, naive_constrained, words

from penstock.errors import ApiError
from penstock.generation import GenerationRequest
from penstock.pooling import Pooling
from penstock.scheduler.scheduler import Scheduler

#: Windows of the page groups, and pages of each that hold little more than one sequence at its longest.
GROUPS = {
    "full": ((None,), (14,)),
    "windowed": ((6,), (8,)),
    "full and windowed": ((None, 6), (14, 9)),
    "three": ((None, 3, 10), (16, 7, 9)),
}
PIPELINES = [(1, 1), (2, 1), (1, 4), (2, 4)]


@dataclass
class Storm:
    """A scheduler, and what each of its rows must come to.

    Attributes:
        is_rash: everybody is admitted, as if the forecast were always wrong.
    """

    seed: int
    groups: str
    pipeline: tuple[int, int]
    is_rash: bool = True
    prefix_caching: bool = True
    expected: dict[int, tuple[list[int], int]] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    pooled: dict[int, Any] = field(default_factory=dict)
    submitted: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = rng = random.Random(self.seed)
        windows, num_pages = GROUPS[self.groups]
        depth, tokens_per_dispatch = self.pipeline
        capacity = small_capacity(
            num_slots=rng.randint(4, 6), num_pages=num_pages, windows=windows,
            pipeline_depth=depth, tokens_per_dispatch=tokens_per_dispatch,
            max_prefill_tokens_beside=rng.choice([2, 5, None]), is_mixed=rng.random() < 0.5,
        )  # fmt: skip
        self.runner, self.hub = FakeRunner(capacity), FakeHub()
        self.scheduler = Scheduler(
            self.runner, self.hub,
            stop_ids=(EOS,), max_queued_requests=64, prefix_caching=self.prefix_caching,
        )  # fmt: skip
        self.planner = self.scheduler._planner
        if self.is_rash:
            self.planner._has_room = lambda _: True
        self.beginnings = [[rng.randrange(20) for _ in range(24)] for _ in range(3)]

    def submit(self) -> None:
        rng, stream = self.rng, len(self.submitted) + 1
        prompts = [self._prompt() for _ in range(rng.choice([1, 1, 1, 2]))]
        request = self.request(
            stream, prompts, rng.choice([1, 4, 12, 20, 20]),
            n=rng.choice([1, 1, 2, 3]), seed=rng.randrange(1 << 60), temperature=rng.choice([0.0, 1.0]),
            min_tokens=rng.choice([0, 0, 1]), prompt_logprobs=rng.choice([None, None, None, 1]),
        )  # fmt: skip
        if rng.random() < 0.1:
            self._submit_pooled(stream, prompts)
            return
        request = replace(request, priority=rng.choice([0, 0, 0, -1, 5]), cache_salt=rng.choice(["", "", "mine"]))
        choices = words(rng) if rng.random() < 0.25 else None
        if choices is not None:
            request = replace(request, grammar=held_to(request, choices).grammar)
        with contextlib.suppress(ApiError):  # a full queue
            self.scheduler.submit(request)
            self.submitted.append(request.stream_key)
            for index in range(request.num_choices):
                key = request.stream_key | index
                self.expected[key] = (
                    naive_tokens(request, index, stop_ids=(EOS,))
                    if choices is None
                    else naive_constrained(request, index, choices)
                )
                if rng.random() < 0.1:
                    self.hub.text_ends[key] = rng.randint(1, 12)

    def request(self, stream: int, prompts: list[list[int]], max_tokens: int, **sampling: Any) -> GenerationRequest:
        return make_request(stream, prompts, max_tokens, **sampling)

    def _submit_pooled(self, stream: int, prompts: list[list[int]]) -> None:
        request, config = pooled_request(stream, prompts, self.rng.choice(list(Pooling)))
        with contextlib.suppress(ApiError):
            self.scheduler.submit(request)
            self.submitted.append(request.stream_key)
            self.pooled[request.stream_key] = request, config, prompts

    def _prompt(self) -> list[int]:
        """Often one that begins like others."""
        rng = self.rng
        own = [rng.randrange(20) for _ in range(rng.randint(1, 9))]
        return rng.choice(self.beginnings)[: rng.choice([0, 4, 8, 15, 19])] + own

    def cancel(self) -> None:
        stream_key = self.rng.choice([*self.submitted, 999 << 12])
        self.cancelled.add(stream_key)
        self.scheduler.cancel(stream_key)

    def step(self) -> None:
        self.scheduler.step()
        self.scheduler.check_integrity()

    def run_to_the_end(self, *, limit: int = 4000) -> None:
        for _ in range(limit):
            if self.scheduler.is_idle:
                return
            self.step()
        raise AssertionError("the scheduler never became idle")

    def check(self) -> None:
        assert self.hub.gauges == self.scheduler.gauges == (0, 0, 0)
        assert not self.planner.constraints
        for key, (ids, end) in self.expected.items():
            got, stream_key = self.hub.tokens.get(key, []), key & ~0xFFF
            assert got == ids[: len(got)]
            if stream_key in self.hub.failed or stream_key in self.cancelled:
                continue
            if self.hub.text_ends.get(key, 99) <= len(ids):
                assert (len(got), self.hub.ends[key]) == (self.hub.text_ends[key], -1)
            else:
                assert (got, self.hub.ends[key]) == (ids, end)
        for stream_key, (request, config, prompts) in self.pooled.items():
            if stream_key not in self.hub.failed and stream_key not in self.cancelled:
                want = [naive_pooled(ids, config.pooling) for ids in prompts]
                np.testing.assert_allclose(request.vectors.embeddings(config), want, rtol=1e-6)


def run_storm(storm: Storm, *, num_steps: int, has_faults: bool) -> None:
    rng, num_ended = storm.rng, 0
    for step in range(num_steps):
        for _ in range(rng.choice([0, 0, 1, 1, 3])):
            storm.submit()
        if storm.submitted and rng.random() < 0.1:
            storm.cancel()
        num_now = sum(end in {STOP, LENGTH} for end in storm.hub.ends.values())
        if has_faults and step % 20 == 0 and not storm.runner.faults and num_now > num_ended:
            storm.runner.faults, num_ended = [rng.choice(["span", "decode", "fetch"])], num_now
        storm.step()
    storm.runner.faults.clear()
    storm.run_to_the_end()
    storm.check()


each_kind = pytest.mark.parametrize(
    ("seed", "groups", "pipeline"), [(seed, *kind) for seed, kind in enumerate(itertools.product(GROUPS, PIPELINES))]
)


@each_kind
def test_whoever_loses_or_shares_its_pages_gets_the_same_tokens(seed, groups, pipeline):
    storm = Storm(seed, groups, pipeline)
    run_storm(storm, num_steps=50, has_faults=False)
    assert not storm.hub.failed
    assert storm.scheduler.num_preemptions > 0
    assert sum(storm.hub.scheduled.values()) > 0


@each_kind
def test_faults_and_a_forecast_leave_survivors_untouched_and_nothing_behind(seed, groups, pipeline, caplog):
    storm = Storm(seed + 100, groups, pipeline, is_rash=seed % 3 == 0, prefix_caching=seed % 4 != 0)
    run_storm(storm, num_steps=40, has_faults=True)
    if not storm.prefix_caching:
        assert not any(storm.hub.scheduled.values())
