"""The scheduler in a storm, without a device: how many sequences it has at once, how many must give way, and what that
costs, with pages as they are needed and with pages for all that a request may use, as if nothing were forecast.

Counts, not times: the same on every machine. Requests come from four keys that always have some waiting. Prompts and
answers have long tails; most answers end long before their `max_tokens`.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import table
from penstock.adapters.echo_runner import EchoRunner, EchoStep
from penstock.engine.interface import Capacity, Join, StepOutput, StepPlan
from penstock.engine.row_parameters import ROW_LAYOUT
from penstock.generation import GenerationRequest, Prompt, SamplingParams
from penstock.scheduler.scheduler import Scheduler

CAPACITY = Capacity(
    num_slots=64, num_pages=(1024,), page_size=16, max_model_len=2560, max_prefill_tokens=512, tokens_per_dispatch=1,
    pipeline_depth=1, span_sizes=(16, 32, 64, 128, 256, 512),
)  # fmt: skip
MAX_TOKENS, WAITING_PER_KEY, KEYS = 1024, 16, ("a", "b", "c", "d")


class StormRunner(EchoRunner):
    """Its sequences end after as many tokens as their random key says; they may do so in several slots."""

    def __init__(self) -> None:
        self.num_prefilled = 0
        super().__init__(CAPACITY, np.arange(5, 200, dtype=np.int32))

    def dispatch(self, plan: StepPlan) -> EchoStep:
        self.num_prefilled += sum(len(span.tokens) for span in plan.spans)
        return super().dispatch(plan)

    def join(self, joins: Sequence[Join]) -> None:
        for join in joins:
            self._num_made[join.slot] = len(join.made)
            draw = random.Random(ROW_LAYOUT.parts(join.params)["rng_key"].tobytes())
            share = 1.0 if draw.random() < 0.03 else min(draw.expovariate(10.0), 1.0)
            self._limits[join.slot] = max(1, round(MAX_TOKENS * share))


class CountingHub:
    """Counts what it is told.

    Attributes:
        num_running, num_pages: summed over steps.
    """

    def __init__(self) -> None:
        self.num_steps = self.num_running = self.num_pages = self.num_ended = self.num_preemptions = 0

    def mark_scheduled(self, row_key: int, **_: object) -> None:
        pass

    def count_preemption(self) -> None:
        self.num_preemptions += 1

    def push_step(
        self, keys: np.ndarray, output: StepOutput, *, num_running: int, num_waiting: int, num_pages_in_use: int
    ) -> list[int]:
        self.num_steps += 1
        self.num_running += num_running
        self.num_pages += num_pages_in_use
        self.num_ended += int(np.count_nonzero(output.ends))
        return []

    def fail(self, stream_key: int, kind: str, message: str, *, param: str | None = None) -> bool:
        raise AssertionError(message)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a storm came to.

    Attributes:
        at_once: sequences in slots, in the mean step; use: the part of all pages that is in use.
        num_computed: prompt tokens that were computed, for each that was asked.
    """

    num_sequences: int
    num_preemptions: int
    num_steps: int
    at_once: float
    use: float
    num_computed: float


def make_request(number: int, draw: random.Random) -> GenerationRequest:
    num_tokens = min(max(round(draw.lognormvariate(5.2, 0.9)), 16), CAPACITY.max_model_len - MAX_TOKENS)
    prompt = Prompt.of_ids([draw.randrange(5, 8000) for _ in range(num_tokens)])
    sampling = SamplingParams(max_tokens=MAX_TOKENS, seed=draw.getrandbits(60))
    return GenerationRequest(number << 12, (prompt,), sampling, f"req_{number}", tenant=KEYS[number % len(KEYS)])


def play(num_requests: int, *, seed: int, is_forecast: bool) -> Outcome:
    runner, hub, draw = StormRunner(), CountingHub(), random.Random(seed)
    scheduler = Scheduler(runner, hub, max_queued_requests=num_requests, prefix_caching=False)
    if not is_forecast:
        scheduler._planner.seats.forecast.has_room = lambda **_: False  # type: ignore[method-assign]
    num_submitted = num_prompt_tokens = 0
    while not (num_submitted == num_requests and scheduler.is_idle):
        while num_submitted < num_requests and scheduler.gauges[1] < WAITING_PER_KEY * len(KEYS):
            num_submitted += 1
            request = make_request(num_submitted, draw)
            num_prompt_tokens += request.prompts[0].num_tokens
            scheduler.submit(request)
        scheduler.step()
        scheduler.check_integrity()
    assert hub.num_ended == num_requests, "a sequence was lost"
    return Outcome(
        num_requests, hub.num_preemptions, hub.num_steps, hub.num_running / hub.num_steps,
        hub.num_pages / hub.num_steps / CAPACITY.num_pages[0],
        runner.num_prefilled / num_prompt_tokens,
    )  # fmt: skip


def row(name: str, outcome: Outcome) -> list[str]:
    share = outcome.num_preemptions / outcome.num_sequences
    return [
        name, str(outcome.num_sequences), f"{outcome.num_preemptions} ({share:.2%})", f"{outcome.at_once:.1f}",
        f"{outcome.use:.0%}", str(outcome.num_steps), f"{outcome.num_computed:.3f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        for name, is_forecast in (("all that it may use", False), ("as it is needed", True)):
            outcome = play(args.requests, seed=seed, is_forecast=is_forecast)
            rows.append(row(f"seed {seed}, {name}", outcome))
    head = ["pages for a sequence", "sequences", "gave way", "at once", "pages in use", "steps", "computed per token"]
    pages = CAPACITY.num_pages[0] * CAPACITY.page_size
    intro = (
        f"# The scheduler in a storm\n\n{CAPACITY.num_slots} slots, pages for {pages} tokens; prompts of 16 to "
        f"{CAPACITY.max_model_len - MAX_TOKENS} tokens (median 180), answers of up to {MAX_TOKENS} (median 72, three "
        "in a hundred use all). Counts; every invariant is checked after every step.\n"
        "Command: `python benches/storm.py`"
    )
    if args.no_write:
        print(intro, table.markdown(head, rows), sep="\n\n")
    else:
        table.write("storm", intro, table.markdown(head, rows))


if __name__ == "__main__":
    main()
