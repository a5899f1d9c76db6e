"""Paged attention in plain XLA: gathers pages block by block, with an online softmax.

Cache layout, of one layer: `[pages, page, 2K, H]`, keys at even and values at odd indices of the third axis, as the
TPU kernel in jax lays it out; of a layer that keeps one latent vector of a token, `[pages, page, 1, H]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from penstock.layers.attention import PagePlaces, TokenPlaces, bits_to_widen, page_rows, widened
from penstock.layers.gather_latent import mix_latents
from penstock.layers.heads import prepared_heads
from penstock.layers.leaf import Axes
from penstock.layers.online_softmax import MASKED, Blocks, Mix, online_softmax
from penstock.layers.spec import AttentionSpec, CacheSpec, ScoreSpec


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
        return num_pages, self.page_size, spec.num_vectors, spec.head_dim

    def cache_axes(self, spec: CacheSpec) -> Axes:
        return None, None, None if spec.is_latent else "kv_heads", None

    def mix(
        self,
        fused: jax.Array,
        leaves: dict[str, jax.Array],
        cache: jax.Array,
        places: TokenPlaces,
        *,
        spec: AttentionSpec,
    ) -> tuple[jax.Array, jax.Array]:
        heads = (*places.positions.shape, -1, spec.head_dim)
        q, k, v = (part.reshape(heads) for part in prepared_heads(fused, leaves, places, spec=spec))
        pages = places.in_group(spec.page_group)
        cache = self.write(cache, k, v, pages)
        mixed = self.attend(q, cache, pages, scores=spec.scores, sinks=leaves.get("sinks"))
        return mixed.reshape(fused.shape[0], -1), cache

    def write(self, cache: jax.Array, k: jax.Array, v: jax.Array, places: PagePlaces) -> jax.Array:
        """Stores k, v [B, T, K, H] of the new tokens; returns the cache."""
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
        """Causal attention of q [B, T, N, H] to all stored positions of its row that its window shows. `sinks` [N] are
        scores of a key without a value: one more term in each head's sum. Returns [B, T, N, H]."""
        batch, num_new, num_heads, head_dim = q.shape
        scaled = (q.astype(jnp.float32) * scores.scale).astype(q.dtype)
        grouped = scaled.reshape(batch, num_new, cache.shape[2] // 2, -1, head_dim)  # [B, T, K, G, H]
        if sinks is not None:
            sinks = sinks.astype(jnp.float32).reshape(grouped.shape[2:4])  # [K, G]
        attend = self._attend_one if num_new == 1 else self._attend_many
        out = attend(grouped, cache, places, scores, sinks)
        return out.reshape(batch, num_new, num_heads, head_dim).astype(q.dtype)

    def write_latents(self, cache: jax.Array, latents: jax.Array, places: PagePlaces) -> jax.Array:
        pages, offsets = page_rows(places, self.page_size)
        stored: jax.Array = cache.at[pages, offsets, 0].set(latents.astype(cache.dtype))
        return stored

    def attend_to_latents(
        self, q: jax.Array, cache: jax.Array, places: PagePlaces, *, scores: ScoreSpec, value_size: int
    ) -> jax.Array:
        def read(index: jax.Array) -> tuple[jax.Array, jax.Array]:
            latents = bits_to_widen(cache, q.dtype)[
                self._block_pages(places.block_table, index), :, 0
            ]  # [B, pages, page, H]
            latents = widened(latents.reshape(q.shape[0], self.block_size, -1), q.dtype)
            visible = self._visible(places, index, scores.window)
            is_seen = jnp.any(visible & places.is_real[..., None], axis=1)  # [B, S]
            return jnp.where(is_seen[..., None], latents, 0), visible

        scaled = (q.astype(jnp.float32) * scores.scale).astype(q.dtype)
        blocks = self._block_range(places, scores.window)
        return mix_latents(scaled, read, blocks, value_size=value_size).astype(q.dtype)

    def _attend_one(
        self, q: jax.Array, cache: jax.Array, places: PagePlaces, spec: ScoreSpec, sinks: jax.Array | None
    ) -> jax.Array:
        """Decode, q [B, 1, K, G, H]: products and sums instead of matrix products, which for one query only pay for
        the transposed keys and values they need (8 rows of 1900 positions on CPU: 95 ms against 190)."""

        def score(index: jax.Array) -> tuple[jax.Array, Mix]:
            keys, values = self._gather(cache, places.block_table, index, q.dtype)  # [B, S, K, H] each
            visible = self._visible(places, index, spec.window)[:, 0, :, None, None]  # [B, S, 1, 1]
            values = jnp.where(visible, values, 0)
            scores = jnp.sum((keys[:, :, :, None] * q).astype(jnp.float32), axis=4)  # [B, S, K, G]
            return jnp.where(visible, _capped(scores, spec.soft_cap), MASKED), lambda weights: jnp.sum(
                weights[..., None] * values[:, :, :, None].astype(jnp.float32), axis=1
            )

        blocks = self._block_range(places, spec.window)
        return online_softmax(score, blocks, (q.shape[0], *q.shape[2:]), axis=1, sinks=sinks)

    def _attend_many(
        self, q: jax.Array, cache: jax.Array, places: PagePlaces, spec: ScoreSpec, sinks: jax.Array | None
    ) -> jax.Array:
        """Prefill, q [B, T, K, G, H]: matrix products over all queries of a key-value head."""
        batch, num_new, num_kv_heads, num_groups, head_dim = q.shape
        queries = q.transpose(0, 2, 3, 1, 4).reshape(batch, num_kv_heads, -1, head_dim)  # [B, K, G * T, H]

        def score(index: jax.Array) -> tuple[jax.Array, Mix]:
            keys, values = self._gather(cache, places.block_table, index, q.dtype)
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
        out = online_softmax(score, self._block_range(places, spec.window), queries.shape, axis=3, sinks=sinks)
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

    def _gather(
        self, cache: jax.Array, block_table: jax.Array, index: jax.Array, dtype: Any
    ) -> tuple[jax.Array, jax.Array]:
        """Keys and values of block `index`, [B, S, K, H] each, in the `dtype` of the queries: a cache may be stored in
        half of it."""
        pages = self._block_pages(block_table, index)
        cache = bits_to_widen(cache, dtype)
        pairs = cache.reshape(*cache.shape[:2], -1, 2, cache.shape[3])  # [pages, page, K, 2, H]
        shape = (pages.shape[0], self.block_size, *pairs.shape[2:3], cache.shape[3])
        keys, values = pairs[pages, :, :, 0].reshape(shape), pairs[pages, :, :, 1].reshape(shape)
        return widened(keys, dtype), widened(values, dtype)

    def _block_pages(self, block_table: jax.Array, index: jax.Array) -> jax.Array:
        """The pages of block `index`, int32 [B, pages of a block]."""
        num_pages = self.block_size // self.page_size
        pages: jax.Array = jax.lax.dynamic_slice_in_dim(block_table, index * num_pages, num_pages, axis=1)
        return pages

    def _visible(self, places: PagePlaces, index: jax.Array, window: int | None) -> jax.Array:
        """bool [B, T, S]: key position s with position - window < s <= position."""
        keys = index * self.block_size + jnp.arange(self.block_size)
        positions = places.positions[..., None]
        visible = keys <= positions
        return visible if window is None else visible & (keys > positions - window)


def _capped(scores: jax.Array, soft_cap: float | None) -> jax.Array:
    """Scores bent into (-soft_cap, soft_cap)."""
    return scores if soft_cap is None else soft_cap * jnp.tanh(scores / soft_cap)
