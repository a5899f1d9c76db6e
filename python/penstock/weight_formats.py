"""Which leaves of the weights' tree are packed for the CPU's kernels, and as what. No jax."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.checkpoint import Checkpoint, LeafSource
from penstock.layers.leaf import LeafSpec

#: By layer (None: outside of the layers) and leaf, the format of each packed matrix; all other leaves are arrays.
WeightFormats = Mapping[tuple[int | None, str], str]


def weight_formats(checkpoint: Checkpoint, *, dtype: str) -> WeightFormats:
    """For the kernels: every matrix that a linear layer multiplies by, the embedding and the head.

    Products and sums are float32, so a matrix that is stored in bfloat16 loses nothing by staying so, and is read in
    half the time.

    Args:
        dtype: of the activations; in bfloat16 weights are, too.
    """
    return {
        (source.layer, source.leaf.name): "bf16" if dtype == "bfloat16" or _is_bfloat16(checkpoint, source) else "f32"
        for source in checkpoint.sources
        if is_matrix(source.leaf)
    }


def is_matrix(leaf: LeafSpec) -> bool:
    """Whether a layer multiplies by it and by nothing of its parts. What has a dtype of its own is small."""
    return leaf.dtype is None and (leaf.is_projection or leaf.name == "embed")


def matrix_sizes(leaf: LeafSpec) -> tuple[int, tuple[int, ...]]:
    """Inputs and outputs of a matrix, of one expert's where it has experts. An embedding lies as a tied head reads it:
    its outputs are the vocabulary."""
    if leaf.name == "embed":
        return leaf.shape[1], leaf.shape[:1]
    sizes = leaf.shape[1:] if leaf.has_experts else leaf.shape
    return sizes[0], sizes[1:]


def num_experts(leaf: LeafSpec) -> int | None:
    """None where it has no experts."""
    return leaf.shape[0] if leaf.has_experts else None


def _is_bfloat16(checkpoint: Checkpoint, source: LeafSource) -> bool:
    """Whether all its numbers are bfloat16: MXFP4's are, a sign and a bit times a power of two."""
    if source.stored.encoding == "mxfp4":
        return True
    names = (name for stored in source.each_stored for name in stored.names)
    return all(checkpoint.tensors[name].dtype == "BF16" for name in names)
