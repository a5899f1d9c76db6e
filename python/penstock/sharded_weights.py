"""Loads a checkpoint's tensors onto several devices, each reading only the rows and columns of its own shard.

What a device holds is the tree of its shard (`penstock.models.sharding`). The arrays of all devices, laid beside each
other along the axis that is split, are one jax array. A leaf that is not split is read once and copied to each.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from penstock.checkpoint import Checkpoint, LeafSource
from penstock.layers.leaf import Axes, LeafSpec
from penstock.models.partition import partition
from penstock.models.sharding import mesh_axes, rows_of_shard, shard_of
from penstock.models.spec import DecoderSpec
from penstock.models.tree import build_tree, layer_leaves, stacks, top_leaves
from penstock.weights import TensorFiles, assemble, read_experts, read_leaf

#: Of one leaf: an array for each device, or one for all.
HostShards = list[np.ndarray]


def load_shards(checkpoint: Checkpoint, *, dtype: Any, mesh: Mesh) -> dict[str, Any]:
    """`load_weights` over the devices of a mesh.

    Returns:
        The tree of the shard's spec. An array that is split is as many times as long along that axis.

    Raises:
        ModelError: a file has changed since it was checked.
    """
    spec = shard_of(checkpoint.spec, mesh.size)
    top: dict[str, Any] = {}
    layers: list[dict[str, Any]] = [{} for _ in range(spec.num_layers)]
    rows: dict[LeafSpec, list[HostShards]] = {}
    own = _leaves(spec)
    with TensorFiles(checkpoint) as files:
        for source in checkpoint.sources:
            leaf = own[source.layer, source.leaf.name]
            shards = _read(files, source, leaf, dtype=dtype, num_shards=mesh.size)
            if source.layer is None:
                top[leaf.name] = put_shards(shards, leaf.axes, mesh=mesh)
            elif leaf.is_stacked:
                rows.setdefault(leaf, []).append(shards)
            else:
                layers[source.layer][leaf.name] = put_shards(shards, leaf.axes, mesh=mesh)
    stacked = [
        put_shards([np.stack(of_shard) for of_shard in zip(*rows[stack.leaf], strict=True)], stack.axes, mesh=mesh)
        for stack in stacks(spec)
    ]
    return build_tree(spec, top=top, layers=layers, stacked=stacked)


def _leaves(spec: DecoderSpec) -> dict[tuple[int | None, str], LeafSpec]:
    """By layer and name."""
    leaves: dict[tuple[int | None, str], LeafSpec] = {(None, leaf.name): leaf for leaf in top_leaves(spec)}
    for layer in range(spec.num_layers):
        leaves |= {(layer, leaf.name): leaf for leaf in layer_leaves(spec, layer)}
    return leaves


def put_shards(shards: HostShards, axes: Axes, *, mesh: Mesh) -> jax.Array:
    """One array of what the devices of `mesh` hold; `axes`: logical names, as of a leaf."""
    sharding = NamedSharding(mesh, partition(axes))
    if len(shards) == 1:
        copied: jax.Array = jax.device_put(shards[0], sharding).block_until_ready()
        return copied
    parts = [jax.device_put(shard, device) for shard, device in zip(shards, mesh.devices.flat, strict=True)]
    jax.block_until_ready(parts)  # type: ignore[no-untyped-call]  # jax has no types here
    shape = tuple(
        size * (1 if axis is None else mesh.shape[axis])
        for size, axis in zip(shards[0].shape, mesh_axes(axes), strict=True)
    )
    return jax.make_array_from_single_device_arrays(shape, sharding, parts)


def _read(files: TensorFiles, source: LeafSource, leaf: LeafSpec, *, dtype: Any, num_shards: int) -> HostShards:
    """`source` as every shard has it, `leaf`; once, where all have the same."""
    if not any(mesh_axes(leaf.axes)):
        return [read_leaf(files, source, dtype=dtype)]
    dtype = np.dtype(leaf.dtype or dtype)
    if leaf.has_experts:
        firsts = range(0, source.leaf.shape[0], leaf.shape[0])
        return [read_experts(files, leaf, source.stored, dtype=dtype, first=first) for first in firsts]
    parts = (read_shard(files, source, leaf, shard=shard, num_shards=num_shards) for shard in range(num_shards))
    return [assemble(leaf, source.stored, tensors, dtype=dtype) for tensors in parts]


def read_shard(
    files: TensorFiles, source: LeafSource, leaf: LeafSpec, *, shard: int, num_shards: int
) -> list[np.ndarray]:
    """The part of each stored tensor of `source` that goes into a shard's `leaf`: what would be stored, were there
    nothing but the shard."""
    stored = source.stored
    if len(stored.names) > 1 and mesh_axes(leaf.axes)[leaf.axis]:  # a tensor for each head
        own = rows_of_shard(len(stored.names), len(leaf.parts), shard, num_shards)
        return [files.read(name) for name in stored.names[own]]
    wholes, owns = source.leaf.stored_shapes(stored), leaf.stored_shapes(stored)
    parts = [
        [rows_of_shard(size, num_own, shard, num_shards) for size, num_own in zip(whole, own, strict=True)]
        for whole, own in zip(wholes, owns, strict=True)
    ]
    if len(stored.names) == len(leaf.parts) or mesh_axes(leaf.axes)[leaf.axis]:
        return [files.read(name, tuple(part)) for name, part in zip(stored.names, parts, strict=True)]
    axis, found = int(stored.has_inputs_first and leaf.is_projection), []
    for rows in fused_rows(source.leaf, leaf, is_woven=stored.is_woven, shard=shard, num_shards=num_shards):
        parts[0][axis] = rows
        found.append(files.read(stored.names[0], tuple(parts[0])))
    return [np.concatenate(found, axis)]


def fused_rows(whole: LeafSpec, own: LeafSpec, *, is_woven: bool, shard: int, num_shards: int) -> Iterator[slice]:
    """Which outputs of a tensor that holds several parts are a shard's.

    Parts that lie one after another are divided each. Those that are woven lie beside each other for every head: whole
    heads are a range, and of a head that several shards hold each part is divided among these.
    """
    wholes, owns = (_part_rows(leaf) for leaf in (whole, own))
    first = 0
    if is_woven:
        num_heads = prod(whole.shape[int(whole.is_projection) : whole.axis])
        if num_heads >= num_shards:
            yield rows_of_shard(sum(wholes), sum(owns), shard, num_shards)
            return
        wholes, num_shards = [rows // num_heads for rows in wholes], num_shards // num_heads
        first, shard = shard // num_shards * sum(wholes), shard % num_shards
    for num_rows, num_own in zip(wholes, owns, strict=True):
        rows = rows_of_shard(num_rows, num_own, shard, num_shards)
        yield slice(first + rows.start, first + rows.stop)
        first += num_rows


def _part_rows(leaf: LeafSpec) -> list[int]:
    """How many outputs each part of a leaf has."""
    return [prod(leaf.part_shape(part)[int(leaf.is_projection) :]) for part in range(len(leaf.parts))]
