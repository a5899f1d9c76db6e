"""The dense feed-forward half of a layer, and the linear layer."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from penstock.layers.spec import MlpSpec

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "silu": jax.nn.silu,
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
}


def linear(x: jax.Array, weight: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    """`x weight (+ bias)`: x [R, in], weight [in, ...out], bias [...out] → [R, ...out]."""
    out = jnp.tensordot(x, weight, axes=1)
    return out if bias is None else out + bias


def gated_mlp(x: jax.Array, leaves: dict[str, jax.Array], *, spec: MlpSpec) -> jax.Array:
    """`(act(x gate) * (x up)) down`, x [R, D], with the leaves of `spec`."""
    gate_up = linear(x, leaves["gate_up"], leaves.get("gate_up_bias"))  # [R, 2, F]
    inner = ACTIVATIONS[spec.activation](gate_up[:, 0]) * gate_up[:, 1]
    return linear(inner, leaves["down"], leaves.get("down_bias"))
