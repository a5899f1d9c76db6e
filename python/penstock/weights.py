"""Loads a checkpoint's tensors into the tree of weights, one leaf at a time.

The host holds one leaf beside what is already on the device, so its peak stays near one layer. jax brings ml_dtypes,
by which numpy knows bfloat16.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from penstock.checkpoint import Checkpoint, LeafSource
from penstock.errors import ModelError
from penstock.models.spec import DecoderSpec
from penstock.models.tree import layer_leaves, top_leaves


def load_weights(checkpoint: Checkpoint, *, dtype: Any, device: jax.Device) -> dict[str, Any]:
    """Reads, transposes, fuses and casts every leaf.

    Args:
        dtype: of all leaves, float32 or bfloat16.

    Returns:
        The tree of `penstock.models.tree`, committed to `device`.
    """
    top: dict[str, Any] = {}
    layers: list[dict[str, jax.Array]] = [{} for _ in range(checkpoint.spec.num_layers)]
    for source in checkpoint.sources:
        leaf = jax.device_put(_assemble(checkpoint, source, dtype), device)
        leaf.block_until_ready()
        (top if source.layer is None else layers[source.layer])[source.leaf.name] = leaf
    return {**top, "layers": tuple(layers)}


def weight_shapes(spec: DecoderSpec, *, dtype: Any) -> dict[str, Any]:
    """The tree as `jax.ShapeDtypeStruct`, to compile before anything is loaded."""

    def zeros() -> dict[str, Any]:
        layer = {leaf.name: jnp.zeros(leaf.shape, dtype) for leaf in layer_leaves(spec)}
        top = {leaf.name: jnp.zeros(leaf.shape, dtype) for leaf in top_leaves(spec)}
        return {**top, "layers": (layer,) * spec.num_layers}

    shapes: dict[str, Any] = jax.eval_shape(zeros)
    return shapes


def _assemble(checkpoint: Checkpoint, source: LeafSource, dtype: Any) -> np.ndarray:
    """One leaf on the host: its tensors side by side along the last axis."""
    out = np.empty(source.leaf.shape, dtype)
    start = 0
    for name in source.tensors:
        stored = read_tensor(checkpoint.tensors[name].file, name)
        tensor = stored.T if source.leaf.is_projection else stored
        out[..., start : start + tensor.shape[-1]] = tensor
        start += tensor.shape[-1]
    return out


def read_tensor(file: Path, name: str) -> np.ndarray:
    """A stored tensor as it lies in its file. ModelError if the file has changed since it was checked."""
    try:
        with safe_open(file, framework="numpy") as tensors:
            stored: np.ndarray = tensors.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file} cannot be read any more: {error}") from None
    return stored
