"""How a decoder is split over devices. A device's shard is a smaller decoder: fewer heads, narrower MLPs, a part of the
vocabulary, with the same layers. No jax.

One table says along which axis of the mesh the axes of leaves and caches are split; what it does not name, every device
holds whole. (Megatron-LM's way, Shoeybi et al., arXiv 1909.08053: columns first, then rows, and one sum over the
devices at the end of each half of a layer.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from penstock.layers.leaf import LogicalAxis
from penstock.models.spec import DecoderSpec

#: The mesh's one axis.
MODEL_AXIS = "model"

MESH_AXES: dict[LogicalAxis, str] = {
    "heads": MODEL_AXIS,
    "kv_heads": MODEL_AXIS,
    "mlp": MODEL_AXIS,
    "experts": MODEL_AXIS,
    "vocab": MODEL_AXIS,
}


def shard_of(spec: DecoderSpec, num_devices: int) -> DecoderSpec:
    """What each of `num_devices` computes; the decoder itself where there is one.

    A vocabulary that cannot be divided is held whole by every device.

    Raises:
        ConfigError: heads or columns cannot be divided; names them.
    """
    if num_devices == 1:
        return spec
    shards = {layer: layer.shard(num_devices, MODEL_AXIS) for layer in dict.fromkeys(spec.layers)}
    is_divided = spec.vocab_size % num_devices == 0
    return replace(
        spec,
        layers=tuple(shards[layer] for layer in spec.layers),
        num_vocab_shards=num_devices if is_divided else 1,
        mesh_axis=MODEL_AXIS,
    )


def mesh_axes(axes: Sequence[LogicalAxis | None]) -> tuple[str | None, ...]:
    """For each axis of an array the axis of the mesh along which it is split; None where it is whole everywhere."""
    return tuple(None if axis is None else MESH_AXES[axis] for axis in axes)


def rows_of_shard(num_rows: int, num_own: int, shard: int, num_shards: int) -> slice:
    """Which of `num_rows` rows of a stored tensor are the `num_own` of a shard.

    Rows are divided evenly. Where that would cut heads of `num_own` rows, as there are more shards than key-value
    heads, neighbours hold the same head:

        2 heads of 3 rows on 4 shards    0 1 2 | 0 1 2 | 3 4 5 | 3 4 5
    """
    first = shard * num_rows // num_shards // num_own * num_own
    return slice(first, first + num_own)
