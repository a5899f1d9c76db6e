"""Paged attention against plain attention over whole sequences, in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penstock.layers.attention import PagePlaces
from penstock.layers.gather_attention import GatherAttention
from penstock.layers.spec import CacheSpec, ScoreSpec

PAGE, BLOCK, NUM_PAGES = 4, 8, 40
NUM_HEADS, NUM_KV_HEADS, HEAD_DIM = 6, 2, 8


def plain_attention(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, *, start: int, scores: ScoreSpec, sinks: np.ndarray | None = None
) -> np.ndarray:
    """One sequence: q [T, N, H] at positions from `start` on, k and v [S, K, H] of all positions; sinks [N]."""
    k, v = (np.repeat(part, NUM_HEADS // NUM_KV_HEADS, axis=1) for part in (k, v))
    products = np.einsum("tnh,snh->nts", q, k) * scores.scale
    if scores.soft_cap is not None:
        products = scores.soft_cap * np.tanh(products / scores.soft_cap)
    queries, keys = start + np.arange(len(q))[:, None], np.arange(len(k))[None]
    hidden = (keys > queries) | (keys <= queries - (scores.window or 10**9))
    weights = np.exp(np.where(hidden, -np.inf, products))
    rest = 0 if sinks is None else np.exp(sinks)[:, None, None]
    return np.einsum("nts,snh->tnh", weights / (weights.sum(axis=-1, keepdims=True) + rest), v)


def store(rng: np.random.Generator, attention: GatherAttention, length: int, pages: np.ndarray, cache: jax.Array):
    """Writes the keys and values of one sequence, its last call padded, and returns them."""
    k, v = rng.standard_normal((2, length, NUM_KV_HEADS, HEAD_DIM)).astype(np.float32)
    padded = -(-length // 8) * 8
    places = PagePlaces(
        jnp.arange(padded)[None], jnp.asarray(pages)[None], jnp.asarray(np.arange(padded) < length)[None]
    )
    wide = [jnp.asarray(np.pad(part, ((0, padded - length), (0, 0), (0, 0)), constant_values=1e9)) for part in (k, v)]
    return k, v, attention.write(cache, wide[0][None], wide[1][None], places)


@pytest.mark.parametrize("is_dynamic", [False, True])
@pytest.mark.parametrize("window", [None, 5, 16])
@pytest.mark.parametrize("num_new", [1, 7])
@pytest.mark.parametrize("kind", [(HEAD_DIM**-0.5, None, False), (0.1, 0.2, True)])
def test_rows_of_any_length_over_scattered_pages(
    num_new: int, kind: tuple[float, float | None, bool], window: int | None, is_dynamic: bool
):
    scale, soft_cap, has_sinks = kind
    scores = ScoreSpec(scale, window, soft_cap)
    rng = np.random.default_rng(num_new)
    attention = GatherAttention(PAGE, BLOCK, is_dynamic)
    shape = attention.cache_shape(CacheSpec(NUM_KV_HEADS, HEAD_DIM), num_pages=NUM_PAGES)
    cache = jnp.full(shape, 7.0)
    tables = (rng.permutation(NUM_PAGES - 1) + 1)[:36].reshape(3, 12).astype(np.int32)
    lengths = [7, 23, 48]
    sinks = rng.standard_normal(NUM_HEADS).astype(np.float32) if has_sinks else None
    q = rng.standard_normal((3, num_new, NUM_HEADS, HEAD_DIM)).astype(np.float32)
    want = []
    for row, length in enumerate(lengths):
        k, v, cache = store(rng, attention, length, tables[row], cache)
        want.append(plain_attention(q[row], k, v, start=length - num_new, scores=scores, sinks=sinks))
    positions = jnp.asarray(lengths)[:, None] - num_new + jnp.arange(num_new)
    places = PagePlaces(positions, jnp.asarray(tables), jnp.ones((3, num_new), bool))
    got = attention.attend(
        jnp.asarray(q), cache, places, scores=scores, sinks=None if sinks is None else jnp.asarray(sinks)
    )
    np.testing.assert_allclose(got, np.stack(want), rtol=0, atol=2e-6)


def test_padding_goes_to_page_zero_and_nowhere_else():
    attention = GatherAttention(PAGE, BLOCK, is_dynamic=True)
    cache = jnp.zeros(attention.cache_shape(CacheSpec(NUM_KV_HEADS, HEAD_DIM), num_pages=4))
    ones = jnp.ones((1, 8, NUM_KV_HEADS, HEAD_DIM))
    places = PagePlaces(jnp.arange(8)[None], jnp.array([[3, 2]]), jnp.arange(8)[None] < 3)
    written = np.asarray(attention.write(cache, ones, ones, places))
    assert written[3, :3].all()
    assert not written[3, 3:].any()
    assert not written[1:3].any()


def test_one_stored_vector_is_key_and_value_of_every_head():
    """Over scattered pages with a window, among positions that are not numbers; judged by attention over copies."""
    num_new, rng, attention = 7, np.random.default_rng(7), GatherAttention(PAGE, BLOCK, is_dynamic=True)
    spec = CacheSpec(1, HEAD_DIM, is_latent=True)
    cache = jnp.full(attention.cache_shape(spec, num_pages=NUM_PAGES), jnp.nan)
    assert (cache.shape[2:], spec.numbers_per_token) == ((1, HEAD_DIM), HEAD_DIM)
    length, value_size, scores = 23, 5, ScoreSpec(0.3, 16)
    latents = rng.standard_normal((1, 24, HEAD_DIM)).astype(np.float32)
    latents[:, length:] = np.nan
    table = jnp.asarray([[31, 2, 17, 9, 5, 22]])
    every = jnp.arange(24)[None]
    cache = attention.write_latents(cache, jnp.asarray(latents), PagePlaces(every, table, every < length))
    q = rng.standard_normal((1, num_new, NUM_HEADS, HEAD_DIM)).astype(np.float32)
    positions = jnp.arange(length - num_new, length)[None]
    places = PagePlaces(positions, table, jnp.ones((1, num_new), bool))
    got = attention.attend_to_latents(jnp.asarray(q), cache, places, scores=scores, value_size=value_size)
    keys = np.repeat(latents[0, :length, None], NUM_KV_HEADS, axis=1)
    want = plain_attention(q[0], keys, keys[..., :value_size], start=length - num_new, scores=scores)
    np.testing.assert_allclose(got[0], want, rtol=0, atol=2e-6)
