"""Paged attention in plain XLA: gathers pages block by block, with an online softmax.

Cache layout, of one layer: `[pages, page, 2K, H]`, keys at even and values at odd indices of the third axis, as the
TPU kernel in jax lays it out. The softmax over blocks is that of Milakov and Gimelshein (arXiv 1805.02867).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from penstock.layers.attention import TokenPlaces, page_rows

#: Below every score, and finite: a block without a visible key then weighs exp(0) of a sum that is later scaled to 0.
MASKED = -1e30


@dataclass(frozen=True, slots=True)
class GatherAttention:
    """The judge of all implementations, and the one for CPU.

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

    def cache_shape(self, *, num_pages: int, num_kv_heads: int, head_dim: int) -> tuple[int, ...]:
        return num_pages, self.page_size, 2 * num_kv_heads, head_dim

    def write(self, cache: jax.Array, k: jax.Array, v: jax.Array, places: TokenPlaces) -> jax.Array:
        rows = jnp.stack([k, v], axis=3).reshape(*k.shape[:2], *cache.shape[2:])  # [B, T, 2K, H]
        pages, offsets = page_rows(places, self.page_size)
        stored: jax.Array = cache.at[pages, offsets].set(rows.astype(cache.dtype))
        return stored

    def attend(self, q: jax.Array, cache: jax.Array, places: TokenPlaces, *, window: int | None) -> jax.Array:
        batch, num_new, num_heads, head_dim = q.shape
        num_kv_heads = cache.shape[2] // 2
        grouped = q.reshape(batch, num_new, num_kv_heads, -1, head_dim).transpose(0, 2, 3, 1, 4)
        scaled = grouped.astype(jnp.float32) * head_dim**-0.5
        queries = scaled.reshape(batch, num_kv_heads, -1, head_dim).astype(q.dtype)  # [B, K, G * T, H]
        first, end = self._block_range(places, window)
        block = partial(self._block, queries, cache, places, window=window)
        shape = queries.shape[:3]
        zeros = jnp.zeros(queries.shape, jnp.float32)
        carry = (jnp.full(shape, MASKED, jnp.float32), jnp.zeros(shape, jnp.float32), zeros)
        _, total, mixed = jax.lax.fori_loop(first, end, block, carry)
        out = (mixed / total[..., None]).reshape(batch, num_kv_heads, -1, num_new, head_dim)
        return out.transpose(0, 3, 1, 2, 4).reshape(batch, num_new, num_heads, head_dim).astype(q.dtype)

    def _block_range(self, places: TokenPlaces, window: int | None) -> tuple[jax.Array | int, jax.Array | int]:
        """The blocks that hold a key which some query sees: [first, end)."""
        if not self.is_dynamic:
            return 0, -(-places.block_table.shape[1] * self.page_size // self.block_size)
        positions = jnp.where(places.is_real, places.positions, 0)
        end = jnp.max(positions) // self.block_size + 1
        if window is None:
            return 0, end
        oldest = jnp.min(jnp.where(places.is_real, places.positions, jnp.max(positions)))
        return jnp.maximum(oldest - window + 1, 0) // self.block_size, end

    def _block(
        self,
        queries: jax.Array,
        cache: jax.Array,
        places: TokenPlaces,
        index: jax.Array,
        carry: tuple[jax.Array, jax.Array, jax.Array],
        *,
        window: int | None,
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Adds one block of keys to (running maximum, sum of weights, weighted values)."""
        peak, total, mixed = carry
        keys, values = self._gather(cache, places.block_table, index)
        scores = jnp.einsum("bkqh,bkhs->bkqs", queries, keys, preferred_element_type=jnp.float32)
        visible = self._visible(places, index, window=window)  # [B, 1, 1, T, S]
        grouped = scores.reshape(*scores.shape[:2], -1, *visible.shape[3:])
        scores = jnp.where(visible, grouped, MASKED).reshape(scores.shape)
        new_peak = jnp.maximum(peak, jnp.max(scores, axis=-1))
        weights = jnp.exp(scores - new_peak[..., None])
        decay = jnp.exp(peak - new_peak)
        block = jnp.einsum("bkqs,bksh->bkqh", weights.astype(values.dtype), values, preferred_element_type=jnp.float32)
        return new_peak, total * decay + jnp.sum(weights, axis=-1), mixed * decay[..., None] + block

    def _gather(self, cache: jax.Array, block_table: jax.Array, index: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Keys [B, K, H, S] and values [B, K, S, H] of block `index`."""
        num_pages = self.block_size // self.page_size
        pages = jax.lax.dynamic_slice_in_dim(block_table, index * num_pages, num_pages, axis=1)
        rows = cache[pages].reshape(pages.shape[0], self.block_size, -1, 2, cache.shape[3])  # [B, S, K, 2, H]
        return rows[:, :, :, 0].transpose(0, 2, 3, 1), rows[:, :, :, 1].transpose(0, 2, 1, 3)

    def _visible(self, places: TokenPlaces, index: jax.Array, *, window: int | None) -> jax.Array:
        """bool [B, 1, 1, T, S]: key position s with position - window < s <= position."""
        keys = index * self.block_size + jnp.arange(self.block_size)
        positions = places.positions[:, None, None, :, None]
        visible = keys <= positions
        return visible if window is None else visible & (keys > positions - window)
