"""The sampler against numpy: kept sets by sorting, frequencies by an independent softmax."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penstock.engine.sampling import argmax, gumbel, keep_mask, sample
from penstock.engine.state import empty_state

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


def rows_with(num_rows: int, *, temperature: float, top_p: float):
    rows = empty_state(num_rows, 1)
    fields = {name: getattr(rows, name) for name in rows.__dataclass_fields__}
    fields["temperature"] = jnp.full(num_rows, temperature, jnp.float32)
    fields["top_p"] = jnp.full(num_rows, top_p, jnp.float32)
    fields["key"] = jnp.stack([jnp.full(num_rows, 11), jnp.arange(num_rows)], axis=1).astype(jnp.uint32)
    return type(rows)(**fields)


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
    drawn = np.asarray(jax.jit(partial(sample, is_dynamic=True))(batch, rows, positions))
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
    assert argmax(logits).tolist() == [1, 0]
    rows = rows_with(2, temperature=0.0, top_p=1.0)
    assert sample(logits, rows, jnp.zeros(2, jnp.int32), is_dynamic=False).tolist() == [1, 0]
