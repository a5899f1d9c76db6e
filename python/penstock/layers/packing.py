"""Packs matrices for the CPU's kernels on the host, without XLA: loading meets many shapes, and a program for each
would cost more than the work."""

from __future__ import annotations

import ctypes
import os

import numpy as np

from penstock._core import BLOCK_TYPES, kernel_blocks_packer, kernel_packer


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
    if not array.flags.c_contiguous:
        raise ValueError("a matrix that does not lie row after row")
    _check_place(out)
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
    _check_place(out)
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


def _check_place(out: np.ndarray) -> None:
    if not (out.flags.c_contiguous and out.flags.writeable and out.dtype == np.uint8):
        raise ValueError("no place of bytes for a matrix")
