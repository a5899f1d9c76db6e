"""Every shard's leaf is its part of the whole leaf, and is made of the rows of the checkpoint that it needs alone."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from random_checkpoint import Recipe, make_checkpoint
from safetensors import safe_open

from penstock.checkpoint import Checkpoint, LeafSource, inspect_checkpoint
from penstock.layers.leaf import LeafSpec
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


def part_of(whole: np.ndarray, source: LeafSource, checkpoint: Checkpoint, *, shard: int, num_devices: int):
    """By plain indexing: of fused queries, keys and values head by head, of all else along the axis that is split."""
    (axis,) = [number for number, name in enumerate(mesh_axes(source.leaf.axes)) if name]
    attention = checkpoint.spec.layers[0].attention
    if not source.leaf.name.startswith("qkv") or attention.num_kv_heads >= num_devices:
        return np.array_split(whole, num_devices, axis)[shard]
    sharing, size = num_devices // attention.num_kv_heads, attention.head_dim
    fused = whole.take([shard // sharing], axis)
    queries = np.array_split(fused[..., : -2 * size], sharing, -1)[shard % sharing]
    return np.concatenate([queries, fused[..., -2 * size :]], -1)


def test_the_shards_are_the_whole(case: tuple[Checkpoint, int]):
    checkpoint, num_devices = case
    with TensorFiles(checkpoint) as files:
        for source, leaf in leaves(checkpoint, num_devices):
            whole = assemble(source.leaf, [files.read(name) for name in source.tensors], dtype=np.float32)
            if not any(mesh_axes(leaf.axes)):
                assert leaf.shape == whole.shape
                continue
            for shard in range(num_devices):
                parts = read_shard(files, source, leaf, shard=shard, num_shards=num_devices)
                want = part_of(whole, source, checkpoint, shard=shard, num_devices=num_devices)
                np.testing.assert_array_equal(assemble(leaf, parts, dtype=np.float32), want)


class CountingFile:
    """A safetensors file that counts the bytes it gives, and gives no whole tensor."""

    num_bytes: Counter[str] = Counter()

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
            for name in source.tensors:
                is_shared = "k_proj" in name or "v_proj" in name
                share = min(num_devices, num_kv_heads) if is_shared else num_devices
                assert CountingFile.num_bytes[name] == checkpoint.tensors[name].num_bytes // share, name


def test_the_table_names_every_axis_that_leaves_have(case: tuple[Checkpoint, int]):
    checkpoint, num_devices = case
    names = {axis for _, leaf in leaves(checkpoint, num_devices) for axis in leaf.axes if axis}
    assert names <= MESH_AXES.keys()
    assert {"kv_heads", "heads", "mlp", "vocab"} <= names


def test_one_tensor_that_holds_several_parts_is_read_part_by_part(tmp_path: Path, case: tuple[Checkpoint, int]):
    """As Phi-3 stores q, k and v, and gate and up: one below the other."""
    checkpoint, num_devices = case
    with TensorFiles(checkpoint) as files:
        for source, leaf in leaves(checkpoint, num_devices):
            if len(source.tensors) == 1 or not any(mesh_axes(leaf.axes)):
                continue
            apart = [read_shard(files, source, leaf, shard=1, num_shards=num_devices)]
            whole = np.concatenate([files.read(name) for name in source.tensors])
            fused = OneTensor(whole)
            one = LeafSource(source.leaf, source.layer, ("fused",))
            together = read_shard(fused, one, leaf, shard=1, num_shards=num_devices)
            np.testing.assert_array_equal(np.concatenate(apart[0]), together[0])


class OneTensor:
    def __init__(self, whole: np.ndarray) -> None:
        self._whole = whole

    def read(self, _: str, part: tuple[slice, ...]) -> np.ndarray:
        return self._whole[part]
