"""The one decoder: token ids and a paged cache in, hidden states and the cache out. Described by a `DecoderSpec`.

Knows no sampling, no slots and no requests. Rows of all sequences are laid flat wherever a step needs no more than a
token at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from penstock.layers.attention import PagedAttention
from penstock.layers.grouped_attention import grouped_attention
from penstock.layers.latent_attention import latent_attention
from penstock.layers.latent_spec import LatentAttentionSpec
from penstock.layers.linear import linear
from penstock.layers.mlp import mlp
from penstock.layers.moe import mixture
from penstock.layers.moe_spec import MoeSpec
from penstock.layers.norm import norm
from penstock.layers.packed_matrix import Matrix, PackedMatrix
from penstock.layers.spec import AttentionSpec, MlpSpec
from penstock.layers.step_places import StepPlaces
from penstock.layers.vocabulary import embed, whole_logits
from penstock.models.spec import DecoderSpec, LayerSpec
from penstock.models.tree import layers_of

Weights = dict[str, Any]
Caches = tuple[jax.Array, ...]

#: What computes each kind of half: (x, leaves, cache, places, spec=, attention=) → (x, cache), and (x, leaves, is_real,
#: rows, spec=) → x.
ATTENTIONS: dict[type, Callable[..., tuple[jax.Array, jax.Array]]] = {
    AttentionSpec: grouped_attention,
    LatentAttentionSpec: latent_attention,
}
FEED_FORWARDS: dict[type, Callable[..., jax.Array]] = {
    MlpSpec: lambda x, leaves, _, rows, *, spec: mlp(x, leaves, rows, spec=spec),
    MoeSpec: mixture,
}


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
    places: StepPlaces,
    *,
    spec: DecoderSpec,
    attention: PagedAttention,
) -> tuple[jax.Array, Caches]:
    """Runs new tokens through all layers, storing their keys and values first.

    Args:
        weights: the tree of `penstock.models.tree`.
        caches: of `empty_caches`.
        tokens: int32 [R].

    Returns:
        Hidden states after the final norm [R, D], and the caches.
    """
    x = _embed(weights, tokens, places, spec=spec)
    written = []
    for layer, leaves, cache in zip(spec.layers, layers_of(weights, spec), caches, strict=True):
        x, new_cache = _run_layer(x, leaves, cache, places, spec=layer, attention=attention)
        written.append(new_cache)
    return norm(x, weights, "final_norm", spec=spec.final_norm), tuple(written)


def logits(weights: Weights, hidden: jax.Array, rows: jax.Array | None = None, *, spec: DecoderSpec) -> jax.Array:
    """The output head: hidden [B, D] → float32 [B, V]. `rows`: as in `linear`."""
    with jax.named_scope("head"):
        out = _head(weights["embed" if spec.is_tied else "lm_head"], hidden, rows, spec=spec)
        if spec.has_head_bias:
            out = out + weights["lm_head_bias"]
        out = whole_logits(out, mesh_axis=spec.vocab_axis)
        if spec.logit_scale != 1:
            out = out * spec.logit_scale
        cap = spec.logit_soft_cap
        return out if cap is None else cap * jnp.tanh(out / cap)


def _head(head: Matrix, hidden: jax.Array, rows: jax.Array | None, *, spec: DecoderSpec) -> jax.Array:
    """The products, float32 [B, V]."""
    if isinstance(head, PackedMatrix):
        return linear(hidden.astype(jnp.float32), head, rows=rows)
    letters = "vd" if spec.is_tied else "dv"
    return jnp.einsum(f"bd,{letters}->bv", hidden, head, preferred_element_type=jnp.float32)


def _embed(weights: Weights, tokens: jax.Array, places: StepPlaces, *, spec: DecoderSpec) -> jax.Array:
    """[R, D] of tokens [R]."""
    with jax.named_scope("embed"):
        x = embed(weights["embed"], tokens, mesh_axis=spec.vocab_axis)
        if spec.embed_scale != 1:
            x = x * jnp.asarray(spec.embed_scale, x.dtype)
        if spec.num_learned_positions:
            x = x + weights["positions"][places.positions]
        return x


def _run_layer(
    x: jax.Array,
    leaves: dict[str, Any],
    cache: jax.Array,
    places: StepPlaces,
    *,
    spec: LayerSpec,
    attention: PagedAttention,
) -> tuple[jax.Array, jax.Array]:
    """x [R, D] through one layer, and its cache."""
    with jax.named_scope("attention"):
        normed = _before(x, leaves, "attn_norm", spec=spec)
        attend = ATTENTIONS[type(spec.attention)]
        mixed, cache = attend(normed, leaves, cache, places, spec=spec.attention, attention=attention)
        attended = x + _after(mixed, leaves, "attn_post_norm", spec=spec)
    with jax.named_scope("mlp"):
        if not (spec.is_parallel and spec.has_one_norm):
            normed = _before(x if spec.is_parallel else attended, leaves, "mlp_norm", spec=spec)
        feed = FEED_FORWARDS[type(spec.feed_forward)]
        fed = feed(normed, leaves, places.is_real, places.real_rows, spec=spec.feed_forward)
        return attended + _after(fed, leaves, "mlp_post_norm", spec=spec), cache


def _before(x: jax.Array, leaves: dict[str, jax.Array], name: str, *, spec: LayerSpec) -> jax.Array:
    """What a half reads of the residual."""
    return x if spec.norms == "after" else norm(x, leaves, name, spec=spec.norm)


def _after(x: jax.Array, leaves: dict[str, jax.Array], name: str, *, spec: LayerSpec) -> jax.Array:
    """What a half adds to the residual."""
    x = x if spec.norms == "before" else norm(x, leaves, name, spec=spec.norm)
    return x if spec.residual_scale == 1 else x * spec.residual_scale
