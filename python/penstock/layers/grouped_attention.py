"""The attention half of a layer: grouped query heads with rotary positions, over the layer's paged cache."""

from __future__ import annotations

from typing import Any

import jax

from penstock.layers.attention import PagedAttention
from penstock.layers.linear import linear, linear_reduced
from penstock.layers.spec import AttentionSpec
from penstock.layers.step_places import StepPlaces


def grouped_attention(
    x: jax.Array,
    leaves: dict[str, Any],
    cache: jax.Array,
    places: StepPlaces,
    *,
    spec: AttentionSpec,
    attention: PagedAttention,
) -> tuple[jax.Array, jax.Array]:
    """Stores the keys and values of the new tokens, then lets each attend to what its sequence has stored.

    Args:
        x: [R, D]; leaves: those of `spec`.
        cache: of `attention.cache_shape(spec.cache)`.

    Returns:
        [R, D], and the cache.
    """
    rows = places.real_rows
    fused = linear(x, leaves["qkv"], leaves.get("qkv_bias"), rows=rows)  # [R, K, (G + 2) * H]
    attended = []
    for part, projected in zip(places.parts, places.split(fused), strict=True):
        flat = projected.reshape(-1, *fused.shape[1:])
        mixed, cache = attention.mix(flat, leaves, cache, part, spec=spec)
        attended.append(mixed.reshape(*part.positions.shape, -1))
    mixed = places.join(attended)
    return linear_reduced(mixed, leaves["o"], leaves.get("o_bias"), mesh_axis=spec.mesh_axis, rows=rows), cache
