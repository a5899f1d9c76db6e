"""Attention to latent vectors: one of a token, which is key and value of every head (`layers.latent_attention`)."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from penstock.layers.online_softmax import MASKED, Blocks, Mix, online_softmax

#: For a block its latents [B, S, H], those that no query sees 0, and bool [B, T, S], which query sees which.
ReadBlock = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


def mix_latents(q: jax.Array, read: ReadBlock, blocks: Blocks, *, value_size: int) -> jax.Array:
    """The first `value_size` numbers of the latents, weighted by the softmax of their products with q.

    Args:
        q: [B, T, N, H], scaled.

    Returns:
        float32 [B, T, N, value_size].
    """
    batch, num_new, num_heads, size = q.shape
    queries = q.transpose(0, 2, 1, 3).reshape(batch, -1, size)  # [B, N * T, H]

    def score(index: jax.Array) -> tuple[jax.Array, Mix]:
        latents, visible = read(index)
        visible = jnp.tile(visible, (1, num_heads, 1))  # [B, N * T, S]
        scores = jnp.einsum("bqh,bsh->bqs", queries, latents, preferred_element_type=jnp.float32)
        values = latents[..., :value_size]
        return jnp.where(visible, scores, MASKED), lambda weights: jnp.einsum(
            "bqs,bsh->bqh", weights.astype(values.dtype), values, preferred_element_type=jnp.float32
        )

    out = online_softmax(score, blocks, (*queries.shape[:2], value_size), axis=2)
    return out.reshape(batch, num_heads, num_new, value_size).transpose(0, 2, 1, 3)
