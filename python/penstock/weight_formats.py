"""Which leaves of the weights' tree are packed for the CPU's kernels, and as what. No jax."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

from penstock._core import blocks_format
from penstock.checkpoint import Checkpoint, LeafSource, Tensors
from penstock.gguf_file import BLOCK_DTYPES
from penstock.layers.leaf import LeafSpec

#: By layer (None: outside of the layers) and leaf, the format of each packed matrix; all other leaves are arrays.
WeightFormats = Mapping[tuple[int | None, str], str]


#: What an operator can choose for the weights, and what matrices are packed as then.
_CHOSEN = {"float32": "f32", "bfloat16": "bf16", "int8": "q8_64", "int4": "q4_32"}

#: Leaves that keep 8 bits where the others have 4: rows of an embedding are not averaged with others, and the head's
#: errors are the logits'.
_KEPT_AT_8_BITS = ("embed", "lm_head")

#: A matrix of fewer outputs is read in no time, and its few sums decide much.
_FEWEST_QUANTIZED_OUTPUTS = 16


def weight_formats(checkpoint: Checkpoint, *, dtype: str, weight_dtype: str | None = None) -> WeightFormats:
    """For the kernels: every matrix that a linear layer multiplies by, the embedding and the head.

    Products and sums are float32, so a matrix that is stored in bfloat16 loses nothing by staying so, and is read in
    half the time, and blocks of a GGUF file keep their own bits (`penstock._core.blocks_format`).

    Args:
        dtype: of the activations; in bfloat16 weights are, too.
        weight_dtype: "float32", "bfloat16", "int8" or "int4" for all of them.
    """

    def weight_format(source: LeafSource) -> str:
        if weight_dtype is not None:
            return chosen_format(source.leaf, weight_dtype)
        if (of_blocks := blocks_format(stored_dtypes(checkpoint.tensors, source))) is not None:
            return of_blocks
        return "bf16" if dtype == "bfloat16" or _is_bfloat16(checkpoint, source) else "f32"

    return {
        (source.layer, source.leaf.name): weight_format(source)
        for source in checkpoint.sources
        if is_matrix(source.leaf)
    }


def chosen_format(leaf: LeafSpec, weight_dtype: str) -> str:
    """Of a matrix, where an operator has chosen a dtype for all."""
    if weight_dtype in {"int8", "int4"} and prod(matrix_sizes(leaf)[1]) < _FEWEST_QUANTIZED_OUTPUTS:
        return "f32"
    if weight_dtype == "int4" and leaf.name in _KEPT_AT_8_BITS:
        return _CHOSEN["int8"]
    return _CHOSEN[weight_dtype]


def told_dtype(formats: Iterable[str]) -> str:
    """What matrices of these formats are called, as "bfloat16" or "int4 and int8"."""
    names = {spelling: name for name, spelling in _CHOSEN.items()}
    return " and ".join(sorted({names.get(spelling, spelling) for spelling in formats}))


def told_blocks(checkpoint: Checkpoint, formats: WeightFormats, *, dtype: str) -> str:
    """What becomes of a GGUF file's blocks, for the log; "" where there are none.

    Args:
        dtype: of what is not packed.
    """
    found: dict[tuple[str, str], None] = {}
    for source in checkpoint.sources:
        stored = [each for each in stored_dtypes(checkpoint.tensors, source) if each in BLOCK_DTYPES]
        if stored:
            becomes = formats.get((source.layer, source.leaf.name), source.leaf.dtype or dtype)
            found[" with ".join(stored), becomes] = None
    return ", ".join(f"{stored} as {becomes}" for stored, becomes in sorted(found))


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


def stored_dtypes(tensors: Tensors, source: LeafSource) -> list[str]:
    """Of the tensors of a leaf."""
    names = (name for stored in source.each_stored for name in stored.names)
    return sorted({tensors[name].dtype for name in names})


def _is_bfloat16(checkpoint: Checkpoint, source: LeafSource) -> bool:
    """Whether all its numbers are bfloat16: MXFP4's are, a sign and a bit times a power of two."""
    return source.stored.encoding == "mxfp4" or stored_dtypes(checkpoint.tensors, source) == ["BF16"]
