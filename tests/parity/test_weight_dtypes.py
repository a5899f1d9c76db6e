"""Models with matrices of few bits: near the model whose weights are what the bits say, not too far from the whole."""

from typing import Any

import jax
import numpy as np
import pytest
from forced import forced_logits
from golden import golden_folder, read_prompts

from penstock.checkpoint import Checkpoint, inspect_checkpoint
from penstock.layers.kernels import unpacked
from penstock.layers.packed_matrix import PackedMatrix
from penstock.weight_formats import weight_formats
from penstock.weights import load_weights, weight_bytes, weight_shapes


def load(checkpoint: Checkpoint, weight_dtype: str) -> dict[str, Any]:
    formats = weight_formats(checkpoint, dtype="float32", weight_dtype=weight_dtype)
    return load_weights(checkpoint, dtype=np.float32, device=jax.devices()[0], formats=formats)


def is_packed(leaf: Any) -> bool:
    return isinstance(leaf, PackedMatrix)


def widened(weights: dict[str, Any]) -> dict[str, Any]:
    """The same tree with arrays of float32, for XLA's products."""
    tree = jax.tree.map(lambda leaf: unpacked(leaf) if is_packed(leaf) else leaf, weights, is_leaf=is_packed)
    return tree | {"embed": tree["embed"].T}


def distance(got: list[np.ndarray], want: list[np.ndarray]) -> float:
    return float(np.linalg.norm(np.concatenate(got) - np.concatenate(want)) / np.linalg.norm(np.concatenate(want)))


@pytest.mark.parametrize(("name", "weight_dtype"), [("qwen3", "int8"), ("llama_tied", "int4")])
def test_kernels_compute_what_the_bits_say(name: str, weight_dtype: str):
    checkpoint, prompts = inspect_checkpoint(golden_folder(name)), read_prompts(golden_folder(name))
    weights = load(checkpoint, weight_dtype)
    by_kernels = forced_logits(checkpoint, prompts, weights=weights)
    # Activations are rounded to 12 bits, and nothing else.
    assert distance(by_kernels, forced_logits(checkpoint, prompts, weights=widened(weights))) < 0.01
    if weight_dtype == "int8":
        # Of made-up weights, in which errors grow from layer to layer: bfloat16 is 0.01 off.
        assert distance(by_kernels, forced_logits(checkpoint, prompts)) < 0.06


def test_the_tree_and_its_size_are_those_that_are_planned():
    checkpoint = inspect_checkpoint(golden_folder("qwen3"))
    sizes = {}
    for weight_dtype in ("float32", "bfloat16", "int8", "int4"):
        formats = weight_formats(checkpoint, dtype="float32", weight_dtype=weight_dtype)
        loaded, planned = (
            load(checkpoint, weight_dtype),
            weight_shapes(checkpoint.spec, dtype=np.float32, formats=formats),
        )
        assert jax.tree.map(np.shape, loaded) == jax.tree.map(np.shape, planned)
        sizes[weight_dtype] = weight_bytes(checkpoint.spec, dtype=np.float32, formats=formats)
        assert sizes[weight_dtype] == sum(leaf.nbytes for leaf in jax.tree.leaves(loaded))
    assert sizes["int4"] < sizes["int8"] < sizes["bfloat16"] < sizes["float32"]


def test_four_bits_leave_eight_to_the_embedding_and_the_head():
    checkpoint = inspect_checkpoint(golden_folder("qwen3"))
    formats = weight_formats(checkpoint, dtype="float32", weight_dtype="int4")
    assert {name for (_, name), spelling in formats.items() if spelling == "q8_64"} <= {"embed", "lm_head"}
    assert formats[None, "embed"] == "q8_64"
    assert {spelling for (layer, _), spelling in formats.items() if layer is not None} == {"q4_32"}
