"""The two ends of a decoder, where each device of a mesh axis may hold a part of the vocabulary."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from penstock.layers import kernels
from penstock.layers.packed_matrix import Matrix, PackedMatrix
from penstock.layers.reduce import summed


def embed(table: Matrix, tokens: jax.Array, *, mesh_axis: str | None) -> jax.Array:
    """The rows of `tokens`.

    Args:
        table: [V, D], or a device's part of it, the first device having the first rows; or packed, [D, V].
        tokens: int32 [R].

    Returns:
        [R, D]. Of parts, each gives its own rows and 0 for the others; their sum is exact.
    """
    if isinstance(table, PackedMatrix):
        return kernels.take_rows(table, tokens)
    if mesh_axis is None:
        return table[tokens]
    own = tokens - jax.lax.axis_index(mesh_axis) * len(table)
    is_own = (own >= 0) & (own < len(table))
    return summed(jnp.where(is_own[:, None], table[jnp.clip(own, 0, len(table) - 1)], 0), mesh_axis)


def whole_logits(logits: jax.Array, *, mesh_axis: str | None) -> jax.Array:
    """[B, V] of [B, V], or of the part [B, V / devices] that each device computed: all of them then sample alike."""
    if mesh_axis is None:
        return logits
    whole: jax.Array = jax.lax.all_gather(logits, mesh_axis, axis=1, tiled=True)
    return whole
