"""A mixture of experts: each token goes through the few MLPs that its router chooses.

Pairs of a token and an expert are sorted by expert, and every expert computes its own rows alone (MegaBlocks, Gale et
al., arXiv 2211.15841). A row's sums depend on no other row, and a token's experts are added in the order of its choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from penstock.layers.grouped_products import ExpertRows, through_experts
from penstock.layers.linear import linear
from penstock.layers.mlp import ACTIVATIONS, mlp
from penstock.layers.moe_spec import EXPERTS, SHARED, ClampedGate, MoeSpec, RouterSpec
from penstock.layers.reduce import summed
from penstock.layers.row_blocks import in_row_blocks


def mixture(
    x: jax.Array, leaves: dict[str, Any], is_real: jax.Array, rows: jax.Array | None = None, *, spec: MoeSpec
) -> jax.Array:
    """x [R, D] through the experts of each row, with the leaves of `spec`.

    Args:
        is_real: bool [R]; the others are padding: no expert computes them.
        rows: as in `linear`.
    """
    choice = in_row_blocks(partial(route, leaves=leaves, spec=spec.router), x)
    mixed = _through_chosen(x, leaves, is_real, choice, spec=spec)
    if spec.shared is None:
        return mixed
    return mixed + _shared(x, leaves, rows, spec=spec)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class Choice:
    """The experts of each row.

    Attributes:
        experts: int32 [R, k], each row's own, best first.
        weights: float32 [R, k].
    """

    experts: jax.Array
    weights: jax.Array


def route(x: jax.Array, *, leaves: dict[str, jax.Array], spec: RouterSpec) -> Choice:
    """Chooses experts for x [R, D]."""
    logits = jnp.dot(x.astype(jnp.float32), leaves["router"])  # [R, E]
    if spec.has_bias:
        logits = logits + leaves["router_bias"]
    scores = jax.nn.softmax(logits, axis=-1) if spec.scoring == "softmax" else jax.nn.sigmoid(logits)
    wanted = scores + leaves["router_correction"] if spec.has_correction else scores
    _, experts = jax.lax.top_k(_in_best_groups(wanted, spec=spec), spec.num_chosen)
    weights = jnp.take_along_axis(scores, experts, axis=-1)
    if spec.is_renormalised:
        weights = weights / (jnp.sum(weights, axis=-1, keepdims=True) + 1e-20)
    return Choice(experts, weights * spec.scale)


def _in_best_groups(wanted: jax.Array, *, spec: RouterSpec) -> jax.Array:
    """Scores [R, E], those outside a row's best groups below all others."""
    if spec.num_groups == spec.num_chosen_groups:
        return wanted
    grouped = wanted.reshape(wanted.shape[0], spec.num_groups, -1)  # [R, groups, experts of one]
    of_groups = jnp.sum(jax.lax.top_k(grouped, spec.group_score_size)[0], axis=-1)
    _, best = jax.lax.top_k(of_groups, spec.num_chosen_groups)
    is_best = jnp.any(jnp.arange(spec.num_groups) == best[..., None], axis=1)  # [R, groups]
    return jnp.where(is_best[..., None], grouped, -jnp.inf).reshape(wanted.shape)


def _through_chosen(
    x: jax.Array, leaves: dict[str, Any], is_real: jax.Array, choice: Choice, *, spec: MoeSpec
) -> jax.Array:
    """[R, D]: the weighted sum of what each row's experts make of it."""
    experts = _named(leaves, EXPERTS)
    down_bias = experts.pop("down_bias", None)
    own, is_own = choice.experts, is_real[:, None]
    if spec.mesh_axis is not None:
        own = own - jax.lax.axis_index(spec.mesh_axis) * spec.num_own_experts
        is_own &= (own >= 0) & (own < spec.num_own_experts)
    rows, place = _by_expert(own, is_own, num_experts=spec.num_own_experts)
    activation = None if isinstance(spec.activation, ClampedGate) else spec.activation
    gate = partial(_gated, spec=spec)
    made = through_experts(x, experts, rows, gate=gate, activation=activation)[place]  # [R, k, D]
    if spec.mesh_axis is not None:
        made = jnp.where(is_own[..., None], made, 0)
    mixed = summed(_weighted(made, choice.weights), spec.mesh_axis)
    if down_bias is not None:
        mixed = mixed + _weighted(down_bias[choice.experts], choice.weights)
    return mixed.astype(x.dtype)


def _by_expert(experts: jax.Array, is_own: jax.Array, *, num_experts: int) -> tuple[ExpertRows, jax.Array]:
    """Rows sorted by their experts [R, k], and where each pair of the two lies among them, [R, k].

    Args:
        is_own: bool [R, k], or [R, 1]; the other pairs are padding, or other devices'.
    """
    pairs = jnp.where(is_own, experts, num_experts).reshape(-1)
    order = jnp.argsort(pairs, stable=True)
    starts = jnp.searchsorted(pairs[order], jnp.arange(num_experts + 1), method="compare_all")
    rows = ExpertRows(order // experts.shape[1], starts.astype(jnp.int32))
    return rows, jnp.argsort(order).reshape(experts.shape)


def _weighted(made: jax.Array, weights: jax.Array) -> jax.Array:
    """The sum over k of made [R, k, D], weighted, in order, float32."""
    wide = made.astype(jnp.float32)
    mixed = weights[:, :1] * wide[:, 0]
    for rank in range(1, weights.shape[1]):
        mixed = mixed + weights[:, rank, None] * wide[:, rank]
    return mixed


def _gated(gate_up: jax.Array, *, spec: MoeSpec) -> jax.Array:
    """[rows, F] of gate and up [rows, 2, F]."""
    gate, up = gate_up[:, 0], gate_up[:, 1]
    if isinstance(spec.activation, ClampedGate):
        kind = spec.activation
        gate, up = jnp.minimum(gate, kind.limit), jnp.clip(up, -kind.limit, kind.limit)
        return (up + 1) * gate * jax.nn.sigmoid(kind.gain * gate)
    return ACTIVATIONS[spec.activation](gate) * up


def _shared(x: jax.Array, leaves: dict[str, Any], rows: jax.Array | None, *, spec: MoeSpec) -> jax.Array:
    """The MLP that every row goes through."""
    assert spec.shared is not None, "a spec without a shared MLP has no leaves for one"
    out = mlp(x, _named(leaves, SHARED), rows, spec=spec.shared)
    return out * jax.nn.sigmoid(linear(x, leaves["shared_gate"])) if spec.has_shared_gate else out


def _named(leaves: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The leaves whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): leaf for name, leaf in leaves.items() if name.startswith(prefix)}
