"""The CPU's kernels as operations of jax: registered once, and called through XLA's foreign function interface."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from penstock._core import BLOCK_TYPES, KERNEL_ABI, kernel_blocks_packer, kernel_handlers, kernel_packer
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


class _PackRequest(ctypes.Structure):
    """`PackRequest` of rust/kernels/src/pack.rs."""

    _fields_ = (
        ("array", ctypes.c_void_p),
        ("dtype", ctypes.c_int),
        ("is_out_first", ctypes.c_int),
        ("num_in", ctypes.c_size_t),
        ("num_out", ctypes.c_size_t),
        ("out", ctypes.c_void_p),
        ("out_bytes", ctypes.c_size_t),
        ("format", ctypes.c_char_p),
        ("format_bytes", ctypes.c_size_t),
        ("num_threads", ctypes.c_size_t),
    )


#: XLA's numbers of the dtypes that are packed.
_DTYPES = {"float32": 11, "bfloat16": 16, "float16": 10}


def pack(array: np.ndarray, out: np.ndarray, weight_format: str, *, is_out_first: bool = True) -> None:
    """Packs a matrix of float32, bfloat16 or float16, without XLA and with as many threads as there are cores.

    Args:
        array: [out, in], or [in, out] where `is_out_first` is not set; its rows lie one after another.
        out: uint8 [bytes], to be filled.
    """
    num_out, num_in = array.shape if is_out_first else array.shape[::-1]
    if not (array.flags.c_contiguous and out.flags.c_contiguous and out.flags.writeable and out.dtype == np.uint8):
        raise ValueError("a matrix that does not lie row after row, or no place of bytes for it")
    spelling = weight_format.encode()
    request = _PackRequest(
        array.ctypes.data, _DTYPES[array.dtype.name], is_out_first, num_in, num_out,
        out.ctypes.data, out.nbytes, spelling, len(spelling), os.cpu_count() or 1,
    )  # fmt: skip
    packer = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.POINTER(_PackRequest))(kernel_packer())
    if not packer(ctypes.byref(request)):
        raise ValueError(f"a matrix {array.dtype} [{num_in}, {num_out}] is not packed as {weight_format}")


class _BlocksTensor(ctypes.Structure):
    """`BlocksTensor` of rust/kernels/src/gguf_blocks/request.rs."""

    _fields_ = (("bytes", ctypes.c_void_p), ("num_bytes", ctypes.c_size_t), ("kind", ctypes.c_uint32))


class _BlocksRequest(ctypes.Structure):
    """`BlocksRequest` of the same file."""

    _fields_ = (
        ("tensors", ctypes.POINTER(_BlocksTensor)),
        ("num_tensors", ctypes.c_size_t),
        ("num_in", ctypes.c_size_t),
        ("order", ctypes.c_void_p),
        ("num_out", ctypes.c_size_t),
        ("out", ctypes.c_void_p),
        ("out_bytes", ctypes.c_size_t),
        ("format", ctypes.c_char_p),
        ("format_bytes", ctypes.c_size_t),
        ("num_threads", ctypes.c_size_t),
    )


def pack_blocks(
    tensors: list[tuple[str, np.ndarray]], order: np.ndarray, out: np.ndarray, weight_format: str, *, num_in: int
) -> None:
    """Packs tensors of ggml's blocks as one matrix, every number in its own bits.

    Args:
        tensors: of each the type, as "Q4_K", and its rows of blocks, uint8 [rows, bytes].
        order: int64 [out], for each output the number of its row, counted over all tensors.
        out: uint8 [bytes], to be filled.
        weight_format: one that holds all their numbers (`penstock._core.blocks_format`).
    """
    arrays = [np.ascontiguousarray(rows) for _, rows in tensors]
    order = np.ascontiguousarray(order, np.int64)
    if not (out.flags.c_contiguous and out.flags.writeable and out.dtype == np.uint8):
        raise ValueError("no place of bytes for a matrix")
    kinds = [BLOCK_TYPES[kind] for kind, _ in tensors]
    listed = (_BlocksTensor * len(arrays))(
        *(_BlocksTensor(array.ctypes.data, array.nbytes, kind) for array, kind in zip(arrays, kinds, strict=True))
    )
    spelling = weight_format.encode()
    request = _BlocksRequest(
        listed, len(arrays), num_in, order.ctypes.data, len(order),
        out.ctypes.data, out.nbytes, spelling, len(spelling), os.cpu_count() or 1,
    )  # fmt: skip
    packer = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.POINTER(_BlocksRequest))(kernel_blocks_packer())
    if not packer(ctypes.byref(request)):
        names = ", ".join(kind for kind, _ in tensors)
        raise ValueError(f"a matrix of {names} [{num_in}, {len(order)}] is not packed as {weight_format}")
