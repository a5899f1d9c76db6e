"""Paged attention for the CPU in one call of a kernel of ours: norm, rotary positions, the cache's new rows, attention.

Cache layout, of one layer: `[pages, K, even(H) + max(H, 16), 16]`: of a page and head first the keys `[H, 16 tokens]`,
so that the scores of 16 tokens are one vector, then values `[16 tokens, H]`: `rust/kernels/src/attention/layout.rs`.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from penstock.layers import kernels
from penstock.layers.attention import PagePlaces, TokenPlaces
from penstock.layers.gather_attention import GatherAttention
from penstock.layers.heads import bounded, head_angles, joined_heads, normed_heads, split_heads
from penstock.layers.leaf import Axes
from penstock.layers.spec import AttentionSpec, CacheSpec, ScoreSpec

#: Tokens of a page: as many as a vector has numbers.
PAGE_SIZE = 16

#: Layers that keep one latent vector of a token have no kernel: they are computed by gathering pages.
_LATENT = GatherAttention(PAGE_SIZE, 64, is_dynamic=True)


@dataclass(frozen=True, slots=True)
class KernelAttention:
    """A row's result depends on its sequence alone, to the bit: not on the batch, nor on how a prompt is cut."""

    @property
    def page_size(self) -> int:
        return PAGE_SIZE

    @property
    def block_size(self) -> int:
        return _LATENT.block_size

    def cache_shape(self, spec: CacheSpec, *, num_pages: int) -> tuple[int, ...]:
        if spec.is_latent:
            return _LATENT.cache_shape(spec, num_pages=num_pages)
        size = spec.head_dim
        return num_pages, spec.num_heads, size + size % 2 + max(size, PAGE_SIZE), PAGE_SIZE

    def cache_axes(self, spec: CacheSpec) -> Axes:
        return _LATENT.cache_axes(spec) if spec.is_latent else (None, "kv_heads", None, None)

    def mix(
        self,
        fused: jax.Array,
        leaves: dict[str, jax.Array],
        cache: jax.Array,
        places: TokenPlaces,
        *,
        spec: AttentionSpec,
    ) -> tuple[jax.Array, jax.Array]:
        pages, wide = places.in_group(spec.page_group), fused.astype(jnp.float32)
        has_norm = spec.qk_norm is not None
        if has_norm and not _is_norm_in_kernel(spec):
            q, k, v = split_heads(bounded(wide, spec=spec), spec=spec)
            wide, has_norm = joined_heads(*normed_heads(q, k, leaves, spec=spec), v, spec=spec), False
        cos, sin = (part[:, 0] for part in head_angles(places, spec=spec))
        mixed, cache = kernels.call(
            "attention",
            (_like(wide, (fused.shape[0], spec.num_heads * spec.head_dim)), _like(cache, cache.shape)),
            wide,
            cos,
            sin,
            _norm_weight(leaves, "q_norm", spec=spec, has_norm=has_norm),
            _norm_weight(leaves, "k_norm", spec=spec, has_norm=has_norm),
            leaves["sinks"].astype(jnp.float32) if spec.has_sinks else _nothing(),
            jnp.where(pages.is_real, pages.positions, -1),
            pages.block_table,
            cache,
            aliases={8: 1},
            norm=spec.qk_norm.kind if has_norm and spec.qk_norm is not None else "none",
            eps=np.float32(0 if spec.qk_norm is None else spec.qk_norm.eps),
            scale=np.float32(spec.scores.scale),
            soft_cap=np.float32(spec.soft_cap or 0),
            limit=np.float32(np.inf if spec.qkv_limit is None else spec.qkv_limit),
            window=np.int64(spec.window or 0),
            is_interleaved=spec.rope is not None and spec.rope.is_interleaved,
            num_kv_heads=np.int64(spec.num_kv_heads),
            head_dim=np.int64(spec.head_dim),
        )
        return mixed.astype(fused.dtype), cache

    def write_latents(self, cache: jax.Array, latents: jax.Array, places: PagePlaces) -> jax.Array:
        return _LATENT.write_latents(cache, latents, places)

    def attend_to_latents(
        self, q: jax.Array, cache: jax.Array, places: PagePlaces, *, scores: ScoreSpec, value_size: int
    ) -> jax.Array:
        return _LATENT.attend_to_latents(q, cache, places, scores=scores, value_size=value_size)


def _is_norm_in_kernel(spec: AttentionSpec) -> bool:
    """Of each head alone and without a bias."""
    return spec.qk_norm is not None and spec.qk_norm_over != "all" and not spec.qk_norm.has_bias


def _norm_weight(leaves: dict[str, jax.Array], name: str, *, spec: AttentionSpec, has_norm: bool) -> jax.Array:
    """Of a norm that the kernel computes, as what heads are multiplied by."""
    if not has_norm or spec.qk_norm is None or not spec.qk_norm.has_weight:
        return _nothing()
    weight = leaves[name].astype(jnp.float32)
    return weight + 1 if spec.qk_norm.plus_one else weight


def _nothing() -> jax.Array:
    return jnp.zeros(0, jnp.float32)


def _like(x: jax.Array, shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, x.dtype)  # type: ignore[no-untyped-call]  # jax has no types here
