"""Golden checkpoints as GGUF files: the same spec but for what the files store otherwise, and the same tokens."""

import dataclasses
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from driving import Driver
from forced import QUICK
from gguf import GGMLQuantizationType
from golden import GOLDEN, IS_WHOLE, NAMES, golden_folder, read_prompts
from made_gguf import ARCHITECTURES, PAIRED, write_gguf

from penstock.checkpoint import inspect_checkpoint
from penstock.engine import EngineOptions
from penstock.engine.platform import PLATFORMS
from penstock.engine.runner import JaxRunner
from penstock.layers.kernels import unpacked
from penstock.weight_formats import weight_formats
from penstock.weights import TensorFiles, read_leaf, read_packed

#: What no file of GGUF can hold: some biases, norms of q and k, halves one after another, dense layers among sparse
#: ones in other places than the first.
NO_GGUF = ("deepseek_v2", "falcon_rw", "phi", "qwen2_moe", "qwen3_moe_mixed")
GGUF_NAMES = tuple(name for name in NAMES if name not in NO_GGUF)
#: Run in every run: what is stored otherwise in ways that differ.
ENGINE_NAMES = GGUF_NAMES if IS_WHOLE else ("llama_tied", "gemma3_text")

MakeGguf = Callable[[str], Path]


@pytest.fixture(scope="session")
def make_gguf(tmp_path_factory: pytest.TempPathFactory) -> MakeGguf:
    folder = tmp_path_factory.mktemp("made")
    return cache(lambda name: write_gguf(name, folder / f"{name}.gguf"))


@pytest.mark.parametrize("name", GGUF_NAMES)
def test_a_file_holds_the_model_that_its_folder_does(name: str, make_gguf: MakeGguf):
    """The specs are one, but for the way of norms and pairs, and so are all leaves that these leave alone."""
    whole, made = inspect_checkpoint(golden_folder(name)), inspect_checkpoint(make_gguf(name))
    assert made.architecture == whole.architecture
    assert made.max_position_embeddings == whole.max_position_embeddings or name.startswith("falcon")
    assert plain(made.spec) == plain(whole.spec)
    with TensorFiles(whole) as folder, TensorFiles(made) as file:
        for ours, theirs in zip(made.sources, whole.sources, strict=True):
            assert ours.leaf == theirs.leaf
            if "norm" in ours.leaf.name or (ours.leaf.name.startswith("qkv") and is_paired(name)):
                continue
            got, want = (read_leaf(*each, dtype=np.float32) for each in ((file, ours), (folder, theirs)))
            np.testing.assert_array_equal(got, want)


def is_paired(name: str) -> bool:
    config = json.loads((golden_folder(name) / "config.json").read_text())
    return config["model_type"] in PAIRED


def plain(value: object) -> object:
    """A spec without what files of GGUF have otherwise: rope of neighbours, whole norms, factors for frequencies."""
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    if not dataclasses.is_dataclass(value):
        return round(value, 6) if isinstance(value, float) else value
    fields = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if fields.get("kind") in ("llama3", "factors"):
        keep = {"theta", "size"}
        fields = {key: fields[key] for key in keep}
    fields.pop("is_interleaved", None)
    fields.pop("plus_one", None)
    return type(value).__name__, fields


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_greedy_tokens_are_those_of_the_folder(name: str, make_gguf: MakeGguf, tmp_path: Path):
    options = EngineOptions(max_num_seqs=1, max_prefill_tokens=16, max_model_len=256, compile_cache=tmp_path)
    quick = dataclasses.replace(PLATFORMS["cpu"], compiler_options=tuple(QUICK.items()))
    with patch.dict(PLATFORMS, cpu=quick):
        runner = JaxRunner.load(inspect_checkpoint(make_gguf(name)), options, on_progress=lambda _: None)
    driver = Driver(runner)
    for prompt in read_prompts(golden_folder(name)):
        assert driver.finish([driver.start(prompt.ids, max_new=len(prompt.greedy))]) == [prompt.greedy], prompt.name


def mixed(name: str, tensor: np.ndarray) -> GGMLQuantizationType | None:
    """Types as they meet in files: those of keys and values finer than those of queries, the head finest."""
    if tensor.shape[-1] % 32 or ".ffn_gate_inp." in name:
        return None
    finer = ("attn_k", "attn_v", "ffn_down", "output.")
    kinds = (GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q4_0, GGMLQuantizationType.Q5_1)
    return kinds[0] if any(part in name for part in finer) else kinds[1 + ("ffn_up" in name)]


@pytest.mark.parametrize("name", ["llama_tied", "qwen3_moe", "gpt_oss", "phi3", "deepseek_v3"])
def test_blocks_are_packed_in_their_own_bits(name: str, tmp_path: Path):
    """Every packed matrix unpacks to the numbers that the file has for it."""
    checkpoint = inspect_checkpoint(write_gguf(name, tmp_path / "mixed.gguf", quantize=mixed))
    formats = weight_formats(checkpoint, dtype="float32")
    assert any(each.startswith("q") for each in formats.values())
    with TensorFiles(checkpoint) as files:
        for source in checkpoint.sources:
            weight_format = formats.get((source.layer, source.leaf.name))
            if weight_format is None:
                continue
            packed = read_packed(files, source, weight_format, dtype=np.float32)
            leaf = read_leaf(files, source, dtype=np.float32)
            wanted = leaf.T if source.leaf.name == "embed" else leaf
            experts = packed.panels if source.leaf.has_experts else [packed.panels]
            got = [np.asarray(unpacked(dataclasses.replace(packed, panels=panels))) for panels in experts]
            np.testing.assert_array_equal(np.stack(got) if source.leaf.has_experts else got[0], wanted)


def test_every_architecture_of_ours_is_made_here():
    from penstock.models.gguf_config import ARCHITECTURES as OURS

    assert set(ARCHITECTURES.values()) == set(OURS)
    assert GOLDEN is not None
