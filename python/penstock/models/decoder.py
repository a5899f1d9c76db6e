"""The one decoder: token ids and a paged cache in, hidden states and the cache out. Described by a `DecoderSpec`.

Knows no sampling, no slots and no requests. Rows of all sequences are laid flat, R = B * T, wherever a step needs no
more than a token at a time.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from penstock.layers.attention import PagedAttention, TokenPlaces
from penstock.layers.grouped_attention import grouped_attention
from penstock.layers.mlp import gated_mlp
from penstock.layers.norm import rms_norm
from penstock.models.spec import DecoderSpec, LayerSpec
from penstock.models.tree import layers_of

Weights = dict[str, Any]
Caches = tuple[jax.Array, ...]


def empty_caches(
    spec: DecoderSpec, attention: PagedAttention, *, num_pages: int | tuple[int, ...], dtype: Any
) -> Caches:
    """A cache for each layer. `num_pages`: of every page group, or of each, with page 0; `dtype` is for layers without
    one."""
    of_groups = (num_pages,) * len(spec.page_groups) if isinstance(num_pages, int) else num_pages
    caches = [layer.cache for layer in spec.layers]
    return tuple(
        jnp.zeros(attention.cache_shape(cache, num_pages=of_groups[cache.page_group]), cache.dtype or dtype)
        for cache in caches
    )


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
        caches: of `empty_caches`.
        tokens: int32 [B, T].

    Returns:
        Hidden states after the final norm [B, T, D], and the caches.
    """
    with jax.named_scope("embed"):
        x = weights["embed"][tokens.reshape(-1)]  # [R, D]
    written = []
    for layer, leaves, cache in zip(spec.layers, layers_of(weights, spec), caches, strict=True):
        x, new_cache = _run_layer(x, leaves, cache, places, spec=layer, attention=attention)
        written.append(new_cache)
    hidden = rms_norm(x, weights["final_norm"], eps=spec.norm_eps)
    return hidden.reshape(*tokens.shape, -1), tuple(written)


def logits(weights: Weights, hidden: jax.Array, *, spec: DecoderSpec) -> jax.Array:
    """The output head: hidden [B, D] → float32 [B, V]."""
    with jax.named_scope("head"):
        if spec.is_tied:
            return jnp.einsum("bd,vd->bv", hidden, weights["embed"], preferred_element_type=jnp.float32)
        return jnp.einsum("bd,dv->bv", hidden, weights["lm_head"], preferred_element_type=jnp.float32)


def _run_layer(
    x: jax.Array,
    leaves: dict[str, jax.Array],
    cache: jax.Array,
    places: TokenPlaces,
    *,
    spec: LayerSpec,
    attention: PagedAttention,
) -> tuple[jax.Array, jax.Array]:
    """x [R, D] through one layer, and its cache."""
    with jax.named_scope("attention"):
        normed = rms_norm(x, leaves["attn_norm"], eps=spec.norm_eps)
        mixed, cache = grouped_attention(normed, leaves, cache, places, spec=spec.attention, attention=attention)
        x = x + mixed
    with jax.named_scope("mlp"):
        normed = rms_norm(x, leaves["mlp_norm"], eps=spec.norm_eps)
        x = x + gated_mlp(normed, leaves, spec=spec.feed_forward)
    return x, cache
