"""Matrix products of rows sorted by expert, each with its own expert's matrices.

Packed matrices are for the CPU's kernels, one call for all experts. Arrays go one of two ways, chosen by the platform
that a program is compiled for. `jax.lax.ragged_dot` is the one for accelerators. On
CPU jax 0.10.2 turns it into one product over all experts, and copies all their matrices first (32 experts, 16 rows: 33
times the needed operations); there a loop goes over blocks of rows, and each reads the matrices of its own expert.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from penstock.layers import kernels
from penstock.layers.linear import linear
from penstock.layers.packed_matrix import Matrix, PackedMatrix
from penstock.layers.spec import Activation

#: Rows of a block on CPU, few where most experts have few. Up to 32 rows the sums of a row are the same bit by bit.
SMALL_BLOCK, LARGE_BLOCK = 8, 32

Gate = Callable[[jax.Array], jax.Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class ExpertRows:
    """Rows by expert.

    Attributes:
        rows: int32 [M], numbers of rows of x, those of expert 0 first; behind the last expert's, padding.
        starts: int32 [E + 1], where those of each expert begin, and where the last one's end.
    """

    rows: jax.Array
    starts: jax.Array


def through_experts(
    x: jax.Array, experts: dict[str, Matrix], rows: ExpertRows, *, gate: Gate, activation: Activation | None
) -> jax.Array:
    """`gate(x gate_up + gate_up_bias) down` of each row's expert.

    Args:
        x: [R, D].
        experts: `gate_up` [E, D, 2, F], `gate_up_bias` [E, 2, F] if there is one, `down` [E, F, D].
        gate: [rows, 2, F] → [rows, F].
        activation: where the gate is `act(gate) * up`.

    Returns:
        [M, D], as `rows` lie; padding may be anything.
    """
    if isinstance(experts["gate_up"], PackedMatrix):
        return by_kernel(x, experts, rows, gate=gate, activation=activation)
    ways = {"cpu": partial(by_block, gate=gate), "default": partial(ragged, gate=gate)}
    out: jax.Array = jax.lax.platform_dependent(x, experts, rows, **ways)
    return out


def by_kernel(
    x: jax.Array, experts: dict[str, Any], rows: ExpertRows, *, gate: Gate, activation: Activation | None
) -> jax.Array:
    """Two products over all rows, each with its own expert's matrices."""
    gate_up, bias, own = experts["gate_up"], experts.get("gate_up_bias"), x[rows.rows]
    if activation is not None and kernels.can_gate(gate_up):
        inner = kernels.product(own, gate_up, bias=bias, rows=rows.starts, activation=activation, is_gated=True)
    else:
        inner = gate(kernels.product(own, gate_up, bias=bias, rows=rows.starts).reshape(len(own), *gate_up.out))
    return kernels.product(inner, experts["down"], rows=rows.starts)


def block_size(num_pairs: int, num_experts: int) -> int:
    """Rows of a block for so many pairs of a row and an expert."""
    return SMALL_BLOCK if num_pairs < 2 * SMALL_BLOCK * num_experts else LARGE_BLOCK


def by_block(x: jax.Array, experts: dict[str, jax.Array], rows: ExpertRows, *, gate: Gate) -> jax.Array:
    """A block holds rows of one expert. Blocks go up through the rows, so what one computes past its expert's last row
    is overwritten by the next."""
    size = block_size(len(rows.rows), len(rows.starts) - 1)
    num_blocks = -(-jnp.diff(rows.starts) // size)  # [E]
    ends = jnp.cumsum(num_blocks)
    padded = jnp.pad(rows.rows, (0, size))

    def add_block(index: jax.Array, out: jax.Array) -> jax.Array:
        expert = jnp.sum(ends <= index)
        start = rows.starts[expert] + (index - ends[expert] + num_blocks[expert]) * size
        own = {name: jax.lax.dynamic_index_in_dim(leaf, expert, keepdims=False) for name, leaf in experts.items()}
        block = x[jax.lax.dynamic_slice_in_dim(padded, start, size)]
        made = linear(gate(linear(block, own["gate_up"], own.get("gate_up_bias"))), own["down"])
        return jax.lax.dynamic_update_slice_in_dim(out, made, start, axis=0)

    out = jnp.zeros((len(padded), x.shape[1]), x.dtype)
    made: jax.Array = jax.lax.fori_loop(0, ends[-1], add_block, out)
    return made[: len(rows.rows)]


def ragged(x: jax.Array, experts: dict[str, jax.Array], rows: ExpertRows, *, gate: Gate) -> jax.Array:
    """Two products over all rows, the accelerator's way."""
    sizes, num_rows = jnp.diff(rows.starts), len(rows.rows)

    def product(x: jax.Array, weight: jax.Array) -> jax.Array:
        out = jax.lax.ragged_dot(x, weight.reshape(*weight.shape[:2], -1), sizes)
        return out.reshape(num_rows, *weight.shape[2:])

    gate_up = product(x[rows.rows], experts["gate_up"])
    if "gate_up_bias" in experts:
        owner = jnp.repeat(jnp.arange(len(sizes)), sizes, total_repeat_length=num_rows)
        gate_up = gate_up + experts["gate_up_bias"][owner]
    return product(gate(gate_up), experts["down"])
