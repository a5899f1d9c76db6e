"""How a shard's weights and caches lie over a mesh, as jax names it: by the table of `penstock.models.sharding`."""

from __future__ import annotations

from typing import Any

from jax.sharding import PartitionSpec

from penstock.layers.attention import PagedAttention
from penstock.layers.leaf import Axes
from penstock.models.sharding import mesh_axes
from penstock.models.spec import DecoderSpec
from penstock.models.tree import build_tree, layer_leaves, stacks, top_leaves


def partition(axes: Axes) -> PartitionSpec:
    """Of an array whose axes count that."""
    return PartitionSpec(*mesh_axes(axes))  # type: ignore[no-untyped-call]  # jax has no types here


def weight_partitions(spec: DecoderSpec) -> Any:
    """The tree of weights, a `PartitionSpec` for each array."""
    top = {leaf.name: partition(leaf.axes) for leaf in top_leaves(spec)}
    layers = [
        {leaf.name: partition(leaf.axes) for leaf in layer_leaves(spec, layer) if not leaf.is_stacked}
        for layer in range(spec.num_layers)
    ]
    return build_tree(spec, top=top, layers=layers, stacked=[partition(stack.axes) for stack in stacks(spec)])


def cache_partitions(spec: DecoderSpec, attention: PagedAttention) -> tuple[PartitionSpec, ...]:
    """Of each layer's cache."""
    return tuple(partition(attention.cache_axes(layer.cache)) for layer in spec.layers)
