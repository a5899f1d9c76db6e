"""Normalisation, in float32 whatever the activations are."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from penstock.layers.spec import NormSpec


def norm(x: jax.Array, leaves: dict[str, jax.Array], name: str, *, spec: NormSpec) -> jax.Array:
    """x [..., D] normalised over its last axis, with the leaves of `spec.leaves(name, D)`; in the dtype of `x`."""
    return normalised(x, leaves.get(name), leaves.get(name + "_bias"), spec=spec)


def normalised(x: jax.Array, weight: jax.Array | None, bias: jax.Array | None, *, spec: NormSpec) -> jax.Array:
    """`norm` with its arrays, [D] each."""
    wide = x.astype(jnp.float32)
    if spec.kind == "layer":
        wide = wide - jnp.mean(wide, axis=-1, keepdims=True)
    wide = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + spec.eps)
    if weight is not None:
        wide = wide * (weight.astype(jnp.float32) + 1 if spec.plus_one else weight)
    if bias is not None:
        wide = wide + bias
    return wide.astype(x.dtype)
