"""The linear layer, and the one whose inputs may be split over devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from penstock.layers.reduce import summed


def linear(x: jax.Array, weight: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """`x weight (+ bias)`: x [R, in], weight [in, ...out], bias [...out] → [R, ...out]."""
    out = jnp.tensordot(x, weight, axes=1)
    return out if bias is None else out + bias


def linear_reduced(
    x: jax.Array, weight: jax.Array, bias: jax.Array | None = None, *, mesh_axis: str | None
) -> jax.Array:
    """`linear` where the inputs are heads or columns of an MLP, which the devices of `mesh_axis` share: each has a part
    of the sum, which is put together before the bias."""
    out = summed(linear(x, weight), mesh_axis)
    return out if bias is None else out + bias
