"""Paged attention in plain XLA: gathers pages block by block, with an online softmax.

Cache layout, of one layer: `[pages, page, 2K, H]`, keys at even and values at odd indices of the third axis, as the
TPU kernel in jax lays it out. The softmax over blocks is that of Milakov and Gimelshein (arXiv 1805.02867).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from penstock.layers.attention import PagePlaces, page_rows
from penstock.layers.spec import CacheSpec, ScoreSpec

#: The blocks that a loop runs over, [first, end), and what weights the values of one with exp(scores).
Blocks = tuple[jax.Array | int, jax.Array | int]
Mix = Callable[[jax.Array], jax.Array]

#: Below every score, and finite: a block without a visible key then weighs exp(0) of a sum that is later scaled to 0.
MASKED = -1e30


@dataclass(frozen=True, slots=True)
class GatherAttention:
    """The judge of all implementations, and the one for CPU.

    Values that no query sees are left out by choice, not by a weight of 0: what a broken sequence left in a page or in
    page 0 may be not a number, and 0 times that is none either.

    Attributes:
        page_size: tokens per page.
        block_size: keys per block; a multiple of `page_size`.
        is_dynamic: stop at the longest row's last block. A trip count that depends on data costs nothing on CPU, where
            it makes the cost follow the true context; on a GPU each evaluation waits for the device, so there the loop
            runs over the whole block table.
    """

    page_size: int
    block_size: int
    is_dynamic: bool

    def cache_shape(self, spec: CacheSpec, *, num_pages: int) -> tuple[int, ...]:
        return num_pages, self.page_size, 2 * spec.num_heads, spec.head_dim

    def write(self, cache: jax.Array, k: jax.Array, v: jax.Array, places: PagePlaces) -> jax.Array:
        rows = jnp.stack([k, v], axis=3).reshape(*k.shape[:2], *cache.shape[2:])  # [B, T, 2K, H]
        pages, offsets = page_rows(places, self.page_size)
        stored: jax.Array = cache.at[pages, offsets].set(rows.astype(cache.dtype))
        return stored

    def attend(
        self,
        q: jax.Array,
        cache: jax.Array,
        places: PagePlaces,
        *,
        scores: ScoreSpec,
        sinks: jax.Array | None = None,
    ) -> jax.Array:
        batch, num_new, num_heads, head_dim = q.shape
        scaled = (q.astype(jnp.float32) * scores.scale).astype(q.dtype)
        grouped = scaled.reshape(batch, num_new, cache.shape[2] // 2, -1, head_dim)  # [B, T, K, G, H]
        if sinks is not None:
            sinks = sinks.astype(jnp.float32).reshape(grouped.shape[2:4])  # [K, G]
        attend = self._attend_one if num_new == 1 else self._attend_many
        out = attend(grouped, cache, places, scores, sinks)
        return out.reshape(batch, num_new, num_heads, head_dim).astype(q.dtype)

    def _attend_one(
        self, q: jax.Array, cache: jax.Array, places: PagePlaces, spec: ScoreSpec, sinks: jax.Array | None
    ) -> jax.Array:
        """Decode, q [B, 1, K, G, H]: products and sums instead of matrix products, which for one query only pay for
        the transposed keys and values they need (8 rows of 1900 positions on CPU: 95 ms against 190)."""

        def score(index: jax.Array) -> tuple[jax.Array, Mix]:
            keys, values = self._gather(cache, places.block_table, index)  # [B, S, K, H] each
            visible = self._visible(places, index, spec.window)[:, 0, :, None, None]  # [B, S, 1, 1]
            values = jnp.where(visible, values, 0)
            scores = jnp.sum((keys[:, :, :, None] * q).astype(jnp.float32), axis=4)  # [B, S, K, G]
            return jnp.where(visible, _capped(scores, spec.soft_cap), MASKED), lambda weights: jnp.sum(
                weights[..., None] * values[:, :, :, None].astype(jnp.float32), axis=1
            )

        blocks = self._block_range(places, spec.window)
        return _online_softmax(score, blocks, (q.shape[0], *q.shape[2:]), axis=1, sinks=sinks)

    def _attend_many(
        self, q: jax.Array, cache: jax.Array, places: PagePlaces, spec: ScoreSpec, sinks: jax.Array | None
    ) -> jax.Array:
        """Prefill, q [B, T, K, G, H]: matrix products over all queries of a key-value head."""
        batch, num_new, num_kv_heads, num_groups, head_dim = q.shape
        queries = q.transpose(0, 2, 3, 1, 4).reshape(batch, num_kv_heads, -1, head_dim)  # [B, K, G * T, H]

        def score(index: jax.Array) -> tuple[jax.Array, Mix]:
            keys, values = self._gather(cache, places.block_table, index)
            visible = self._visible(places, index, spec.window)
            is_seen = jnp.any(visible & places.is_real[..., None], axis=1)  # [B, S]
            values = jnp.where(is_seen[..., None, None], values, 0)
            visible = jnp.tile(visible, (1, num_groups, 1))[:, None]  # [B, 1, G * T, S]
            scores = jnp.einsum("bkqh,bskh->bkqs", queries, keys, preferred_element_type=jnp.float32)
            return jnp.where(visible, _capped(scores, spec.soft_cap), MASKED), lambda weights: jnp.einsum(
                "bkqs,bskh->bkqh", weights.astype(values.dtype), values, preferred_element_type=jnp.float32
            )

        if sinks is not None:
            sinks = jnp.repeat(sinks, num_new, axis=1)  # [K, G * T]
        out = _online_softmax(score, self._block_range(places, spec.window), queries.shape, axis=3, sinks=sinks)
        return out.reshape(batch, num_kv_heads, num_groups, num_new, head_dim).transpose(0, 3, 1, 2, 4)

    def _block_range(self, places: PagePlaces, window: int | None) -> Blocks:
        """The blocks that hold a key which some query sees: [first, end)."""
        if not self.is_dynamic:
            return 0, -(-places.block_table.shape[1] * self.page_size // self.block_size)
        positions = jnp.where(places.is_real, places.positions, 0)
        end = jnp.max(positions) // self.block_size + 1
        if window is None:
            return 0, end
        oldest = jnp.min(jnp.where(places.is_real, places.positions, jnp.max(positions)))
        return jnp.maximum(oldest - window + 1, 0) // self.block_size, end

    def _gather(self, cache: jax.Array, block_table: jax.Array, index: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Keys and values of block `index`, [B, S, K, H] each."""
        num_pages = self.block_size // self.page_size
        pages = jax.lax.dynamic_slice_in_dim(block_table, index * num_pages, num_pages, axis=1)
        pairs = cache.reshape(*cache.shape[:2], -1, 2, cache.shape[3])  # [pages, page, K, 2, H]
        shape = (pages.shape[0], self.block_size, *pairs.shape[2:3], cache.shape[3])
        return pairs[pages, :, :, 0].reshape(shape), pairs[pages, :, :, 1].reshape(shape)

    def _visible(self, places: PagePlaces, index: jax.Array, window: int | None) -> jax.Array:
        """bool [B, T, S]: key position s with position - window < s <= position."""
        keys = index * self.block_size + jnp.arange(self.block_size)
        positions = places.positions[..., None]
        visible = keys <= positions
        return visible if window is None else visible & (keys > positions - window)


def _capped(scores: jax.Array, soft_cap: float | None) -> jax.Array:
    """Scores bent into (-soft_cap, soft_cap)."""
    return scores if soft_cap is None else soft_cap * jnp.tanh(scores / soft_cap)


def _online_softmax(
    score: Callable[[jax.Array], tuple[jax.Array, Mix]],
    blocks: Blocks,
    shape: tuple[int, ...],
    *,
    axis: int,
    sinks: jax.Array | None = None,
) -> jax.Array:
    """The mean of values weighted by exp(score), block by block, float32 of `shape`.

    Args:
        score: for a block its scores, its keys along `axis`, and a function that weights its values with them.
        shape: of the result; without its last axis, of the scores without `axis`.
        sinks: float32 [*shape[1:-1]], scores of a key whose value is 0, seen before all blocks.
    """

    def add_block(index: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        peak, total, mixed = carry
        scores, mix = score(index)
        new_peak = jnp.maximum(peak, jnp.max(scores, axis=axis))
        weights = jnp.exp(scores - jnp.expand_dims(new_peak, axis))
        decay = jnp.exp(peak - new_peak)
        return new_peak, total * decay + jnp.sum(weights, axis=axis), mixed * decay[..., None] + mix(weights)

    zeros = jnp.zeros(shape, jnp.float32)
    peak, total = zeros[..., 0] + MASKED, zeros[..., 0]
    if sinks is not None:
        peak, total = total + sinks, total + 1
    _, total, mixed = jax.lax.fori_loop(*blocks, add_block, (peak, total, zeros))
    mean: jax.Array = mixed / total[..., None]
    return mean
