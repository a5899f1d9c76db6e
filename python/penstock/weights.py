"""Loads a checkpoint's tensors into the tree of weights, one leaf at a time.

The host holds one leaf beside what is already on the device, so its peak stays near one matrix; the stacks of norms
and biases are small. numpy knows bfloat16 by ml_dtypes.

A leaf lies in memory of its own mapping, on huge pages where the kernel gives them. On CPU jax takes it as it is,
without a copy (it begins on a page), and reads it every step: a matrix product goes down its columns, so with pages of
4 KB nearly every row is another entry of the TLB (88M parameters in float32, 8 rows: 113 ms of CPU a step, 107 with
huge pages).
"""

from __future__ import annotations

import contextlib
import math
import mmap
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import ml_dtypes  # noqa: F401 - makes bfloat16 a dtype that numpy knows by name
import numpy as np
from safetensors import SafetensorError, safe_open

from penstock._core import blocks_format, packed_bytes
from penstock.checkpoint import Checkpoint, LeafSource
from penstock.errors import ModelError
from penstock.gguf_file import GgufTensor, read_blocks, read_tensor
from penstock.layers.leaf import LeafSpec, Stored
from penstock.layers.packed_matrix import PackedMatrix, packed_shape
from penstock.layers.packing import pack, pack_blocks
from penstock.models.spec import DecoderSpec
from penstock.models.tree import build_tree, layer_leaves, stacks, top_leaves
from penstock.mxfp4 import unpack_mxfp4
from penstock.weight_formats import WeightFormats, matrix_sizes, num_experts, stored_dtypes

NO_FORMATS: WeightFormats = {}


def load_weights(
    checkpoint: Checkpoint, *, dtype: Any, device: jax.Device, formats: WeightFormats = NO_FORMATS
) -> dict[str, Any]:
    """Reads, transposes, fuses and casts every leaf, and packs those of `formats`.

    Args:
        dtype: of all leaves that name none, float32 or bfloat16.

    Returns:
        The tree of `penstock.models.tree`, committed to `device`.

    Raises:
        ModelError: a file has changed since it was checked.
    """
    spec = checkpoint.spec
    top: dict[str, Any] = {}
    layers: list[dict[str, Any]] = [{} for _ in range(spec.num_layers)]
    rows: dict[LeafSpec, list[np.ndarray]] = {}

    def put(leaf: np.ndarray) -> jax.Array:
        array: jax.Array = jax.device_put(leaf, device).block_until_ready()
        return array

    with TensorFiles(checkpoint) as files:
        for source in checkpoint.sources:
            name, place = source.leaf.name, top if source.layer is None else layers[source.layer]
            weight_format = formats.get((source.layer, name))
            if weight_format is not None:
                packed = read_packed(files, source, weight_format, dtype=dtype)
                place[name] = replace(packed, panels=put(packed.panels))
                continue
            leaf = read_leaf(files, source, dtype=dtype)
            if source.leaf.is_stacked and source.layer is not None:
                rows.setdefault(source.leaf, []).append(leaf)
            else:
                place[name] = put(leaf)
    return build_tree(spec, top=top, layers=layers, stacked=[put(np.stack(rows[stack.leaf])) for stack in stacks(spec)])


def weight_shapes(spec: DecoderSpec, *, dtype: Any, formats: WeightFormats = NO_FORMATS) -> dict[str, Any]:
    """The tree as `jax.ShapeDtypeStruct`, to compile before anything is loaded."""

    def shape(shape: tuple[int, ...], leaf: LeafSpec) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, leaf.dtype or dtype)  # type: ignore[no-untyped-call]  # jax has no types here

    def shape_of(layer: int | None, leaf: LeafSpec) -> jax.ShapeDtypeStruct | PackedMatrix:
        weight_format = formats.get((layer, leaf.name))
        if weight_format is None:
            return shape(leaf.shape, leaf)
        sizes = matrix_sizes(leaf)
        return packed_shape(weight_format, *sizes, dtype=np.dtype(dtype).name, num_experts=num_experts(leaf))

    top = {leaf.name: shape_of(None, leaf) for leaf in top_leaves(spec)}
    layers = [
        {leaf.name: shape_of(layer, leaf) for leaf in layer_leaves(spec, layer) if not leaf.is_stacked}
        for layer in range(spec.num_layers)
    ]
    return build_tree(spec, top=top, layers=layers, stacked=[shape(stack.shape, stack.leaf) for stack in stacks(spec)])


def weight_bytes(spec: DecoderSpec, *, dtype: Any, formats: WeightFormats = NO_FORMATS) -> int:
    """Of the whole tree."""
    shapes = jax.tree.leaves(weight_shapes(spec, dtype=dtype, formats=formats))
    return sum(math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize for leaf in shapes)


def read_packed(files: TensorFiles, source: LeafSource, weight_format: str, *, dtype: Any) -> PackedMatrix:
    """A leaf from its files, packed one expert at a time where it has experts. `dtype`: of the activations."""
    leaf, stored = source.leaf, source.stored
    num_in, out = matrix_sizes(leaf)
    wide = np.dtype("bfloat16" if weight_format == "bf16" else "float32")
    num_bytes = packed_bytes(weight_format, num_in, math.prod(out))
    panels = mapped_empty((leaf.shape[0] if leaf.has_experts else 1, num_bytes), np.uint8)
    has_blocks = blocks_format(stored_dtypes(files.tensors, source)) == weight_format
    for expert, place in enumerate(panels):
        if has_blocks:
            number = expert if leaf.has_experts else None
            _pack_blocks(files, source, place, weight_format, expert=number, num_in=num_in)
            continue
        tensors = _of_expert(files, stored, expert) if leaf.has_experts else list(map(files.read, stored.names))
        if stored.encoding == "mxfp4":
            tensors = [unpack_mxfp4(*tensors, dtype=wide)]
        pack(_outputs_first(leaf, stored, tensors, dtype=wide), place, weight_format)
    panels = panels if leaf.has_experts else panels[0]
    return PackedMatrix(panels, weight_format, num_in, out, np.dtype(dtype).name)


def _pack_blocks(
    files: TensorFiles, source: LeafSource, place: np.ndarray, weight_format: str, *, expert: int | None, num_in: int
) -> None:
    """Packs blocks in their own bits. Where the outputs of several tensors, or of parts of one, lie is found by filling
    a leaf of one input with the numbers of its rows."""
    leaf = source.leaf if expert is None else source.leaf.of_expert
    tensors = files.blocks(source.stored, expert)
    starts = np.cumsum([0, *(len(rows) for _, rows in tensors)])
    numbers = [np.arange(first, last)[:, None] for first, last in pairwise(starts)]
    order = np.empty((1, *leaf.shape[1:]), np.int64)
    if leaf.is_projection:
        _fill(order, replace(leaf, shape=order.shape), source.stored, numbers)
    else:
        order = numbers[0]
    pack_blocks(tensors, order.ravel(), place, weight_format, num_in=num_in)


def _outputs_first(leaf: LeafSpec, stored: Stored, tensors: list[np.ndarray], *, dtype: Any) -> np.ndarray:
    """A matrix of its tensors, [out, in]: as they are mostly stored, so that hardly anything is transposed."""
    num_in, out = matrix_sizes(leaf)
    if len(tensors) == 1 and not leaf.is_projection and tensors[0].dtype == dtype:
        return np.ascontiguousarray(tensors[0])
    whole = mapped_empty((*out, num_in), dtype)
    place = whole if leaf.name == "embed" else np.moveaxis(whole, -1, 0)
    _fill(place, leaf.of_expert if leaf.has_experts else leaf, stored, tensors)
    return whole.reshape(-1, num_in)


def read_leaf(files: TensorFiles, source: LeafSource, *, dtype: Any) -> np.ndarray:
    """A leaf from its files, one expert at a time where it has experts. `dtype`: of leaves that name none."""
    leaf, stored = source.leaf, source.stored
    dtype = np.dtype(leaf.dtype or dtype)
    if leaf.has_experts:
        return read_experts(files, leaf, stored, dtype=dtype)
    return assemble(leaf, stored, [files.read(name) for name in stored.names], dtype=dtype)


def read_experts(files: TensorFiles, leaf: LeafSpec, stored: Stored, *, dtype: Any, first: int = 0) -> np.ndarray:
    """A leaf of as many experts as it has, from the one of number `first` on."""
    out = mapped_empty(leaf.shape, dtype)
    for expert, place in enumerate(out, first):
        tensors = _of_expert(files, stored, expert)
        if stored.encoding == "mxfp4":
            tensors = [unpack_mxfp4(*tensors, dtype=dtype)]
        _fill(place, leaf.of_expert, stored, tensors)
    return out


def _of_expert(files: TensorFiles, stored: Stored, expert: int) -> list[np.ndarray]:
    if stored.has_all_experts:
        return [files.read(name, (slice(expert, expert + 1),))[0] for name in stored.names]
    return [files.read(name) for name in stored.of_expert(expert).names]


def assemble(leaf: LeafSpec, stored: Stored, tensors: list[np.ndarray], *, dtype: Any) -> np.ndarray:
    """A leaf from its tensors, of `leaf.stored_shapes`."""
    out = mapped_empty(leaf.shape, dtype)
    _fill(out, leaf, stored, tensors)
    return out


def _fill(out: np.ndarray, leaf: LeafSpec, stored: Stored, tensors: list[np.ndarray]) -> None:
    if stored.head_part is not None:
        heads = tensors[0].reshape(len(out), stored.head_part.size, -1)
        out[...] = heads[:, stored.head_part.first :][:, : out.shape[1]]
        return
    if stored.has_inputs_first:
        # As the usual way has them. A bias has no inputs.
        tensors = [tensor.swapaxes(-1, -2) if tensor.ndim > 1 else tensor for tensor in tensors]
    if stored.is_alternating:
        tensors = [tensors[0][part :: len(leaf.parts)] for part in range(len(leaf.parts))]
    if stored.is_woven:
        out[...] = (tensors[0].T if leaf.is_projection else tensors[0]).reshape(leaf.shape)
        return
    starts = np.cumsum(leaf.parts[:-1])
    for number, (place, tensor) in enumerate(zip(np.split(out, starts, leaf.axis), _parts(leaf, tensors), strict=True)):
        place[...] = (tensor.T if leaf.is_projection else tensor).reshape(leaf.part_shape(number))


def mapped_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """`numpy.empty` in a mapping of its own, on huge pages where the kernel has and gives them (Linux)."""
    num_numbers = math.prod(shape)
    num_bytes = max(num_numbers * np.dtype(dtype).itemsize, 1)
    # Private: shared memory, mmap's default, gets huge pages by a kernel setting of its own, which is off as it comes.
    memory = mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(AttributeError, OSError):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype, count=num_numbers).reshape(shape)


def _parts(leaf: LeafSpec, tensors: list[np.ndarray]) -> list[np.ndarray]:
    """A tensor for each part, where one holds them all one after another, too."""
    if len(tensors) == len(leaf.parts):
        return tensors
    share = tensors[0].shape[0] // sum(leaf.parts)
    return np.split(tensors[0], np.cumsum(leaf.parts[:-1]) * share)


class TensorFiles:
    """The files of a checkpoint, each opened once, however many tensors it holds. A context manager.

    Attributes:
        tensors: by name.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.tensors = checkpoint.tensors
        self._files: dict[Path, Any] = {}
        self._stack = ExitStack()

    def __enter__(self) -> TensorFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def blocks(self, stored: Stored, expert: int | None) -> list[tuple[str, np.ndarray]]:
        """Of each tensor, all of which lie in blocks, the type and its rows, uint8 [rows, bytes]; of one expert alone,
        where there are any."""
        if expert is not None and not stored.has_all_experts:
            stored, expert = stored.of_expert(expert), None
        part = None if expert is None else (slice(expert, expert + 1),)
        found = []
        for name in stored.names:
            tensor = self.tensors[name]
            assert isinstance(tensor, GgufTensor), "only GGUF has blocks"
            rows = read_blocks(tensor, part)
            found.append((tensor.dtype, rows if expert is None else rows[0]))
        return found

    def read(self, name: str, part: tuple[slice, ...] | None = None) -> np.ndarray:
        """A stored tensor as it lies in its file, or `part` of it, of which alone is read. ModelError if the file has
        changed since it was checked."""
        tensor = self.tensors[name]
        if isinstance(tensor, GgufTensor):
            return read_tensor(tensor, part)
        file = tensor.file
        try:
            if file not in self._files:
                self._files[file] = self._stack.enter_context(safe_open(file, framework="numpy"))
            opened = self._files[file]
            stored: np.ndarray = opened.get_tensor(name) if part is None else opened.get_slice(name)[part]
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{file} cannot be read any more: {error}") from None
        return stored
