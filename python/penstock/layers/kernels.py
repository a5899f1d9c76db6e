"""The CPU's kernels as operations of jax: registered once, and called through XLA's foreign function interface."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from penstock._core import KERNEL_ABI, kernel_handlers
from penstock.layers.packed_matrix import PackedMatrix
from penstock.layers.spec import Activation

#: Columns of a panel: what gates must fill for a gated product.
PANEL = 16


@cache
def register_kernels() -> None:
    """Tells XLA the kernels, once in a process: before a program that calls them is compiled, or read from a store."""
    for name, address in kernel_handlers():
        capsule = jax.ffi.pycapsule(ctypes.c_void_p(address))  # type: ignore[no-untyped-call]  # jax has no types here
        jax.ffi.register_ffi_target(target(name), capsule, platform="cpu")


def target(name: str) -> str:
    """What XLA knows a kernel as; a program that was compiled for other kernels finds none of its own."""
    return f"penstock_{name}_v{KERNEL_ABI}"


def call(name: str, result: Any, *operands: jax.Array, aliases: dict[int, int] | None = None, **attributes: Any) -> Any:
    """A kernel's results.

    Args:
        result: a `jax.ShapeDtypeStruct`, or several.
        aliases: numbers of operands whose memory a result may take, each with the result's.
        attributes: strings, bools, `numpy.int64`, `numpy.float32`.
    """
    register_kernels()
    kernel: Any = jax.ffi.ffi_call(target(name), result, input_output_aliases=aliases)
    return kernel(*operands, **attributes)


def shape(*sizes: int, dtype: Any = np.float32) -> Any:
    """For `call`."""
    return jax.ShapeDtypeStruct(sizes, dtype)  # type: ignore[no-untyped-call]  # jax has no types here


def product(
    x: jax.Array,
    matrix: PackedMatrix,
    *,
    bias: jax.Array | None = None,
    rows: jax.Array | None = None,
    activation: Activation | None = None,
    is_gated: bool = False,
) -> jax.Array:
    """`act(x matrix + bias)`, summed in float32 along the inputs in one order, so that a row's result is the same bit
    for bit in any company.

    Args:
        x: [R, in].
        bias: of all outputs; of experts [E, ...].
        rows: int32 [E + 1]: matrix e is for the rows `rows[e]` to `rows[e + 1]`, all others become 0. None: all rows
            with the one matrix.
        is_gated: the first half of the outputs are gates: `act(gate) * up`, half as many outputs; `can_gate` tells
            where that can be done.

    Returns:
        [R, outputs], of the dtype of x.
    """
    num_out = matrix.num_out // 2 if is_gated else matrix.num_out
    if rows is None:
        rows = jnp.array([0, len(x)], jnp.int32)
    bias = jnp.zeros(0, jnp.float32) if bias is None else bias.astype(jnp.float32)
    if bias.ndim > 1:
        bias = bias.reshape(-1, matrix.num_out)
    made: jax.Array = call(
        "product", shape(len(x), num_out), x.astype(jnp.float32), matrix.panels, rows, bias,
        format=matrix.format, activation=activation or "none", is_gated=is_gated,
    )  # fmt: skip
    return made.astype(x.dtype)


def can_gate(matrix: PackedMatrix) -> bool:
    """Whether the gates of a matrix [in, 2, F] fill whole panels."""
    return matrix.num_out % (2 * PANEL) == 0


def take_rows(matrix: PackedMatrix, tokens: jax.Array) -> jax.Array:
    """[R, in]: for each of tokens, int32 [R], the matrix's column of that number."""
    rows: jax.Array = call(
        "take_rows", shape(len(tokens), matrix.num_in), matrix.panels, tokens,
        format=matrix.format, num_out=np.int64(matrix.num_out),
    )  # fmt: skip
    return rows.astype(matrix.dtype)


def unpacked(matrix: PackedMatrix) -> jax.Array:
    """float32 [in, *out] of one packed matrix."""
    array: jax.Array = call("unpack", shape(matrix.num_in, matrix.num_out), matrix.panels, format=matrix.format)
    return array.reshape(matrix.num_in, *matrix.out)
