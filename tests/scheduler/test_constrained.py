"""Rows under a grammar beside others, against a fake device: each gets what it would get alone, whatever is late.

The judge of a constraint knows no grammar: the outputs are some of a list of words, and what may follow is read off it.
"""

import json
import random

import numpy as np
import pytest
from fakes import (
    LENGTH,
    STOP,
    VOCAB_SIZE,
    FakeHub,
    FakeRunner,
    make_request,
    naive_tokens,
    next_token,
    small_capacity,
)

from penstock._core import GrammarFactory, Vocabulary
from penstock.generation import GenerationRequest, GrammarSpec
from penstock.scheduler.scheduler import Scheduler
from penstock.scheduler.sequence import rng_key

EOS = 7
LETTERS = "abcdefg$ijklmnopqrstuvw"  # by token; "$" stands for the special token


def vocabulary() -> Vocabulary:
    tokens = {("<eos>" if letter == "$" else letter): token for token, letter in enumerate(LETTERS)}
    added = [{"id": EOS, "content": "<eos>", "special": True}]
    model = {"type": "BPE", "vocab": tokens, "merges": []}
    return Vocabulary.from_json(
        json.dumps({"added_tokens": added, "decoder": {"type": "ByteLevel"}, "model": model}).encode()
    )


FACTORY = GrammarFactory(vocabulary(), num_ids=VOCAB_SIZE, stop_ids=[EOS])


def words(rng: random.Random) -> list[str]:
    """Some of them begin others."""
    letters = "abcdeop"
    return ["".join(rng.choice(letters) for _ in range(rng.randint(1, 7))) for _ in range(rng.choice([1, 3, 40]))]


def held_to(request: GenerationRequest, choices: list[str]) -> GenerationRequest:
    grammar = FACTORY.compile("choice", json.dumps(choices))
    spec = GrammarSpec(grammar, "response_format")
    return GenerationRequest(request.stream_key, request.prompts, request.sampling, request.request_id, grammar=spec)


def naive_constrained(request: GenerationRequest, index: int, choices: list[str]) -> tuple[list[int], int]:
    sampling = request.sampling
    prompt, choice = divmod(index, sampling.n)
    key = (0, 0) if sampling.is_greedy else rng_key(sampling.seed, prompt, choice)
    history, made, text = list(request.prompts[prompt].ids), [], ""
    while len(made) < sampling.max_tokens:
        longer = [each for each in choices if each.startswith(text) and each != text]
        allowed = {LETTERS.index(each[len(text)]) for each in longer} | ({EOS} if text in choices else set())
        if allowed == {EOS}:
            return made, STOP  # nothing can follow: ended without a token
        made.append(next_token(key, history, banned=tuple(set(range(VOCAB_SIZE)) - allowed)))
        history.append(made[-1])
        if made[-1] == EOS:
            return made, STOP
        text += LETTERS[made[-1]]
    return made, LENGTH


class LateRows:
    """Keeps masks back at random, as if they were not ready; never a row's first."""

    def __init__(self, rows, rng: random.Random) -> None:
        self._rows, self._rng, self._known = rows, rng, set()

    def __getattr__(self, name):
        return getattr(self._rows, name)

    def __len__(self):
        return len(self._rows)

    def take_ready(self, row_keys, *, wait_s):
        keys = row_keys.tolist()
        places = [place for place, key in enumerate(keys) if key not in self._known or self._rng.random() < 0.5]
        self._known.update(keys)
        indices, *rest = self._rows.take_ready(row_keys[places], wait_s=wait_s)
        of_all = np.array(places, np.int32)[np.frombuffer(indices, np.int32)]
        return (of_all.astype(np.int32).tobytes(), *rest)


class PatientRows(LateRows):
    """Waits for every mask: a step of the fake device takes no time in which it could be computed."""

    def take_ready(self, row_keys, *, wait_s):
        return self._rows.take_ready(row_keys, wait_s=10.0)


def make_scheduler(*, late_seed: int | None = None, **capacity: int):
    runner, hub = FakeRunner(small_capacity(**capacity)), FakeHub()
    scheduler = Scheduler(runner, hub, stop_ids=(EOS,), max_queued_requests=64)
    if late_seed is not None:
        constraints = scheduler._planner.constraints
        constraints._rows = LateRows(constraints._rows, random.Random(late_seed))
    return scheduler, runner, hub


def run_to_the_end(scheduler, *, limit=5000):
    for _ in range(limit):
        if scheduler.is_idle:
            return
        scheduler.step()
        scheduler.check_integrity()
    raise AssertionError("the scheduler never became idle")


pipelines = pytest.mark.parametrize(("pipeline_depth", "tokens_per_dispatch"), [(1, 1), (2, 1), (1, 8), (2, 8)])


def capacity_of(pipeline_depth: int, tokens_per_dispatch: int) -> dict[str, int]:
    return {"pipeline_depth": pipeline_depth, "tokens_per_dispatch": tokens_per_dispatch, "page_size": 16}


@pipelines
def test_a_constrained_row_alone_gets_one_of_its_words(pipeline_depth, tokens_per_dispatch):
    for seed in range(30):
        rng = random.Random(seed)
        scheduler, _, hub = make_scheduler(**capacity_of(pipeline_depth, tokens_per_dispatch))
        choices = words(rng)
        request = held_to(make_request(1, [list(range(rng.randint(1, 19)))], 9, seed=seed), choices)
        scheduler.submit(request)
        run_to_the_end(scheduler)
        ids, end = naive_constrained(request, 0, choices)
        assert (hub.tokens[request.stream_key], hub.ends[request.stream_key]) == (ids, end)
        assert end == STOP
        assert "".join(LETTERS[token] for token in ids if token != EOS) in choices


@pipelines
@pytest.mark.parametrize("late_seed", [None, 1])
def test_many_at_once_equal_each_alone(late_seed, pipeline_depth, tokens_per_dispatch):
    for seed in range(8):
        rng = random.Random(seed)
        scheduler, runner, hub = make_scheduler(
            late_seed=late_seed, **capacity_of(pipeline_depth, tokens_per_dispatch), num_slots=6
        )
        expected = {}
        for stream in range(1, 10):
            prompts = [[rng.randrange(20) for _ in range(rng.randint(1, 24))] for _ in range(rng.choice([1, 2]))]
            request = make_request(
                stream, prompts, rng.randint(1, 20), seed=rng.randrange(1 << 60), n=rng.choice([1, 2]),
                temperature=rng.choice([0.0, 1.0]),
            )  # fmt: skip
            choices = words(rng)
            if is_constrained := rng.random() < 0.6:
                request = held_to(request, choices)
            scheduler.submit(request)
            for index in range(request.num_choices):
                expected[request.stream_key | index] = (
                    naive_constrained(request, index, choices)
                    if is_constrained
                    else naive_tokens(request, index, stop_ids=(EOS,))
                )
        run_to_the_end(scheduler)
        assert {key: (hub.tokens[key], hub.ends[key]) for key in expected} == expected
        assert runner.num_masked
        assert hub.gauges == scheduler.gauges == (0, 0, 0)
        assert not scheduler._planner.constraints


class OneLateRow(PatientRows):
    """Keeps back the mask of the second row, once."""

    def take_ready(self, row_keys, *, wait_s):
        if self._known or len(row_keys) < 2:
            return super().take_ready(row_keys, wait_s=wait_s)
        self._known = row_keys[1:]
        return super().take_ready(row_keys[:1], wait_s=wait_s)


def test_a_prompt_whose_mask_was_late_finds_what_another_has_computed_meanwhile():
    """Its pages were taken for a span that did not come to be: those that are found stand in their places."""
    scheduler, runner, hub = make_scheduler(max_prefill_tokens=32)
    scheduler._planner.constraints._rows = OneLateRow(scheduler._planner.constraints._rows, random.Random(0))
    prompt = list(range(10))
    first, second = (held_to(make_request(stream, [prompt], 6), ["bad", "deed"]) for stream in (1, 2))
    scheduler.submit(first)
    scheduler.submit(second)
    run_to_the_end(scheduler)
    assert runner.num_computed == len(prompt) + 2
    for request in (first, second):
        assert hub.tokens[request.stream_key] == naive_constrained(request, 0, ["bad", "deed"])[0]


@pipelines
def test_others_keep_their_depth_and_tokens_per_dispatch(pipeline_depth, tokens_per_dispatch):
    scheduler, runner, _ = make_scheduler(**capacity_of(pipeline_depth, tokens_per_dispatch))
    constraints = scheduler._planner.constraints
    constraints._rows = PatientRows(constraints._rows, random.Random())
    scheduler.submit(make_request(1, [[1, 2]], 40, ignore_eos=True))
    scheduler.submit(held_to(make_request(2, [[3]], 30, seed=5), ["abcdeo" * 5]))
    for _ in range(2):
        scheduler.step()
    runner.widths.clear()
    num_masked = runner.num_masked
    for _ in range(3):
        scheduler.step()
        assert runner.num_unfetched == pipeline_depth - 1
        assert not any(each.is_constrained for each in scheduler._in_flight)
    assert runner.widths == [tokens_per_dispatch] * 3
    assert runner.num_masked == num_masked + 3, "a constrained row makes a token in every step, too"


@pipelines
@pytest.mark.parametrize("seed", range(10))
def test_a_storm_leaves_survivors_untouched_and_nothing_behind(seed, pipeline_depth, tokens_per_dispatch):
    rng = random.Random(seed)
    scheduler, runner, hub = make_scheduler(late_seed=seed, **capacity_of(pipeline_depth, tokens_per_dispatch))
    expected, cancelled, num_ended = {}, set(), 0
    for step in range(120):
        if rng.random() < 0.5 and len(expected) < 60:
            prompt = [rng.randrange(20) for _ in range(rng.randint(1, 24))]
            request = make_request(len(expected) + 1, [prompt], rng.randint(1, 24), seed=rng.randrange(1 << 60))
            choices = words(rng)
            if rng.random() < 0.6:
                request = held_to(request, choices)
            scheduler.submit(request)
            expected[request.stream_key] = (
                naive_tokens(request, 0, stop_ids=(EOS,))
                if request.grammar is None
                else naive_constrained(request, 0, choices)
            )
            if rng.random() < 0.2:
                hub.text_ends[request.stream_key] = rng.randint(1, 6)
        if expected and rng.random() < 0.1:
            cancelled.add(stream_key := rng.choice(list(expected)))
            scheduler.cancel(stream_key)
        num_now = sum(end != -1 for end in hub.ends.values())  # not by text, which is no sign of a sound device
        if step % 15 == 0 and not runner.faults and num_now > num_ended:  # else three faults would be in a row
            runner.faults, num_ended = [rng.choice(["span", "decode", "fetch"])], num_now
        scheduler.step()
        scheduler.check_integrity()
    runner.faults.clear()
    run_to_the_end(scheduler)
    assert hub.gauges == scheduler.gauges == (0, 0, 0)
    assert not scheduler._planner.constraints
    assert len(scheduler._planner.constraints._rows) == 0
    for key, (ids, end) in expected.items():
        got = hub.tokens.get(key, [])
        assert got == ids[: len(got)]
        if key not in hub.failed and key not in cancelled and hub.ends[key] != -1:
            assert (got, hub.ends[key]) == (ids, end)


def test_a_row_that_its_grammar_stops_takes_its_stream_with_it_and_no_other():
    scheduler, _, hub = make_scheduler()
    doomed = held_to(make_request(1, [[1]], 9, n=2), ["abc"])
    fine = held_to(make_request(2, [[2]], 9), ["bcde"])
    other = make_request(3, [[3]], 9)
    for request in (doomed, fine, other):
        scheduler.submit(request)
    scheduler.step()
    # The device made a token that the mask forbids, as one without masks would.
    constraints = scheduler._planner.constraints
    constraints, keys = scheduler._planner.constraints, np.array([doomed.stream_key], np.uint64)
    constraints._rows.take_ready(keys, wait_s=10.0)  # nothing is under way for it
    constraints._rows.leave(doomed.stream_key)
    constraints.join(doomed.stream_key, FACTORY.compile("choice", '["uvw"]'))
    constraints._rows.take_ready(keys)
    constraints._rows.advance(keys, np.array([0], np.int32), np.zeros(1, np.uint8))
    run_to_the_end(scheduler)
    assert hub.failed == {doomed.stream_key: "invalid_value"}
    assert (hub.tokens[fine.stream_key], hub.ends[fine.stream_key]) == naive_constrained(fine, 0, ["bcde"])
    assert (hub.tokens[other.stream_key], hub.ends[other.stream_key]) == naive_tokens(other, 0, stop_ids=(EOS,))
    assert hub.gauges == (0, 0, 0)


def test_a_word_cut_by_its_limit_ends_by_length():
    scheduler, _, hub = make_scheduler()
    request = held_to(make_request(1, [[1]], 3), ["abcde"])
    scheduler.submit(request)
    run_to_the_end(scheduler)
    assert (hub.tokens[request.stream_key], hub.ends[request.stream_key]) == ([0, 1, 2], LENGTH)
