"""A matrix as the CPU's kernels read it: a leaf of the weights' tree where an array `[in, *out]` would stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Any

import jax
import numpy as np

from penstock._core import packed_bytes

_STATIC = {"static": True}


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class PackedMatrix:
    """The layout is that of `rust/kernels/src/matrix.rs`.

    Attributes:
        panels: an array, uint8 [bytes], or [E, bytes] of E experts' matrices; or its shape.
        format: "f32", "bf16", or of integers in blocks, as "q8_64".
        num_in: inputs.
        out: sizes of the outputs' axes.
        dtype: of the activations, which rows of an embedding are taken as.
    """

    panels: Any
    format: str = field(metadata=_STATIC)
    num_in: int = field(metadata=_STATIC)
    out: tuple[int, ...] = field(metadata=_STATIC)
    dtype: str = field(default="float32", metadata=_STATIC)

    @property
    def num_out(self) -> int:
        return prod(self.out)


#: What a layer multiplies by: an array [in, *out], or [E, in, *out] of experts, or the same packed.
Matrix = jax.Array | PackedMatrix


def packed_shape(
    weight_format: str, num_in: int, out: tuple[int, ...], *, dtype: str, num_experts: int | None = None
) -> PackedMatrix:
    """A packed matrix with a `jax.ShapeDtypeStruct` for its panels."""
    num_bytes = packed_bytes(weight_format, num_in, prod(out))
    sizes = (num_bytes,) if num_experts is None else (num_experts, num_bytes)
    shape = jax.ShapeDtypeStruct(sizes, np.uint8)  # type: ignore[no-untyped-call]  # jax has no types here
    return PackedMatrix(shape, weight_format, num_in, out, dtype)
