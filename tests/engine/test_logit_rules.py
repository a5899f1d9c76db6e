"""Masks, bans, bias and penalties against a plain twin, which goes over one row and one token after the other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rules_twin import changed_logits

from penstock.engine.interface import TokenRules
from penstock.engine.logit_rules import RowRules, apply_rules, count_tokens, empty_rules, put_rules
from penstock.engine.row_parameters import pack_row
from penstock.engine.state import unpack_rows
from penstock.engine.token_rules import NUM_RECENT, pack_rules, rules_layout, token_bits
from penstock.generation import SamplingParams

VOCAB = 70  # of no whole number of words
NUM_ROWS = 12
NOTHING = jnp.array([-1])


def some(rng: np.random.Generator, most: int) -> list[int]:
    return rng.integers(0, VOCAB, rng.integers(1, most)).tolist()


def random_sampling(rng: np.random.Generator, made: list[int]) -> SamplingParams:
    """Each parameter, or not."""
    words = [tuple(some(rng, 5)), (*made[-3:], *some(rng, 2)), (*made[-1:], 3), (int(rng.integers(VOCAB)),)]
    words.append((*made[-NUM_RECENT:], 7))
    given = {
        "presence_penalty": rng.uniform(-2, 2),
        "frequency_penalty": rng.uniform(-2, 2),
        "repetition_penalty": rng.uniform(0.5, 3),
        "logit_bias": {token: rng.uniform(-100, 100) for token in some(rng, 30)},
        "allowed_token_ids": tuple(some(rng, 60)),
        "bad_word_ids": tuple(words),
        "min_tokens": int(rng.integers(0, 40)),
    }
    return SamplingParams(max_tokens=99, **{name: value for name, value in given.items() if rng.random() < 0.5})


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("has_masks", [False, True])
def test_every_row_gets_what_its_own_rules_say(has_masks: bool, is_dynamic: bool):
    apply = jax.jit(partial(apply_rules, is_dynamic=is_dynamic))
    for seed in range(12):
        rng = np.random.default_rng(seed)
        logits = (rng.standard_normal((NUM_ROWS, VOCAB)) * 5).astype(np.float32)
        made = [some(rng, 40) if row else [] for row in range(NUM_ROWS)]
        prompts = [some(rng, 30) for _ in range(NUM_ROWS)]
        masks = [some(rng, 60) for _ in range(NUM_ROWS)] if has_masks else [None] * NUM_ROWS
        stops = some(rng, 4)
        samplings = [random_sampling(rng, made[row]) for row in range(NUM_ROWS)]
        slots = rng.permutation(NUM_ROWS + 1)[:NUM_ROWS]
        state = empty_rules(NUM_ROWS + 1, VOCAB)
        rows = np.stack([pack_row(each, rng_key=(1, 2), stop_ids=tuple(stops)) for each in samplings])
        params = unpack_rows(jnp.asarray(rows))
        for slot, sampling, prompt in zip(slots, samplings, prompts, strict=True):
            words = pack_rules(TokenRules(sampling, np.array(prompt, np.int32)), VOCAB)
            state = put_rules(state, jnp.asarray(slot), jnp.asarray(words), made=NOTHING, is_first=jnp.asarray(True))
        for step in range(max(map(len, made))):
            ids = jnp.array([row[step] if step < len(row) else -1 for row in made])
            state = count_tokens(state, jnp.asarray(slots), params, ids)
        recent = np.array([([-1] * NUM_RECENT + row)[-NUM_RECENT:] for row in made])
        bits = np.stack([token_bits(range(VOCAB) if mask is None else mask, VOCAB) for mask in masks]).view(np.uint32)
        where = RowRules(state, jnp.asarray(slots), jnp.asarray(recent), jnp.asarray(bits), jnp.asarray(has_masks))
        got = np.asarray(apply(jnp.asarray(logits), params, jnp.array([len(row) for row in made]), where))
        for row in range(NUM_ROWS):
            want = changed_logits(
                logits[row], samplings[row], stops=stops, prompt=prompts[row], made=made[row], mask=masks[row]
            )
            np.testing.assert_allclose(got[row], want, rtol=1e-5, atol=1e-4, err_msg=f"{seed} {row} {samplings[row]}")


def one_row(sampling: SamplingParams):
    return unpack_rows(jnp.asarray(pack_row(sampling, rng_key=(1, 2), stop_ids=()))[None])


def test_a_new_sequence_finds_nothing_of_the_last_one_in_its_slot():
    old = SamplingParams(logit_bias={1: 5.0}, bad_word_ids=[(2,)], allowed_token_ids=[1, 2, 3], presence_penalty=1.0)
    params = unpack_rows(
        jnp.asarray(pack_row(SamplingParams(max_tokens=1, presence_penalty=1.0), rng_key=(1, 2), stop_ids=()))[None]
    )
    words = jnp.asarray(pack_rules(TokenRules(old, np.arange(9)), VOCAB))
    state = put_rules(empty_rules(2, VOCAB), jnp.asarray(0), words, made=NOTHING, is_first=jnp.asarray(True))
    state = count_tokens(state, jnp.array([0]), params, jnp.array([5]))
    assert np.asarray(state.counts)[0].sum() == 1
    new = TokenRules(SamplingParams(presence_penalty=1.0), np.array([4], np.int32))
    words = jnp.asarray(pack_rules(new, VOCAB))
    state = put_rules(state, jnp.asarray(0), words, made=NOTHING, is_first=jnp.asarray(True))
    assert not np.asarray(state.counts).any()
    parts = rules_layout(VOCAB).parts(np.asarray(state.words)[0])
    assert (parts["bad_words"] == -1).all()
    assert (parts["bias_ids"] == VOCAB).all()
    assert not parts["allowed"].any()
    assert parts["prompt_seen"].tolist() == [1 << 4, 0, 0]


def test_a_sequence_that_goes_on_finds_what_it_had_made_counted():
    """In parts, as the runner takes them down, and counted on from there."""
    sampling = SamplingParams(max_tokens=1, presence_penalty=1.0)
    params = unpack_rows(jnp.asarray(pack_row(sampling, rng_key=(1, 2), stop_ids=()))[None])
    words = jnp.asarray(pack_rules(TokenRules(sampling, np.array([4], np.int32)), VOCAB))
    state = empty_rules(2, VOCAB)
    state = type(state)(state.words, state.counts.at[0].set(9))
    for number, part in enumerate(([5, 5, 6], [5, 7, -1])):
        state = put_rules(state, jnp.asarray(0), words, made=jnp.array(part), is_first=jnp.asarray(number == 0))
    state = count_tokens(state, jnp.array([0]), params, jnp.array([6]))
    want = np.zeros((2, VOCAB), int)
    want[0, [5, 6, 7]] = 3, 2, 1
    np.testing.assert_array_equal(state.counts, want)


def test_counts_end_where_their_type_does():
    params = unpack_rows(
        jnp.asarray(pack_row(SamplingParams(max_tokens=1, presence_penalty=1.0), rng_key=(1, 2), stop_ids=()))[None]
    )
    state = empty_rules(1, VOCAB)
    state = type(state)(state.words, state.counts.at[0, 5].set(2**16 - 1))
    assert int(count_tokens(state, jnp.array([0]), params, jnp.array([5])).counts[0, 5]) == 2**16 - 1
