"""The attention half of a layer: grouped query heads with rotary positions, over the layer's paged cache."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from penstock.layers.attention import PagedAttention, TokenPlaces
from penstock.layers.linear import linear, linear_reduced
from penstock.layers.norm import norm
from penstock.layers.rope import rope_angles, rotate
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
    heads = (*places.positions.shape, -1, spec.head_dim)
    q, k, v = (part.reshape(heads) for part in _project(x, leaves, places, spec=spec))
    pages = places.in_group(spec.page_group)
    cache = attention.write(cache, k, v, pages)
    mixed = attention.attend(q, cache, pages, scores=spec.scores, sinks=leaves.get("sinks"))
    mixed = mixed.reshape(x.shape[0], -1)
    return linear_reduced(
        mixed, leaves["o"], leaves.get("o_bias"), mesh_axis=spec.mesh_axis, rows=places.real_rows
    ), cache


def _project(
    x: jax.Array, leaves: dict[str, Any], places: TokenPlaces, *, spec: AttentionSpec
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Queries [R, N, H] and keys [R, K, H], normed and rotated, and values [R, K, H], of x [R, D]."""
    fused = linear(x, leaves["qkv"], leaves.get("qkv_bias"), rows=places.real_rows)  # [R, K, (G + 2) * H]
    if spec.qkv_limit is not None:
        fused = jnp.clip(fused, -spec.qkv_limit, spec.qkv_limit)
    size = spec.num_groups * spec.head_dim
    q, k, v = jnp.split(fused, [size, size + spec.head_dim], axis=-1)
    q = q.reshape(x.shape[0], spec.num_heads, spec.head_dim)
    if spec.qk_norm is not None:
        q, k = _normed(q, leaves, "q_norm", spec=spec), _normed(k, leaves, "k_norm", spec=spec)
    if spec.rope is None:
        return q, k, v
    is_long = places.is_longer(spec.rope.original_max_position)
    angles = rope_angles(spec.rope, spec.head_dim, places.positions.reshape(-1), is_long=is_long)
    turn = partial(rotate, angles=angles, is_interleaved=spec.rope.is_interleaved)
    return turn(q), turn(k), v


def _normed(x: jax.Array, leaves: dict[str, Any], name: str, *, spec: AttentionSpec) -> jax.Array:
    """Heads x [R, heads, H], normed each alone, by weights [H] or [heads, H], or all of a token together."""
    assert spec.qk_norm is not None, "a spec without a norm has no leaves for one"
    if spec.qk_norm_over != "all":
        return norm(x, leaves, name, spec=spec.qk_norm)
    flat = x.reshape(x.shape[0], -1)
    return norm(flat, leaves, name, spec=spec.qk_norm, mesh_axis=spec.mesh_axis).reshape(x.shape)
