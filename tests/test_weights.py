"""Every leaf of the tree equals the tensors it is made of, as the safetensors library reads them."""

import shutil
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from penstock.checkpoint import inspect_checkpoint
from penstock.errors import ModelError
from penstock.layers.leaf import LeafSpec, Stored
from penstock.layers.rope_spec import RopeSpec
from penstock.layers.spec import AttentionSpec, MlpSpec
from penstock.models.tree import layers_of
from penstock.weights import assemble, load_weights, mapped_empty, weight_shapes

DATA = Path(__file__).parent / "data"


def load(folder: Path, dtype=np.float32):
    return load_weights(inspect_checkpoint(folder), dtype=dtype, device=jax.devices()[0])


def test_projections_are_transposed_and_fused():
    weights, stored = load(DATA / "qwen3"), load_file(DATA / "qwen3" / "model.safetensors")
    spec = inspect_checkpoint(DATA / "qwen3").spec
    layer, prefix = layers_of(weights, spec)[2], "model.layers.2.self_attn."
    q, k, v = (stored[f"{prefix}{part}_proj.weight"] for part in "qkv")
    num_kv_heads, head_dim = spec.layers[2].attention.num_kv_heads, spec.layers[2].attention.head_dim
    assert layer["qkv"].shape == (spec.hidden_size, num_kv_heads, len(q) // num_kv_heads + 2 * head_dim)
    for head in range(num_kv_heads):
        own = [part.reshape(num_kv_heads, -1, spec.hidden_size)[head] for part in (q, k, v)]
        np.testing.assert_array_equal(layer["qkv"][:, head], np.concatenate(own).T)
    np.testing.assert_array_equal(layer["down"], stored["model.layers.2.mlp.down_proj.weight"].T)
    np.testing.assert_array_equal(layer["k_norm"], stored[prefix + "k_norm.weight"])
    np.testing.assert_array_equal(weights["embed"], stored["model.embed_tokens.weight"])
    assert "lm_head" not in weights


def test_shards_are_put_together():
    stored = {}
    for file in sorted((DATA / "llama_tied").glob("*.safetensors")):
        stored |= load_file(file)
    weights = load(DATA / "llama_tied")
    for number, part in enumerate(("gate", "up")):
        want = stored[f"model.layers.1.mlp.{part}_proj.weight"].T
        np.testing.assert_array_equal(weights["layers"][1]["gate_up"][:, number], want)


@pytest.mark.parametrize("stored_dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_half_precision_files_are_cast(tmp_path: Path, stored_dtype, dtype):
    folder = shutil.copytree(DATA / "qwen3", tmp_path / "model")
    halves = {name: tensor.astype(stored_dtype) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(halves, folder / "model.safetensors")
    weights = load(folder, dtype)
    np.testing.assert_array_equal(weights["embed"], halves["model.embed_tokens.weight"].astype(dtype))
    projection = halves["model.layers.0.self_attn.o_proj.weight"].T.astype(dtype)
    np.testing.assert_array_equal(weights["layers"][0]["o"], projection)


def test_the_tree_has_the_shapes_that_programs_are_compiled_for():
    checkpoint = inspect_checkpoint(DATA / "llama_tied")
    loaded, planned = load(DATA / "llama_tied"), weight_shapes(checkpoint.spec, dtype=np.float32)
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree) for tree in (loaded, planned)]
    assert shapes[0] == shapes[1]


def test_a_file_that_shrinks_after_the_check_is_refused(tmp_path: Path):
    folder = shutil.copytree(DATA / "qwen3", tmp_path / "model")
    checkpoint = inspect_checkpoint(folder)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:50_000])
    with pytest.raises(ModelError, match="cannot be read any more"):
        load_weights(checkpoint, dtype=np.float32, device=jax.devices()[0])


@pytest.mark.parametrize(
    "leaf",
    MlpSpec(12, has_bias=True).leaves(8) + AttentionSpec(4, 2, 6, RopeSpec(1e4), has_qkv_bias=True).leaves(8),
    ids=lambda leaf: leaf.name,
)
def test_a_leaf_is_the_same_from_its_parts_and_from_one_tensor_that_holds_them(leaf: LeafSpec):
    """As Phi-3 stores q, k and v: one below the other."""
    rng = np.random.default_rng(0)
    one, each = Stored(("all",)), Stored(tuple(str(part) for part in range(len(leaf.parts))))
    parts = [rng.standard_normal(shape).astype(np.float32) for shape in leaf.stored_shapes(each)]
    whole = np.concatenate(parts)
    assert leaf.stored_shapes(one) == (whole.shape,)
    together = assemble(leaf, one, [whole], dtype=np.float32)
    np.testing.assert_array_equal(together, assemble(leaf, each, parts, dtype=np.float32))


@pytest.mark.parametrize(("name", "num_files"), [("qwen3", 1), ("llama_tied", 3)])
def test_each_file_is_opened_once_however_many_tensors_it_holds(
    name: str, num_files: int, monkeypatch: pytest.MonkeyPatch
):
    """Opening parses the header, which names every tensor: once per tensor was a square."""
    opened = []

    def open_and_count(file: Path, **options):
        opened.append(file)
        return safe_open(file, **options)

    monkeypatch.setattr("penstock.weights.safe_open", open_and_count)
    load(DATA / name)
    assert len(opened) == len(set(opened)) == num_files


def test_a_leaf_is_taken_without_a_copy():
    """On CPU the device reads the memory that the leaf was assembled in: its mapping is chosen for how it is read."""
    leaf = LeafSpec("down", (96, 64), 1, (64,), is_projection=True)
    host = assemble(leaf, Stored(("down",)), [np.ones((64, 96), np.float32)], dtype=np.float32)
    on_device = jax.device_put(host, jax.devices("cpu")[0])
    assert on_device.unsafe_buffer_pointer() == host.ctypes.data


HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not HUGE_PAGES.is_file() or "[never]" in HUGE_PAGES.read_text(), reason="this kernel gives no huge pages"
)
def test_a_leaf_lies_on_huge_pages_where_the_kernel_gives_them():
    """What it gives to private memory alone, unless somebody has set it otherwise: the judge is the kernel's book."""
    leaf = mapped_empty((8, 1 << 20), np.float32)
    leaf[:] = 1
    assert huge_kilobytes_at(leaf.ctypes.data) > 0


def huge_kilobytes_at(address: int) -> int:
    is_there = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            first, end = (int(part, 16) for part in name.split("-"))
            is_there = first <= address < end
        elif is_there and name == "AnonHugePages:":
            return int(rest[0])
    return 0
