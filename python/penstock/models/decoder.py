"""The one decoder: token ids and a paged cache in, hidden states and the cache out. Described by a `DecoderSpec`.

Knows no sampling, no slots and no requests. Rows of all sequences are laid flat, R = B * T, wherever a step needs no
more than a token at a time.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from penstock.layers.attention import PagedAttention, TokenPlaces
from penstock.layers.mlp import gated_mlp, linear
from penstock.layers.norm import rms_norm
from penstock.layers.rope import rope_angles, rotate
from penstock.models.spec import DecoderSpec

Weights = dict[str, Any]
Caches = tuple[jax.Array, ...]
Angles = tuple[jax.Array, jax.Array]


def forward(
    weights: Weights,
    caches: Caches,
    tokens: jax.Array,
    places: TokenPlaces,
    *,
    spec: DecoderSpec,
    attention: PagedAttention,
) -> tuple[jax.Array, Caches]:
    """Runs new tokens through all layers, storing their keys and values first.

    Args:
        weights: the tree of `penstock.models.tree`.
        caches: one array per layer, of `attention.cache_shape`.
        tokens: int32 [B, T].

    Returns:
        Hidden states after the final norm [B, T, D], and the caches.
    """
    with jax.named_scope("embed"):
        x = weights["embed"][tokens.reshape(-1)]  # [R, D]
    angles = rope_angles(spec.rope, spec.head_dim, places.positions.reshape(-1))
    written = []
    for layer, cache, window in zip(weights["layers"], caches, spec.windows, strict=True):
        with jax.named_scope("attention"):
            normed = rms_norm(x, layer["attn_norm"], eps=spec.norm_eps)
            q, k, v = _project(normed, layer, angles, spec=spec)
            shape = (*tokens.shape, -1, spec.head_dim)
            cache = attention.write(cache, k.reshape(shape), v.reshape(shape), places)  # noqa: PLW2901
            mixed = attention.attend(q.reshape(shape), cache, places, window=window)
            x = x + linear(mixed.reshape(-1, spec.q_size), layer["o"], layer.get("o_bias"))
            written.append(cache)
        with jax.named_scope("mlp"):
            normed = rms_norm(x, layer["mlp_norm"], eps=spec.norm_eps)
            x = x + gated_mlp(normed, layer, activation=spec.activation)
    hidden = rms_norm(x, weights["final_norm"], eps=spec.norm_eps)
    return hidden.reshape(*tokens.shape, -1), tuple(written)


def logits(weights: Weights, hidden: jax.Array, *, spec: DecoderSpec) -> jax.Array:
    """The output head: hidden [B, D] → float32 [B, V]."""
    with jax.named_scope("head"):
        if spec.is_tied:
            return jnp.einsum("bd,vd->bv", hidden, weights["embed"], preferred_element_type=jnp.float32)
        return jnp.einsum("bd,dv->bv", hidden, weights["lm_head"], preferred_element_type=jnp.float32)


def _project(
    x: jax.Array, layer: dict[str, jax.Array], angles: Angles, *, spec: DecoderSpec
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Rotated queries [R, N, H] and keys [R, K, H], and values [R, K, H], of x [R, D]."""
    fused = linear(x, layer["qkv"], layer.get("qkv_bias"))
    q, k, v = jnp.split(fused, [spec.q_size, spec.q_size + spec.kv_size], axis=-1)
    q, k, v = (part.reshape(x.shape[0], -1, spec.head_dim) for part in (q, k, v))
    if spec.has_qk_norm:
        q = rms_norm(q, layer["q_norm"], eps=spec.norm_eps)
        k = rms_norm(k, layer["k_norm"], eps=spec.norm_eps)
    return rotate(q, angles), rotate(k, angles), v
