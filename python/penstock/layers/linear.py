"""The linear layer, and the one whose inputs may be split over devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from penstock.layers import kernels
from penstock.layers.packed_matrix import Matrix, PackedMatrix
from penstock.layers.reduce import summed


def linear(x: jax.Array, weight: Matrix, bias: jax.Array | None = None, *, rows: jax.Array | None = None) -> jax.Array:
    """`x weight (+ bias)`: x [R, in], weight [in, ...out], bias [...out] → [R, ...out].

    Args:
        rows: int32 [2], of `real_rows`: a packed matrix is multiplied by these alone, the others become 0.
    """
    if isinstance(weight, PackedMatrix):
        bias = None if bias is None else bias.reshape(-1)
        return kernels.product(x, weight, bias=bias, rows=rows).reshape(len(x), *weight.out)
    out = jnp.tensordot(x, weight, axes=1)
    return out if bias is None else out + bias


def linear_reduced(
    x: jax.Array,
    weight: Matrix,
    bias: jax.Array | None = None,
    *,
    mesh_axis: str | None,
    rows: jax.Array | None = None,
) -> jax.Array:
    """`linear` where the inputs are heads or columns of an MLP, which the devices of `mesh_axis` share: each has a part
    of the sum, which is put together before the bias."""
    if mesh_axis is None:
        return linear(x, weight, bias, rows=rows)
    out = summed(linear(x, weight), mesh_axis)
    return out if bias is None else out + bias


def real_rows(is_real: jax.Array) -> jax.Array:
    """int32 [2], from 0 to behind the last row of bool `is_real` that is not padding."""
    numbers = jnp.arange(1, is_real.size + 1, dtype=jnp.int32)
    end = jnp.max(jnp.where(is_real.reshape(-1), numbers, 0))
    return jnp.stack([jnp.zeros((), jnp.int32), end])
