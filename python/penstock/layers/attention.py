"""Attention over a paged cache: one interface, an implementation for each platform.

An implementation owns the layout of the cache. `GatherAttention` runs everywhere and is the judge of any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from penstock.layers.leaf import Axes
from penstock.layers.linear import real_rows
from penstock.layers.spec import AttentionSpec, CacheSpec, ScoreSpec


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class PagePlaces:
    """Where the new tokens of a step stand in the pages of one group.

    Attributes:
        positions: int32 [B, T], of each new token in its sequence.
        block_table: int32 [B, P], the page of each `page_size` positions of a sequence; 0 where none is needed.
        is_real: bool [B, T]; the others are padding: their keys and values go to page 0, which nobody reads.
    """

    positions: jax.Array
    block_table: jax.Array
    is_real: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class TokenPlaces:
    """Where the new tokens of a step stand.

    Attributes:
        positions: int32 [B, T], of each new token in its sequence.
        block_tables: for each page group int32 [B, P], as in `PagePlaces`.
        is_real: bool [B, T]; the others are padding.
        prompt_lengths: int32 [B], of each row's prompt; read by layers that treat long sequences otherwise. None: all
            are short.
    """

    positions: jax.Array
    block_tables: tuple[jax.Array, ...]
    is_real: jax.Array
    prompt_lengths: jax.Array | None = None

    @property
    def real_rows(self) -> jax.Array:
        """Of the rows laid flat, as `linear` takes them."""
        return real_rows(self.is_real)

    def in_group(self, page_group: int) -> PagePlaces:
        return PagePlaces(self.positions, self.block_tables[page_group], self.is_real)

    def is_longer(self, num_tokens: int) -> jax.Array | None:
        """bool [B * T], whether the prompt of each token's row is longer than that."""
        if self.prompt_lengths is None:
            return None
        return jnp.repeat(self.prompt_lengths > num_tokens, self.positions.shape[1])


class PagedAttention(Protocol):
    """What a layer asks of an implementation."""

    @property
    def page_size(self) -> int:
        """Tokens per page."""

    @property
    def block_size(self) -> int:
        """Keys that it reads at once, a multiple of `page_size`: block tables are as long as whole blocks."""

    def cache_shape(self, spec: CacheSpec, *, num_pages: int) -> tuple[int, ...]:
        """Shape of one layer's cache. `num_pages` counts page 0."""

    def cache_axes(self, spec: CacheSpec) -> Axes:
        """What each axis of a cache counts, as those of a leaf."""

    def mix(
        self,
        fused: jax.Array,
        leaves: dict[str, jax.Array],
        cache: jax.Array,
        places: TokenPlaces,
        *,
        spec: AttentionSpec,
    ) -> tuple[jax.Array, jax.Array]:
        """From the projections of new tokens to their mixed values: stores keys and values, normed and rotated as
        `spec` says, then causal attention to all stored positions of a token's row that its window shows. What a row
        does not see may be anything, not-a-numbers too.

        Args:
            fused: [R, K, (G + 2) * H], R = B * T: for each key-value head its queries, its key and its value.
            leaves: those of `spec`.

        Returns:
            [R, N * H] in the dtype of `fused`, and the cache.
        """

    def write_latents(self, cache: jax.Array, latents: jax.Array, places: PagePlaces) -> jax.Array:
        """Stores latents [B, T, H] of the new tokens, of a layer that keeps one vector of each; returns the cache."""

    def attend_to_latents(
        self, q: jax.Array, cache: jax.Array, places: PagePlaces, *, scores: ScoreSpec, value_size: int
    ) -> jax.Array:
        """Causal attention where all heads read one stored vector of a token: whole as the key, its first `value_size`
        numbers as the value. q [B, T, N, H] → [B, T, N, value_size]."""


def page_rows(places: PagePlaces, page_size: int) -> tuple[jax.Array, jax.Array]:
    """Page and offset in it for each new token, int32 [B, T] each; page 0 for padding."""
    index = jnp.minimum(places.positions // page_size, places.block_table.shape[1] - 1)
    pages = jnp.take_along_axis(places.block_table, index, axis=1)
    return jnp.where(places.is_real, pages, 0), places.positions % page_size


def bits_to_widen(cache: jax.Array, dtype: Any) -> jax.Array:
    """The cache as `widened` takes what is read of it: bfloat16 that is to become float32 as its bits, which XLA's CPU
    reads and casts in two thirds of the time (8 rows of 1800 positions: 59 ms a layer against 92; float32: 42)."""
    if cache.dtype != jnp.bfloat16 or dtype != jnp.float32:
        return cache
    bits: jax.Array = jax.lax.bitcast_convert_type(cache, jnp.uint16)
    return bits


def widened(x: jax.Array, dtype: Any) -> jax.Array:
    """What was read of `bits_to_widen`, in a dtype that holds all its numbers."""
    if x.dtype != jnp.uint16:
        return x.astype(dtype)
    wide: jax.Array = jax.lax.bitcast_convert_type(x.astype(jnp.uint32) << 16, jnp.float32)
    return wide
