"""Every shard's leaf is its part of the whole leaf, and is made of the rows of the checkpoint that it needs alone."""

from collections import Counter
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from random_checkpoint import Recipe, make_checkpoint
from safetensors import safe_open

from penstock.checkpoint import Checkpoint, LeafSource, inspect_checkpoint
from penstock.layers.leaf import LeafSpec, Stored
from penstock.layers.spec import AttentionSpec, MlpSpec
from penstock.models.sharding import MESH_AXES, mesh_axes, shard_of
from penstock.models.tree import layer_leaves, top_leaves
from penstock.sharded_weights import read_shard
from penstock.weights import TensorFiles, assemble

#: Key-value heads divided, shared by two devices, and one that all share.
CASES = {"2 of 4": (8, 4, 2), "4 of 2": (8, 2, 4), "4 of 1": (4, 1, 4), "8 of 8": (8, 8, 8)}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Checkpoint, int]:
    num_heads, num_kv_heads, num_devices = CASES[request.param]
    recipe = Recipe(
        family="qwen2", hidden_size=24, num_heads=num_heads, num_kv_heads=num_kv_heads, head_dim=6,
        intermediate_size=16, num_layers=1, vocab_size=48,
    )  # fmt: skip
    return inspect_checkpoint(make_checkpoint(recipe, tmp_path)), num_devices


def leaves(checkpoint: Checkpoint, num_devices: int) -> list[tuple[LeafSource, LeafSpec]]:
    """Each source beside the leaf that a shard has of it."""
    spec = shard_of(checkpoint.spec, num_devices)
    own = {leaf.name: leaf for leaf in (*top_leaves(spec), *layer_leaves(spec, 0))}
    return [(source, own[source.leaf.name]) for source in checkpoint.sources]


def part_of(whole: np.ndarray, leaf: LeafSpec, checkpoint: Checkpoint, *, shard: int, num_devices: int):
    """By plain indexing: of fused queries, keys and values head by head, of all else along the axis that is split."""
    (axis,) = [number for number, name in enumerate(mesh_axes(leaf.axes)) if name]
    attention = checkpoint.spec.layers[0].attention
    if not leaf.name.startswith("qkv") or attention.num_kv_heads >= num_devices:
        return np.array_split(whole, num_devices, axis)[shard]
    sharing, size = num_devices // attention.num_kv_heads, attention.head_dim
    fused = whole.take([shard // sharing], axis)
    queries = np.array_split(fused[..., : -2 * size], sharing, -1)[shard % sharing]
    return np.concatenate([queries, fused[..., -2 * size :]], -1)


def test_the_shards_are_the_whole(case: tuple[Checkpoint, int]):
    checkpoint, num_devices = case
    with TensorFiles(checkpoint) as files:
        for source, leaf in leaves(checkpoint, num_devices):
            whole = assemble(
                source.leaf, source.stored, [files.read(name) for name in source.stored.names], dtype=np.float32
            )
            if not any(mesh_axes(leaf.axes)):
                assert leaf.shape == whole.shape
                continue
            for shard in range(num_devices):
                parts = read_shard(files, source, leaf, shard=shard, num_shards=num_devices)
                want = part_of(whole, leaf, checkpoint, shard=shard, num_devices=num_devices)
                np.testing.assert_array_equal(assemble(leaf, source.stored, parts, dtype=np.float32), want)


class CountingFile:
    """A safetensors file that counts the bytes it gives, and gives no whole tensor."""

    num_bytes: ClassVar[Counter[str]] = Counter()

    def __init__(self, file: Path, **options: str) -> None:
        self._file = safe_open(file, **options)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error: object):
        return self._file.__exit__(*error)

    def get_slice(self, name: str):
        return CountingSlice(name, self._file.get_slice(name))


class CountingSlice:
    def __init__(self, name: str, part) -> None:
        self._name, self._part = name, part

    def __getitem__(self, where: tuple[slice, ...]) -> np.ndarray:
        found = self._part[where]
        CountingFile.num_bytes[self._name] += found.nbytes
        return found


def test_a_shard_reads_its_own_rows_alone(case: tuple[Checkpoint, int], monkeypatch: pytest.MonkeyPatch):
    checkpoint, num_devices = case
    monkeypatch.setattr("penstock.weights.safe_open", CountingFile)
    num_kv_heads = checkpoint.spec.layers[0].attention.num_kv_heads
    for shard in range(num_devices):
        CountingFile.num_bytes.clear()
        with TensorFiles(checkpoint) as files:
            split = [pair for pair in leaves(checkpoint, num_devices) if any(mesh_axes(pair[1].axes))]
            for source, leaf in split:
                read_shard(files, source, leaf, shard=shard, num_shards=num_devices)
        for source, _ in split:
            for name in source.stored.names:
                is_shared = "k_proj" in name or "v_proj" in name
                share = min(num_devices, num_kv_heads) if is_shared else num_devices
                assert CountingFile.num_bytes[name] == checkpoint.tensors[name].num_bytes // share, name


def test_the_table_names_every_axis_that_leaves_have(case: tuple[Checkpoint, int]):
    checkpoint, num_devices = case
    names = {axis for _, leaf in leaves(checkpoint, num_devices) for axis in leaf.axes if axis}
    assert names <= MESH_AXES.keys()
    assert {"kv_heads", "heads", "mlp", "vocab"} <= names


ATTENTIONS = [AttentionSpec(8, num_kv_heads, 6, None, has_qkv_bias=True) for num_kv_heads in (8, 4, 2, 1)]


@pytest.mark.parametrize("stored", [Stored(("one",)), Stored(("one",), is_woven=True), Stored(("one",), True)])
@pytest.mark.parametrize("half", [*ATTENTIONS, MlpSpec(16, has_bias=True)], ids=str)
@pytest.mark.parametrize("num_devices", [2, 4, 8])
def test_one_tensor_that_holds_several_parts(stored: Stored, half: AttentionSpec | MlpSpec, num_devices: int):
    """As Phi-3, GPT-NeoX and GPT-2 store q, k and v: the shards' leaves are those of tensors that lie apart."""
    for leaf, own in zip(half.leaves(10), half.shard(num_devices, "model").leaves(10), strict=True):
        if len(leaf.parts) == 1:
            continue
        parts = Stored(tuple(str(part) for part in range(len(leaf.parts))))
        apart = {
            name: np.random.default_rng(int(name)).standard_normal(shape).astype(np.float32)
            for name, shape in zip(parts.names, leaf.stored_shapes(parts), strict=True)
        }
        whole = assemble(leaf, parts, list(apart.values()), dtype=np.float32)
        one = {"one": as_stored(leaf, stored, whole, list(apart.values()))}
        for shard in range(num_devices):
            found = [
                assemble(own, how, read_shard(Tensors(held), LeafSource(leaf, 0, how), own, shard=shard,
                                              num_shards=num_devices), dtype=np.float32)
                for how, held in ((stored, one), (parts, apart))
            ]  # fmt: skip
            np.testing.assert_array_equal(*found)


def as_stored(leaf: LeafSpec, stored: Stored, whole: np.ndarray, apart: list[np.ndarray]) -> np.ndarray:
    """The one tensor of a leaf, whose tensors are `apart` otherwise."""
    if stored.is_woven:
        return whole.reshape(leaf.shape[0], -1).T if leaf.is_projection else whole.reshape(-1)
    one = np.concatenate(apart)
    return one.T if stored.has_inputs_first and leaf.is_projection else one


class Tensors:
    """In place of `TensorFiles`."""

    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        self._tensors = tensors

    def read(self, name: str, part: tuple[slice, ...]) -> np.ndarray:
        return self._tensors[name][part]
