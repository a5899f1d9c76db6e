"""What the devices of a mesh axis put together."""

from __future__ import annotations

import jax


def summed(x: jax.Array, mesh_axis: str | None) -> jax.Array:
    """The sum of every device's `x`, the same on all; `x` where there is one device."""
    if mesh_axis is None:
        return x
    total: jax.Array = jax.lax.psum(x, mesh_axis)  # type: ignore[no-untyped-call]  # jax has no types here
    return total
