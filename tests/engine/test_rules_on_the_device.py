"""Rules, masks and logprobs through whole steps of a golden checkpoint.

Judged by the recorded logprobs of transformers, and by the float64 forward of tests/parity with plain twins on top.
"""

import json
from functools import cache

import numpy as np
import pytest
from driving import Driver, Live
from golden import golden_folder, read_prompts
from numpy_reference import Reference
from rules_twin import changed_logits

from penstock.engine import BlockTableChange, Join, Span, StepPlan, Yields
from penstock.engine.interface import END_LENGTH, END_STOP, NUM_TOP_LOGPROBS
from penstock.engine.runner import JaxRunner
from penstock.engine.token_rules import token_bits
from penstock.generation import SamplingParams

VOCAB = 1280
NUM_TOKENS = 24
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def prompts():
    return read_prompts(golden_folder("qwen3"))


@cache
def reference() -> Reference:
    return Reference(golden_folder("qwen3"))


@cache
def reference_logits(ids: tuple[int, ...]) -> np.ndarray:
    return reference().logits(np.array(ids))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    lowered = logits - logits.max(axis=-1, keepdims=True)
    return lowered - np.log(np.exp(lowered).sum(axis=-1, keepdims=True))


def columns_of(live: Live) -> list[tuple[float, int, np.ndarray, np.ndarray]]:
    """For each token that was made: its logprob and rank, the likeliest tokens and their logprobs."""
    return [
        (columns.sampled[row, step], columns.ranks[row, step], columns.top_ids[row, step], columns.top[row, step])
        for output, row in live.outputs
        if (columns := output.logprobs) is not None
        for step in np.flatnonzero(output.ids[row] >= 0)
    ]


def check_columns(found, token: int, expected: np.ndarray) -> None:
    """`expected`: float64 [V], the log-softmax that a column is of."""
    sampled, rank, top_ids, top = found
    assert abs(sampled - expected[token]) <= TOLERANCE
    assert rank == 1 + np.sum(expected > expected[token] + 1e-9)
    assert len(set(top_ids)) == NUM_TOP_LOGPROBS
    np.testing.assert_allclose(top, expected[top_ids], atol=TOLERANCE)
    np.testing.assert_allclose(top, np.sort(expected)[::-1][:NUM_TOP_LOGPROBS], atol=TOLERANCE)


@pytest.mark.parametrize("tokens", [1, 4])
def test_logprobs_are_transformers_recorded_ones(runner: JaxRunner, prompts, tokens: int):
    recorded = json.loads((golden_folder("qwen3") / "golden.json").read_text())["prompts"]
    driver = Driver(runner)
    asked = SamplingParams(temperature=0.0, logprobs=5)
    lives = [driver.start(prompt.ids, max_new=NUM_TOKENS, sampling=asked) for prompt in prompts]
    silent = driver.start(prompts[0].ids, max_new=NUM_TOKENS)
    assert driver.finish([*lives, silent], tokens=tokens)[:-1] == [prompt.greedy for prompt in prompts]
    for live, entry in zip(lives, recorded, strict=True):
        got = [float(column[0]) for column in columns_of(live)]
        np.testing.assert_allclose(got, entry["greedy"]["logprobs"], atol=TOLERANCE)
        assert [column[1] for column in columns_of(live)] == [1] * NUM_TOKENS
    assert silent.outputs[0][0].logprobs is None


def test_logprobs_are_of_the_raw_logits_whatever_is_drawn(runner: JaxRunner, prompts):
    """Rules, filters and temperature choose another token than the likeliest, whose numbers stay the model's own."""
    driver, prompt = Driver(runner), prompts[1]
    sampling = SamplingParams(
        temperature=2.0, top_p=0.9, presence_penalty=1.5, logprobs=0, logit_bias={7: 30.0, int(prompt.greedy[0]): -100}
    )
    live = driver.start(prompt.ids, max_new=8, sampling=sampling)
    driver.finish([live])
    assert 7 in live.tokens
    columns = columns_of(live)
    for number, token in enumerate(live.tokens):
        logits = reference_logits((*prompt.ids, *live.tokens[:number]))[-1]
        check_columns(columns[number], token, log_softmax(logits))
    assert max(column[1] for column in columns) > 1


@pytest.mark.parametrize("spans", [(), (1, 7, 13, 3)])
def test_prompt_logprobs_are_those_of_one_pass_over_the_prompt(runner: JaxRunner, prompts, spans: tuple[int, ...]):
    """Also of a prompt of which nothing is continued."""
    driver = Driver(runner)
    for prompt in prompts[:3]:
        sampling = SamplingParams(temperature=0.0, prompt_logprobs=5)
        live = driver.start(prompt.ids, max_new=0, sampling=sampling, spans=spans)
        assert (live.tokens, live.end) == ([], END_LENGTH)
        expected = log_softmax(reference_logits(tuple(prompt.ids)))
        position = 0
        for columns in live.prompt_columns:
            assert (columns.row_key, columns.start) == (live.slot, position)
            for found in zip(columns.sampled, columns.ranks, columns.top_ids, columns.top, strict=True):
                check_columns(found, prompt.ids[position + 1], expected[position])
                position += 1
        assert position == len(prompt.ids) - 1
        driver.drop(live)


def greedy_by_twin(ids: np.ndarray, sampling: SamplingParams, *, stops: list[int], num_tokens: int) -> list[int]:
    made: list[int] = []
    while len(made) < num_tokens:
        logits = reference_logits((*ids, *made))[-1]
        changed = changed_logits(logits, sampling, stops=stops, prompt=ids.tolist(), made=made)
        best = np.sort(changed)[-2:]
        assert best[1] - best[0] > 1e-4, "too close to judge by: take another case"
        made.append(int(changed.argmax()))
        if made[-1] in stops:
            break
    return made


def test_rows_with_rules_make_the_tokens_of_the_twin(runner: JaxRunner, prompts):
    """Side by side, one and four tokens at a time, in slots that others with rules had before."""
    ids, greedy = prompts[1].ids, prompts[1].greedy
    rules = [
        {"repetition_penalty": 1.7},
        {"presence_penalty": 1.2, "frequency_penalty": 0.9, "min_tokens": 20},
        {"frequency_penalty": -2.0},
        {"logit_bias": {greedy[0]: -100.0, 99: 4.0, 5: 1.0}, "repetition_penalty": 0.8},
        {"bad_word_ids": [(greedy[0],), tuple(greedy[1:4]), (greedy[5], greedy[6])], "presence_penalty": 0.3},
        {"allowed_token_ids": [*range(100, 400), *greedy[:3]], "bad_word_ids": [tuple(greedy[1:3])]},
    ]
    samplings = [SamplingParams(temperature=0.0, **rule) for rule in rules]
    stops = [greedy[8]]
    expected = [greedy_by_twin(ids, sampling, stops=stops, num_tokens=16) for sampling in samplings]
    assert len({tuple(tokens) for tokens in expected}) == len(rules)
    for tokens in (1, 4):
        driver = Driver(runner)
        lives = [driver.start(ids, max_new=16, sampling=each, stop_ids=tuple(stops)) for each in samplings]
        assert driver.finish(lives, tokens=tokens) == expected


EVERYTHING = SamplingParams(
    temperature=1.2, top_k=200, top_p=0.95, min_p=0.001, presence_penalty=0.4, frequency_penalty=0.3,
    repetition_penalty=1.1, logit_bias={5: 3.0, 6: -3.0}, bad_word_ids=[(9,), (10, 11)], min_tokens=6, logprobs=4,
    allowed_token_ids=range(1000),
)  # fmt: skip


def test_a_seeded_row_with_every_filter_samples_alike_in_any_batch_slot_span_and_dispatch(runner: JaxRunner, prompts):
    def tokens_of(*, neighbours: list[SamplingParams], spans: tuple[int, ...], tokens: int, slot: int, **changes):
        driver = Driver(runner, seed=len(neighbours))
        sampling = EVERYTHING if not changes else SamplingParams(temperature=0.9)
        live = driver.start(prompts[2].ids, max_new=24, sampling=sampling, rng_key=(3, 4), spans=spans, slot=slot)
        others = [driver.start(prompts[0].ids, max_new=100, sampling=each) for each in neighbours]
        while live.end == 0:
            driver.step([*others, live], tokens=tokens)
        return live.tokens

    neighbours = [SamplingParams(temperature=0.0), EVERYTHING, SamplingParams(top_p=0.5), SamplingParams(logprobs=1)]
    for is_plain in ({}, {"is_plain": True}):
        alone = tokens_of(neighbours=[], spans=(), tokens=1, slot=0, **is_plain)
        assert len(set(alone)) > 10
        assert tokens_of(neighbours=neighbours[:1], spans=(5, 9), tokens=1, slot=3, **is_plain) == alone
        assert tokens_of(neighbours=neighbours, spans=(16,), tokens=4, slot=5, **is_plain) == alone


def test_rows_of_which_nothing_is_left_stop_without_a_token(runner: JaxRunner, prompts):
    driver = Driver(runner)
    none = SamplingParams(temperature=0.0, allowed_token_ids=[5], bad_word_ids=[(5,)])
    for sampling in (none, SamplingParams(temperature=1.0, allowed_token_ids=[5], bad_word_ids=[(5,)])):
        live = driver.start(prompts[0].ids, max_new=8, sampling=sampling)
        assert (live.tokens, live.end) == ([], END_STOP)
    later = SamplingParams(allowed_token_ids=[5], bad_word_ids=[(5, 5, 5)])
    live = driver.start(prompts[0].ids, max_new=8, sampling=later)
    assert driver.finish([live], tokens=4) == [[5, 5]]


def masks_of(*allowed: list[int]) -> np.ndarray:
    return np.stack([token_bits(ids, VOCAB) for ids in allowed]).view(np.uint32)


def test_a_mask_holds_for_its_row_and_its_step(runner: JaxRunner, prompts):
    """A newcomer's first token under a mask of its own, beside two rows that decode under theirs."""
    driver = Driver(runner)
    old = [driver.start(prompts[0].ids, max_new=24, slot=slot) for slot in (4, 1)]
    new_ids = np.asarray(prompts[1].ids, np.int32)
    table = BlockTableChange(3, 0, 0, np.array([driver.free_pages.pop() for _ in range(4)], np.int32))
    slots = np.array([live.slot for live in old], np.int32)
    plan = StepPlan(
        (Join(3, Driver.params(max_new=9)),), (Span(3, new_ids, 0, Yields.TOKEN),), (table,), slots,
        masks=masks_of([31, 700], [64], list(range(VOCAB))),
    )  # fmt: skip
    output = runner.dispatch(plan).fetch()
    logits = reference_logits(tuple(new_ids))[-1]
    assert output.ids[:, 0].tolist() == [31 if logits[31] > logits[700] else 700, 64, prompts[0].greedy[1]]
    assert output.logprobs is None
    free = runner.dispatch(StepPlan((), (), (), slots)).fetch()
    assert free.ids[1, 0] == prompts[0].greedy[2]


def test_a_span_without_a_token_takes_no_mask(runner: JaxRunner, prompts):
    driver = Driver(runner)
    old = driver.start(prompts[0].ids, max_new=24, slot=0)
    table = BlockTableChange(3, 0, 0, np.array([driver.free_pages.pop() for _ in range(4)], np.int32))
    span = Span(3, np.asarray(prompts[1].ids[:5], np.int32), 0, Yields.NOTHING)
    plan = StepPlan(
        (Join(3, Driver.params(max_new=9)),), (span,), (table,), np.array([old.slot], np.int32), masks=masks_of([77])
    )
    assert runner.dispatch(plan).fetch().ids.tolist() == [[77]]
