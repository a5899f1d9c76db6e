"""Normalisation, in float32 whatever the activations are."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def rms_norm(x: jax.Array, weight: jax.Array, *, eps: float) -> jax.Array:
    """`x / rms(x) * weight` over the last axis (Zhang and Sennrich, arXiv 1910.07467).

    Args:
        x: [..., D]; weight: [D].

    Returns:
        [..., D] in the dtype of `x`.
    """
    wide = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + eps)
    return (wide * scale).astype(x.dtype) * weight
