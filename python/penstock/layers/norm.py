"""Normalisation, in float32 whatever the activations are."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from penstock.layers.reduce import summed
from penstock.layers.spec import NormSpec


def norm(
    x: jax.Array, leaves: dict[str, jax.Array], name: str, *, spec: NormSpec, mesh_axis: str | None = None
) -> jax.Array:
    """x [..., D] normalised over its last axis, with the leaves of `spec.leaves(name, D)`; in the dtype of `x`.

    Args:
        mesh_axis: of the devices that each hold as much of the last axis.
    """
    return normalised(x, leaves.get(name), leaves.get(name + "_bias"), spec=spec, mesh_axis=mesh_axis)


def normalised(
    x: jax.Array, weight: jax.Array | None, bias: jax.Array | None, *, spec: NormSpec, mesh_axis: str | None = None
) -> jax.Array:
    """`norm` with its arrays, [D] each."""

    def mean(x: jax.Array) -> jax.Array:
        own = jnp.mean(x, axis=-1, keepdims=True)
        return own if mesh_axis is None else summed(own, mesh_axis) / jax.lax.axis_size(mesh_axis)

    wide = x.astype(jnp.float32)
    if spec.kind == "layer":
        wide = wide - mean(wide)
    wide = wide * jax.lax.rsqrt(mean(wide * wide) + spec.eps)
    if weight is not None:
        wide = wide * (weight.astype(jnp.float32) + 1 if spec.plus_one else weight)
    if bias is not None:
        wide = wide + bias
    return wide.astype(x.dtype)
