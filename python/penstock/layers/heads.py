"""What becomes of projected heads before attention: a bound, norms and rotary positions."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from penstock.layers.attention import TokenPlaces
from penstock.layers.norm import norm
from penstock.layers.rope import rope_angles, rotate
from penstock.layers.spec import AttentionSpec


def split_heads(fused: jax.Array, *, spec: AttentionSpec) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Queries [R, N, H], keys and values [R, K, H], of projections [R, K, (G + 2) * H]."""
    size = spec.num_groups * spec.head_dim
    q, k, v = jnp.split(fused, [size, size + spec.head_dim], axis=-1)
    return q.reshape(fused.shape[0], spec.num_heads, spec.head_dim), k, v


def joined_heads(q: jax.Array, k: jax.Array, v: jax.Array, *, spec: AttentionSpec) -> jax.Array:
    """What `split_heads` took apart."""
    q = q.reshape(*k.shape[:2], spec.num_groups * spec.head_dim)
    return jnp.concatenate([q, k, v], axis=-1)


def bounded(fused: jax.Array, *, spec: AttentionSpec) -> jax.Array:
    """Projections within the limit of `spec`."""
    return fused if spec.qkv_limit is None else jnp.clip(fused, -spec.qkv_limit, spec.qkv_limit)


def normed_heads(
    q: jax.Array, k: jax.Array, leaves: dict[str, jax.Array], *, spec: AttentionSpec
) -> tuple[jax.Array, jax.Array]:
    """Queries and keys, normed as `spec` says."""
    if spec.qk_norm is None:
        return q, k
    return _normed(q, leaves, "q_norm", spec=spec), _normed(k, leaves, "k_norm", spec=spec)


def prepared_heads(
    fused: jax.Array, leaves: dict[str, jax.Array], places: TokenPlaces, *, spec: AttentionSpec
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Queries [R, N, H] and keys [R, K, H], normed and rotated, and values [R, K, H], of projections."""
    q, k, v = split_heads(bounded(fused, spec=spec), spec=spec)
    q, k = normed_heads(q, k, leaves, spec=spec)
    if spec.rope is None:
        return q, k, v
    turn = partial(rotate, angles=head_angles(places, spec=spec), is_interleaved=spec.rope.is_interleaved)
    return turn(q), turn(k), v


def head_angles(places: TokenPlaces, *, spec: AttentionSpec) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine of the rotary positions, float32 [R, 1, pairs]; of no pairs where nothing is rotated."""
    if spec.rope is None:
        none = jnp.zeros((places.positions.size, 1, 0), jnp.float32)
        return none, none
    is_long = places.is_longer(spec.rope.original_max_position)
    return rope_angles(spec.rope, spec.head_dim, places.positions.reshape(-1), is_long=is_long)


def _normed(x: jax.Array, leaves: dict[str, jax.Array], name: str, *, spec: AttentionSpec) -> jax.Array:
    """Heads x [R, heads, H], normed each alone, by weights [H] or [heads, H], or all of a token together."""
    assert spec.qk_norm is not None, "a spec without a norm has no leaves for one"
    if spec.qk_norm_over != "all":
        return norm(x, leaves, name, spec=spec.qk_norm)
    flat = x.reshape(x.shape[0], -1)
    return norm(flat, leaves, name, spec=spec.qk_norm, mesh_axis=spec.mesh_axis).reshape(x.shape)
