"""The dense feed-forward half of a layer."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from penstock.layers.linear import linear, linear_reduced
from penstock.layers.spec import Activation, MlpSpec

ACTIVATIONS: dict[Activation, Callable[[jax.Array], jax.Array]] = {
    "silu": jax.nn.silu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "relu": jax.nn.relu,
    "relu2": lambda x: jnp.square(jax.nn.relu(x)),
}


def mlp(x: jax.Array, leaves: dict[str, jax.Array], *, spec: MlpSpec) -> jax.Array:
    """`(act(x gate) * (x up)) down` or `act(x up) down`, x [R, D], with the leaves of `spec`."""
    act = ACTIVATIONS[spec.activation]
    if spec.is_gated:
        gate_up = linear(x, leaves["gate_up"], leaves.get("gate_up_bias"))  # [R, 2, F]
        inner = act(gate_up[:, 0]) * gate_up[:, 1]
    else:
        inner = act(linear(x, leaves["up"], leaves.get("up_bias")))
    return linear_reduced(inner, leaves["down"], leaves.get("down_bias"), mesh_axis=spec.mesh_axis)
