"""The sampler against numpy: kept sets by sorting, frequencies by an independent softmax."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penstock.engine.logit_rules import ban_stops
from penstock.engine.row_parameters import pack_row
from penstock.engine.sampling import argmax, gumbel, keep_mask, sample, sample_plain, scale, uniform
from penstock.engine.state import unpack_rows
from penstock.generation import SamplingParams

VOCAB = 50


def kept_by_sorting(logits: np.ndarray, *, top_k: int, top_p: float, min_p: float) -> np.ndarray:
    """Temperature aside, what transformers' warpers leave, in float64."""
    kept = np.ones(len(logits), bool)
    if top_k:
        kept &= logits >= np.sort(logits)[::-1][min(top_k, len(logits)) - 1]
    probs = np.where(kept, np.exp(logits.astype(np.float64) - logits.max()), 0)
    probs /= probs.sum()
    if top_p < 1:
        ascending = np.argsort(logits, kind="stable")
        below = np.cumsum(probs[ascending]) <= 1 - top_p
        below[-1] = False
        kept[ascending[below]] = False
    return kept & (probs >= min_p * probs.max())


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize(
    ("top_k", "top_p", "min_p"),
    [(0, 1, 0), (1, 1, 0), (7, 1, 0), (99, 1, 0), (0, 0.8, 0), (0, 1e-6, 0), (0, 1, 0.2), (12, 0.7, 0.05)],
)
def test_kept_tokens_equal_those_found_by_sorting(top_k: int, top_p: float, min_p: float, is_dynamic: bool):
    logits = np.random.default_rng(top_k).standard_normal((6, VOCAB)).astype(np.float32) * 3
    shares = {"top_p": jnp.full(6, top_p, jnp.float32), "min_p": jnp.full(6, min_p, jnp.float32)}
    got = np.asarray(keep_mask(jnp.asarray(logits), top_k=jnp.full(6, top_k), **shares, is_dynamic=is_dynamic))
    want = np.stack([kept_by_sorting(row, top_k=top_k, top_p=top_p, min_p=min_p) for row in logits])
    np.testing.assert_array_equal(got, want)


def test_rows_have_their_own_parameters():
    logits = np.random.default_rng(5).standard_normal((3, VOCAB)).astype(np.float32)
    mask = keep_mask(
        jnp.asarray(logits),
        top_k=jnp.array([0, 3, 0]),
        top_p=jnp.array([1.0, 1.0, 0.5]),
        min_p=jnp.zeros(3),
        is_dynamic=True,
    )
    assert np.asarray(mask).sum(axis=1)[:2].tolist() == [VOCAB, 3]
    np.testing.assert_array_equal(np.asarray(mask)[2], kept_by_sorting(logits[2], top_k=0, top_p=0.5, min_p=0))


def rows_with(num_rows: int, *, stop_ids: tuple[int, ...] = (), **sampling):
    """The parameters of rows that differ in their random streams alone."""
    params = SamplingParams(max_tokens=9, **sampling)
    rows = [pack_row(params, rng_key=(11, row), stop_ids=stop_ids) for row in range(num_rows)]
    return unpack_rows(jnp.asarray(np.stack(rows)))


def draw(logits, rows, positions, *, is_dynamic: bool = False):
    """Tokens of rows without rules."""
    return sample(logits, rows, positions, is_dynamic=is_dynamic)[0]


@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_frequencies_follow_the_softmax(top_p: float):
    """A chi-squared test on 40,000 draws; 5 sigma above its mean would happen once in millions of seeds."""
    num_draws, temperature = 40_000, 1.3
    logits = np.random.default_rng(1).standard_normal(VOCAB).astype(np.float32) * 1.5
    kept = kept_by_sorting(logits / np.float32(temperature), top_k=0, top_p=top_p, min_p=0)
    probs = np.where(kept, np.exp(logits.astype(np.float64) / temperature), 0)
    probs /= probs.sum()
    rows = rows_with(num_draws, temperature=temperature, top_p=top_p)
    positions = jnp.arange(num_draws) % 97
    batch = jnp.broadcast_to(jnp.asarray(logits), (num_draws, VOCAB))
    drawn = np.asarray(jax.jit(partial(draw, is_dynamic=True))(batch, rows, positions))
    counts = np.bincount(drawn, minlength=VOCAB)
    assert counts[~kept].sum() == 0
    expected = probs[kept] * num_draws
    statistic = ((counts[kept] - expected) ** 2 / expected).sum()
    freedom = kept.sum() - 1
    assert statistic < freedom + 5 * np.sqrt(2 * freedom)


def test_noise_is_gumbel_and_differs_by_key_position_and_token():
    keys = jnp.array([[1, 2], [1, 3], [2, 2], [1, 2]], jnp.uint32)
    noise = np.asarray(gumbel(keys, jnp.array([5, 5, 5, 6]), 200_000)).astype(np.float64)
    assert np.isfinite(noise).all()
    assert np.abs(noise.mean(axis=1) - np.euler_gamma).max() < 0.015
    assert np.abs(noise.std(axis=1) - np.pi / np.sqrt(6)).max() < 0.015
    correlations = np.corrcoef(noise) - np.eye(4)
    assert np.abs(correlations).max() < 0.012
    assert abs(np.corrcoef(noise[0, :-1], noise[0, 1:])[0, 1]) < 0.012


def test_noise_does_not_depend_on_the_batch():
    keys = jnp.array([[9, 9], [1, 2]], jnp.uint32)
    together = gumbel(keys, jnp.array([3, 4]), VOCAB)
    np.testing.assert_array_equal(together[1:], gumbel(keys[1:], jnp.array([4]), VOCAB))


def test_greedy_takes_the_first_of_equal_tokens():
    logits = jnp.array([[0.0, 2.0, 2.0], [-1.0, -3.0, -2.0]])
    assert argmax(logits)[0].tolist() == [1, 0]
    rows = rows_with(2, temperature=0.0, top_p=1.0)
    assert draw(logits, rows, jnp.zeros(2, jnp.int32)).tolist() == [1, 0]
    assert sample_plain(logits, rows, jnp.zeros(2, jnp.int32))[0].tolist() == [1, 0]


#: The hash words that round to 2**32 as a float32, the first that does not, and the smallest.
WORDS = np.array([2**32 - 1, 2**32 - 127, 2**32 - 128, 2**32 - 129, 2**31, 1, 0], np.uint32)


def test_every_hash_word_gives_a_uniform_strictly_between_0_and_1():
    got = np.asarray(uniform(jnp.asarray(WORDS)))
    assert (got.dtype, got.min() > 0, got.max() < 1) == (np.float32, True, True)
    np.testing.assert_allclose(got, (WORDS.astype(np.float64) + 0.5) / 2**32, rtol=2**-23)
    assert np.isfinite(-np.log(-np.log1p(-got))).all()


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("filters", [{"top_k": 1}, {"top_p": 0.5}, {"min_p": 0.5}])
def test_the_highest_hash_word_never_draws_a_filtered_token(monkeypatch, filters: dict, is_dynamic: bool):
    """The noise of the only kept token was -inf, as that of the filtered ones, and the first of them was drawn."""
    words = jnp.full((1, VOCAB), 2**32 - 1, jnp.uint32)
    monkeypatch.setattr("penstock.engine.sampling._hash_words", lambda *_: words)
    logits = jnp.zeros((1, VOCAB)).at[0, 17].set(9.0)
    assert draw(logits, rows_with(1, **filters), jnp.zeros(1, jnp.int32), is_dynamic=is_dynamic).tolist() == [17]


@pytest.mark.parametrize("temperature", [1e-6, 1e-30, 1.2e-38, 1e-38, 1e-44, 1e-60])
def test_temperatures_near_zero_take_the_best_token(temperature: float):
    logits = np.random.default_rng(2).standard_normal((64, VOCAB)).astype(np.float32) * 40
    for filters in ({}, {"top_k": 3}, {"top_p": 0.9}, {"min_p": 0.1}):
        rows = rows_with(64, temperature=temperature, **filters)
        got = draw(jnp.asarray(logits), rows, jnp.arange(64))
        np.testing.assert_array_equal(got, logits.argmax(axis=1))
    rows = rows_with(64, temperature=temperature)
    np.testing.assert_array_equal(sample_plain(jnp.asarray(logits), rows, jnp.arange(64))[0], logits.argmax(axis=1))
    assert not np.isnan(scale(jnp.asarray(logits), rows["temperature"])).any()


@pytest.mark.parametrize("top_p", [1e-45, 1e-30, 1e-8])
def test_the_smallest_nucleus_is_the_best_token(top_p: float):
    logits = np.random.default_rng(3).standard_normal((64, VOCAB)).astype(np.float32)
    got = draw(jnp.asarray(logits), rows_with(64, top_p=top_p), jnp.arange(64))
    np.testing.assert_array_equal(got, logits.argmax(axis=1))


def test_the_plain_sampler_draws_what_the_whole_one_draws():
    logits = jnp.asarray(np.random.default_rng(4).standard_normal((512, VOCAB)).astype(np.float32) * 2)
    rows = rows_with(512, temperature=1.1)
    positions = jnp.arange(512)
    np.testing.assert_array_equal(sample_plain(logits, rows, positions)[0], draw(logits, rows, positions))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("is_dynamic", [False, True])
def test_peaks_tell_rows_that_are_not_numbers_and_rows_of_which_nothing_is_left(temperature: float, is_dynamic: bool):
    logits = jnp.zeros((3, VOCAB)).at[0, 7].set(jnp.nan).at[1].set(-jnp.inf)
    rows, positions = rows_with(3, temperature=temperature), jnp.arange(3)
    for find in (sample, sample_plain):
        peaks = np.asarray(find(logits, rows, positions, is_dynamic=is_dynamic)[1])
        assert (np.isnan(peaks).tolist(), np.isneginf(peaks).tolist()) == ([True, False, False], [False, True, False])


def test_min_tokens_takes_stop_tokens_from_rows_that_have_made_too_few():
    logits = np.random.default_rng(6).standard_normal((4, VOCAB)).astype(np.float32)
    rows = rows_with(4, min_tokens=3, stop_ids=(0, 7, VOCAB + 5))
    got = np.asarray(ban_stops(jnp.asarray(logits), rows, jnp.array([0, 2, 3, 4])))
    want = logits.copy()
    want[:2, [0, 7]] = -np.inf
    np.testing.assert_array_equal(got, want)
