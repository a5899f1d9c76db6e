"""Leaves: the arrays that a layer computes with, and the stored tensors that each is put together from. No jax.

Matrices lie `[in, ...out]`, which is what XLA's CPU matrix product reads fastest (12 layers of 768 x 4096 and their
kin, batch 8: 28 ms against 39 for `[out, in]`). What is fused keeps an axis to be split by over devices: q, k and v
beside each other for every key-value head, gate and up for every column.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from penstock.mxfp4 import mxfp4_shapes

#: What an axis counts, where that can be divided among devices.
LogicalAxis = Literal["heads", "kv_heads", "mlp", "experts", "vocab"]
Axes = tuple[LogicalAxis | None, ...]


@dataclass(frozen=True, slots=True)
class HeadPart:
    """What a leaf has of a tensor whose outputs are those of one head after another.

    Attributes:
        first: the first output that it has of each head.
        size: outputs of a head in the tensor.
    """

    first: int
    size: int


@dataclass(frozen=True, slots=True)
class Stored:
    """How the checkpoints of a family store a leaf. The usual way: a tensor for each part, or one with the parts one
    after another; a matrix as [out, in].

    Attributes:
        names: of the tensors. `{expert}` in them stands for an expert's number; without it one tensor holds all
            experts, along its first axis.
        has_inputs_first: matrices lie as [in, out], those of each head, too.
        is_woven: the outputs of the one tensor lie as the leaf's do: parts beside each other for every head.
        is_alternating: the outputs of the one tensor take turns: the first of every part, the second of every part.
        is_part_each: each part has a tensor, even where there is one part.
        encoding: "mxfp4" is a pair of tensors, blocks and scales, for a matrix (`penstock.mxfp4`).
        head_part: the leaf, one of `head_matrices`, is a part of the tensor.
        or_else: another way, where the first of these tensors is not there.
    """

    names: tuple[str, ...]
    has_inputs_first: bool = False
    is_woven: bool = False
    is_alternating: bool = False
    is_part_each: bool = False
    encoding: Literal["plain", "mxfp4"] = "plain"
    head_part: HeadPart | None = None
    or_else: Stored | None = None

    @property
    def has_all_experts(self) -> bool:
        return "{expert}" not in self.names[0]

    def without_prefix(self, prefix: str) -> Stored:
        names = tuple(name.removeprefix(prefix) for name in self.names)
        return replace(self, names=names, or_else=self.or_else and self.or_else.without_prefix(prefix))

    def of_layer(self, layer: int, tensors: Container[str]) -> Stored:
        """Of one layer of a checkpoint that has `tensors`."""
        names = tuple(name.replace("{layer}", str(layer)) for name in self.names)
        if self.or_else is None or names[0].format(expert=0) in tensors:
            return replace(self, names=names, or_else=None)
        return self.or_else.of_layer(layer, tensors)

    def of_expert(self, expert: int) -> Stored:
        """Of one expert, where each has tensors of its own."""
        return replace(self, names=tuple(name.format(expert=expert) for name in self.names))


#: For each leaf its tensors.
TensorNames = Mapping[str, tuple[str, ...] | Stored]


@dataclass(frozen=True, slots=True)
class LeafSpec:
    """One array of the weights.

    Attributes:
        shape: as the layer uses it.
        axis: along which its parts lie side by side.
        parts: sizes along `axis` of the parts that checkpoints store as tensors of their own, or, for the whole leaf,
            as one tensor that holds them one after another.
        is_projection: a linear layer's matrix: `shape` begins with the inputs, and checkpoints store `[out, in]`.
        is_bias: of a linear layer: stored as one row, whatever its shape.
        is_stacked: small enough to lie with its kin of other layers in one array: fewer arguments for a program.
        has_experts: the first axis counts experts; all else is said of one expert's part.
        dtype: a numpy name, where it is not that of the other weights.
        axes: what each axis of `shape` counts, None for what is never divided; () is None for all.
    """

    name: str
    shape: tuple[int, ...]
    axis: int
    parts: tuple[int, ...]
    is_projection: bool = False
    is_stacked: bool = False
    is_bias: bool = False
    has_experts: bool = False
    dtype: str | None = None
    axes: Axes = ()

    @property
    def of_expert(self) -> LeafSpec:
        """What one expert has of the leaf."""
        shape, axes, is_bias = self.shape[1:], self.axes[1:], not self.is_projection
        return replace(self, shape=shape, axis=self.axis - 1, has_experts=False, is_bias=is_bias, axes=axes)

    @property
    def size(self) -> int:
        return prod(self.shape)

    def part_shape(self, part: int) -> tuple[int, ...]:
        """Of the part of that number, within the leaf."""
        shape = list(self.shape)
        shape[self.axis] = self.parts[part]
        return tuple(shape)

    def stored_shapes(self, stored: Stored) -> tuple[tuple[int, ...], ...]:
        """Of the tensors that hold the leaf, or one expert's part of it: a tensor for each part, or one for all."""
        if self.has_experts:
            shapes = self.of_expert.stored_shapes(stored)
            return tuple((self.shape[0], *shape) for shape in shapes) if stored.has_all_experts else shapes
        if stored.head_part is not None:
            return ((self.shape[0] * stored.head_part.size, self.shape[2]),)
        if stored.encoding == "mxfp4":
            return mxfp4_shapes(self.size // self.shape[0], self.shape[0])
        sizes = tuple(prod(self.part_shape(part)) for part in range(len(self.parts)))
        if len(stored.names) == 1:
            sizes = (self.size,)
        if len(sizes) != len(stored.names):
            raise ValueError(f"leaf {self.name} has {len(self.parts)} parts, not {len(stored.names)}")
        if self.is_projection:
            shapes = tuple((size // self.shape[0], self.shape[0]) for size in sizes)
            return tuple(shape[::-1] for shape in shapes) if stored.has_inputs_first else shapes
        if len(stored.names) > 1 or stored.is_part_each or self.is_bias:
            return tuple((size,) for size in sizes)
        return ((*self.shape[:-2], *self.shape[:-3:-1]) if stored.has_inputs_first else self.shape,)


def vector(name: str, size: int, *, dtype: str | None = None, axis: LogicalAxis | None = None) -> LeafSpec:
    """A norm's weight or a bias."""
    return LeafSpec(name, (size,), 0, (size,), is_stacked=True, dtype=dtype, axes=(axis,))


def projection(name: str, num_in: int, num_out: int, *, dtype: str | None = None, axes: Axes = ()) -> LeafSpec:
    """A linear layer's matrix [in, out]."""
    return LeafSpec(name, (num_in, num_out), 1, (num_out,), is_projection=True, dtype=dtype, axes=axes)


def fused_projection(
    name: str, num_in: int, out: tuple[int, ...], *, axis: int, parts: tuple[int, ...], axes: Axes = ()
) -> LeafSpec:
    """Several linear layers in one matrix [in, *out], along `axis` of `out`. `axes`: of `out`."""
    return LeafSpec(name, (num_in, *out), 1 + axis, parts, is_projection=True, axes=(None, *axes))


def fused_bias(name: str, out: tuple[int, ...], *, axis: int, parts: tuple[int, ...], axes: Axes = ()) -> LeafSpec:
    """The biases of a fused projection, of shape `out`."""
    return LeafSpec(name, out, axis, parts, is_stacked=True, is_bias=True, axes=axes)


def of_heads(name: str, num_heads: int, head_dim: int, *, axis: LogicalAxis | None = None) -> LeafSpec:
    """A vector for each head, [heads, H]. `axis`: what the heads are."""
    return LeafSpec(name, (num_heads, head_dim), 0, (1,) * num_heads, is_stacked=True, axes=(axis, None))


def of_experts(leaf: LeafSpec, num_experts: int, *, name: str, axis: LogicalAxis | None = None) -> LeafSpec:
    """The same leaf for each of some experts, which become its first axis. `axis`: what that is."""
    shape, axes = (num_experts, *leaf.shape), (axis, *(None for _ in leaf.shape))
    return replace(leaf, name=name, shape=shape, axis=leaf.axis + 1, is_stacked=False, has_experts=True, axes=axes)


def head_matrices(name: str, num_heads: int, num_out: int, num_in: int) -> LeafSpec:
    """A matrix of each head, [heads, out, in]."""
    return LeafSpec(name, (num_heads, num_out, num_in), 0, (num_heads,), axes=("heads", None, None))
