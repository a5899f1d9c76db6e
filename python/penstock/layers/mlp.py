"""The dense feed-forward half of a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from penstock.layers import kernels
from penstock.layers.linear import linear, linear_reduced
from penstock.layers.packed_matrix import Matrix, PackedMatrix
from penstock.layers.spec import Activation, MlpSpec

ACTIVATIONS: dict[Activation, Callable[[jax.Array], jax.Array]] = {
    "silu": jax.nn.silu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "relu": jax.nn.relu,
    "relu2": lambda x: jnp.square(jax.nn.relu(x)),
}


def mlp(x: jax.Array, leaves: dict[str, Any], rows: jax.Array | None = None, *, spec: MlpSpec) -> jax.Array:
    """`(act(x gate) * (x up)) down` or `act(x up) down`, x [R, D], with the leaves of `spec`; `rows` as in `linear`."""
    name = "gate_up" if spec.is_gated else "up"
    inner = inner_columns(x, leaves[name], leaves.get(name + "_bias"), rows, spec=spec)
    return linear_reduced(inner, leaves["down"], leaves.get("down_bias"), rows=rows, mesh_axis=spec.mesh_axis)


def inner_columns(
    x: jax.Array, weight: Matrix, bias: jax.Array | None, rows: jax.Array | None, *, spec: MlpSpec
) -> jax.Array:
    """[R, F] of x [R, D], with the matrix [D, 2, F] or [D, F]."""
    if isinstance(weight, PackedMatrix) and (not spec.is_gated or kernels.can_gate(weight)):
        bias = None if bias is None else bias.reshape(-1)
        return kernels.product(x, weight, bias=bias, rows=rows, activation=spec.activation, is_gated=spec.is_gated)
    act, made = ACTIVATIONS[spec.activation], linear(x, weight, bias, rows=rows)
    return act(made[:, 0]) * made[:, 1] if spec.is_gated else act(made)
