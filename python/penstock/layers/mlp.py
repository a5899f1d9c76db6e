"""The feed-forward half of a layer."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "silu": jax.nn.silu,
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
}


def linear(x: jax.Array, weight: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """`x @ weight (+ bias)`: x [R, in], weight [in, out], bias [out]."""
    out = x @ weight
    return out if bias is None else out + bias


def gated_mlp(x: jax.Array, layer: dict[str, jax.Array], *, activation: str) -> jax.Array:
    """`(act(x gate) * (x up)) down` (Shazeer, arXiv 2002.05202).

    Args:
        x: [R, D]; layer: leaves `gate_up` [D, 2F], `down` [F, D] and their biases, if any.
    """
    gate, up = jnp.split(linear(x, layer["gate_up"], layer.get("gate_up_bias")), 2, axis=-1)
    return linear(ACTIVATIONS[activation](gate) * up, layer["down"], layer.get("down_bias"))
