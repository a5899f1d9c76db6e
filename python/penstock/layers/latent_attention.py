"""The attention half of a layer that keeps one latent vector of a token (DeepSeek-V2, arXiv 2405.04434, 2.1).

The matrices that would make keys and values of the stored vectors are moved to the other side of the products: a query
is taken into the latents' space, and what is mixed there comes out through the values' matrix (2.1.2, "absorbed"). So a
stored vector is read once for all heads, and nothing is expanded.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from penstock.layers.attention import PagedAttention
from penstock.layers.latent_spec import LatentAttentionSpec
from penstock.layers.linear import linear, linear_reduced
from penstock.layers.norm import norm
from penstock.layers.rope import rope_angles, rotate
from penstock.layers.step_places import StepPlaces

Angles = tuple[jax.Array, jax.Array]


def latent_attention(
    x: jax.Array,
    leaves: dict[str, Any],
    cache: jax.Array,
    places: StepPlaces,
    *,
    spec: LatentAttentionSpec,
    attention: PagedAttention,
) -> tuple[jax.Array, jax.Array]:
    """Stores the latents of the new tokens, then lets each attend to what its sequence has stored.

    Args:
        x: [R, D]; leaves: those of `spec`.
        cache: of `attention.cache_shape(spec.cache)`.

    Returns:
        [R, D], and the cache.
    """
    angles = rope_angles(spec.rope, spec.rotated_size, places.positions)
    latents = places.split(_latents(x, leaves, angles, spec=spec))
    q = places.split(_queries(x, leaves, angles, spec=spec))
    attended = []
    for number, part in enumerate(places.parts):
        pages = part.in_group(spec.page_group)
        cache = attention.write_latents(cache, latents[number], pages)
        mixed = attention.attend_to_latents(q[number], cache, pages, scores=spec.scores, value_size=spec.rank)
        attended.append(mixed)
    values = jnp.einsum("rnc,nvc->rnv", places.join(attended), leaves["v_up"])
    values = values.reshape(x.shape[0], -1)
    return linear_reduced(
        values, leaves["o"], leaves.get("o_bias"), mesh_axis=spec.mesh_axis, rows=places.real_rows
    ), cache


def _latents(x: jax.Array, leaves: dict[str, Any], angles: Angles, *, spec: LatentAttentionSpec) -> jax.Array:
    """What is kept of x [R, D]: the latent vector and the rotated key, [R, rank + rotated]."""
    down = linear(x, leaves["kv_down"], leaves.get("kv_down_bias"))
    latent, key = jnp.split(down, [spec.rank], axis=-1)
    latent = norm(latent, leaves, "kv_norm", spec=spec.norm)
    key = rotate(key[:, None], angles, is_interleaved=spec.rope.is_interleaved)[:, 0]
    return jnp.concatenate([latent, key], axis=-1)


def _queries(x: jax.Array, leaves: dict[str, Any], angles: Angles, *, spec: LatentAttentionSpec) -> jax.Array:
    """Queries of x [R, D] in the space of the latents, [R, N, rank + rotated]."""
    if spec.query_rank is not None:
        x = norm(linear(x, leaves["q_down"], leaves.get("q_down_bias")), leaves, "q_norm", spec=spec.norm)
    plain, rotated = jnp.split(linear(x, leaves["q"]), [spec.plain_size], axis=-1)
    absorbed = jnp.einsum("rnh,nhc->rnc", plain, leaves["k_up"])
    return jnp.concatenate([absorbed, rotate(rotated, angles, is_interleaved=spec.rope.is_interleaved)], axis=-1)
