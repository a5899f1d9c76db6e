"""The attention half of a layer: grouped query heads with rotary positions, over the layer's paged cache."""

from __future__ import annotations

from typing import Any

import jax

from penstock.layers.attention import PagedAttention, TokenPlaces
from penstock.layers.linear import linear, linear_reduced
from penstock.layers.spec import AttentionSpec


def grouped_attention(
    x: jax.Array,
    leaves: dict[str, Any],
    cache: jax.Array,
    places: TokenPlaces,
    *,
    spec: AttentionSpec,
    attention: PagedAttention,
) -> tuple[jax.Array, jax.Array]:
    """Stores the keys and values of the new tokens, then lets each attend to what its sequence has stored.

    Args:
        x: [R, D], R = B * T; leaves: those of `spec`.
        cache: of `attention.cache_shape(spec.cache)`.

    Returns:
        [R, D], and the cache.
    """
    rows = places.real_rows
    fused = linear(x, leaves["qkv"], leaves.get("qkv_bias"), rows=rows)  # [R, K, (G + 2) * H]
    mixed, cache = attention.mix(fused, leaves, cache, places, spec=spec)
    return linear_reduced(mixed, leaves["o"], leaves.get("o_bias"), mesh_axis=spec.mesh_axis, rows=rows), cache
