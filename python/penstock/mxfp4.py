"""Unpacks MXFP4: blocks of 32 four-bit floats that share a power of two (OCP Microscaling Formats v1.0). No jax.

A code is E2M1: sign, two bits of exponent, one of mantissa. A scale is E8M0: the exponent of a power of two, biased by
127; 255 is not a number. Checkpoints store a matrix [rows, columns] as blocks, uint8 [rows, columns / 32, 16], two
codes to a byte, the earlier one in the low half, and scales, uint8 [rows, columns / 32].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from penstock.errors import ModelError

#: Numbers of a block.
BLOCK = 32

_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
#: For each byte its two numbers.
_PAIRS = np.array(
    [[(-1 if code & 8 else 1) * _MAGNITUDES[code & 7] for code in (byte & 15, byte >> 4)] for byte in range(256)],
    np.float32,
)

#: For each byte of a scale its power of two, from 2 ** -127, which float32 has as a subnormal number.
_POWERS = np.array([*(2.0 ** (byte - 127) for byte in range(255)), np.nan], np.float32)


def mxfp4_shapes(rows: int, columns: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of the blocks and the scales of a matrix. ModelError where columns do not come out in whole blocks."""
    if columns % BLOCK:
        raise ModelError(f"config.json: mxfp4 packs {BLOCK} inputs of a matrix at once, found {columns} inputs")
    return (rows, columns // BLOCK, BLOCK // 2), (rows, columns // BLOCK)


def unpack_mxfp4(blocks: np.ndarray, scales: np.ndarray, *, dtype: Any) -> np.ndarray:
    """A matrix [rows, columns] of `dtype`.

    Args:
        blocks, scales: of `mxfp4_shapes`.
    """
    numbers = _PAIRS[blocks].reshape(*scales.shape, BLOCK)
    with np.errstate(over="ignore"):  # 2 ** 127 leaves room for codes below 2 alone
        numbers *= _POWERS[scales][..., None]
    matrix: np.ndarray = numbers.reshape(scales.shape[0], -1).astype(dtype)
    return matrix
