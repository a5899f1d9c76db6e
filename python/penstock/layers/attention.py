"""Attention over a paged cache: one interface, an implementation for each platform.

An implementation owns the layout of the cache. `GatherAttention` runs everywhere and is the judge of any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class TokenPlaces:
    """Where the new tokens of a step stand.

    Attributes:
        positions: int32 [B, T], of each new token in its sequence.
        block_table: int32 [B, P], the page of each `page_size` positions of a sequence; 0 where none is needed.
        is_real: bool [B, T]; the others are padding: their keys and values go to page 0, which nobody reads.
    """

    positions: jax.Array
    block_table: jax.Array
    is_real: jax.Array


class PagedAttention(Protocol):
    """What the decoder asks of an implementation."""

    @property
    def page_size(self) -> int:
        """Tokens per page."""

    def cache_shape(self, *, num_pages: int, num_kv_heads: int, head_dim: int) -> tuple[int, ...]:
        """Shape of one layer's cache. `num_pages` counts page 0."""

    def write(self, cache: jax.Array, k: jax.Array, v: jax.Array, places: TokenPlaces) -> jax.Array:
        """Stores k, v [B, T, K, H] of the new tokens; returns the cache."""

    def attend(self, q: jax.Array, cache: jax.Array, places: TokenPlaces, *, window: int | None) -> jax.Array:
        """Causal attention of q [B, T, N, H] to all stored positions of its row, scores scaled by 1/sqrt(H);
        a window of w lets a token see itself and the w - 1 before it. What a row does not see may be
        anything, not-a-numbers too. Returns [B, T, N, H]."""


def page_rows(places: TokenPlaces, page_size: int) -> tuple[jax.Array, jax.Array]:
    """Page and offset in it for each new token, int32 [B, T] each; page 0 for padding."""
    index = jnp.minimum(places.positions // page_size, places.block_table.shape[1] - 1)
    pages = jnp.take_along_axis(places.block_table, index, axis=1)
    return jnp.where(places.is_real, pages, 0), places.positions % page_size
