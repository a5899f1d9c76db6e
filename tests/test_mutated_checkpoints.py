"""Damaged and foreign checkpoints: whatever is changed in a config or a header, a folder is served or refused by one
sentence, from headers alone; and a change to its tensors never passes for the same model."""

import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from penstock.checkpoint import inspect_checkpoint
from penstock.errors import ModelError

QWEN3 = Path(__file__).parent / "data" / "qwen3"
WILD: list[Any] = [
    None, True, False, 0, -1, 3, 2**31, 10**9, 10**30, 1.5, -0.5, 1e-300, 1e300, float("nan"), float("inf"), "", "x",
    "yarn", [], [1], ["x"], {}, {"a": 1}, [[]], {"rope_type": "yarn"}, {"rope_type": {}},
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(QWEN3, tmp_path / "model")


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        inspect_checkpoint(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_tensors(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("config_name", ["config.json", "config.hub.json"])
@pytest.mark.parametrize("seed", range(4))
def test_a_config_with_wild_values_is_served_or_refused(folder: Path, config_name: str, seed: int):
    rng = random.Random(seed)
    config = json.loads((QWEN3 / config_name).read_text())
    for _ in range(60):
        changed = json.loads(json.dumps(config))
        for _ in range(rng.choice([1, 1, 2])):
            place = changed
            name = rng.choice(sorted(place))
            if isinstance(place[name], dict) and place[name] and rng.random() < 0.7:
                place = place[name]
                name = rng.choice(sorted(place))
            place[name] = rng.choice(WILD)
        (folder / "config.json").write_text(json.dumps(changed))
        try:
            inspect_checkpoint(folder)
        except ModelError as error:
            assert "\n" not in str(error)  # noqa: PT017 - it may be served as well


@pytest.mark.parametrize("seed", range(6))
def test_a_header_that_was_changed_is_refused(folder: Path, seed: int):
    """Names, shapes, dtypes and places, each of one tensor at a time."""
    file, rng = folder / "model.safetensors", random.Random(seed)
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    for _ in range(25):
        changed = json.loads(json.dumps(header))
        name = rng.choice([each for each in changed if each != "__metadata__"])
        entry = changed[name]
        kind = rng.choice(["drop", "rename", "reshape", "dtype", "move"])
        if kind == "drop":
            del changed[name]
        elif kind == "rename":
            changed[name + "_"] = changed.pop(name)
        elif kind == "reshape":
            entry["shape"] = rng.choice([[], [1, *entry["shape"]], [-1], [10**18], entry["shape"] + [2], "x"])
        elif kind == "dtype":
            entry["dtype"] = rng.choice(["F64", "F8_E4M3", "BF16", "I32", "", None, 5])
        else:
            entry["data_offsets"] = rng.choice([[0, 1], [5], [], [-4, 4], [entry["data_offsets"][1]] * 2, "x"])
        text = json.dumps(changed).encode()
        file.write_bytes(struct.pack("<Q", len(text)) + text + body)
        refusal(folder)


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.1.mlp.down_proj.weight_scale",
        "model.layers.3.input_layernorm.weight",
        "model.embed_positions.weight",
        "score.weight",
    ],
)
def test_a_tensor_that_nothing_reads_is_refused_by_name(folder: Path, name: str):
    """A bias that the config does not tell of was left out in silence, and the model answered without it."""
    change_tensors(folder, lambda tensors: tensors.update({name: np.zeros(4, np.float32)}))
    assert f"does not ask for: {name}" in refusal(folder)


def test_buffers_and_the_copy_of_tied_embeddings_change_nothing(folder: Path):
    names = ["model.layers.0.self_attn.rotary_emb.inv_freq", "h.0.attn.bias", "lm_head.weight"]
    change_tensors(folder, lambda tensors: tensors.update({name: np.zeros(4, np.float32) for name in names}))
    assert inspect_checkpoint(folder).sources == inspect_checkpoint(QWEN3).sources


def test_layers_that_predict_further_tokens_are_no_part_of_the_model(folder: Path):
    change_tensors(folder, lambda tensors: tensors.update({"model.layers.3.eh_proj.weight": np.zeros(4, np.float32)}))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_nextn_predict_layers": 1}))
    assert inspect_checkpoint(folder).spec.num_layers == 3
    (folder / "config.json").write_text(json.dumps(config))
    assert "model.layers.3.eh_proj.weight" in refusal(folder)


@pytest.mark.parametrize("fields", [{"is_causal": False}, {"use_bidirectional_attention": True}])
def test_a_decoder_that_sees_later_tokens_is_refused(folder: Path, fields: dict[str, Any]):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))
    assert "later tokens" in refusal(folder)


def test_a_billion_layers_are_refused_at_once(folder: Path):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 10**9, "layer_types": None}))
    assert "num_hidden_layers" in refusal(folder)


def test_a_decoder_without_a_head_is_read_by_the_names_it_was_saved_with(folder: Path):
    """As embedding models are published: no "model." before the names, an architecture of the decoder alone."""

    def bare(tensors: dict[str, np.ndarray]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("model.")] = tensors.pop(name)

    change_tensors(folder, bare)
    config = json.loads((folder / "config.json").read_text())
    whole = inspect_checkpoint(folder)
    assert whole.has_head
    changed = config | {"architectures": ["Qwen3Model"], "tie_word_embeddings": False}
    (folder / "config.json").write_text(json.dumps(changed))
    headless = inspect_checkpoint(folder)
    assert not headless.has_head
    assert headless.spec == whole.spec == inspect_checkpoint(QWEN3).spec
    names = {name for source in headless.sources for name in source.stored.names}
    assert names == set(load_file(folder / "model.safetensors"))


def test_a_decoder_without_a_head_lacks_the_heads_bias_too(tmp_path: Path):
    matrices = {f"layers.0.self_attn.{name}": (8, 8) for name in ("q_proj", "k_proj", "v_proj", "dense")}
    matrices |= {"layers.0.mlp.fc1": (16, 8), "layers.0.mlp.fc2": (8, 16)}
    norms = {"final_layernorm": (8,), "layers.0.input_layernorm": (8,)}
    tensors = {"embed_tokens.weight": np.zeros((10, 8), np.float32)}
    for name, shape in (matrices | norms).items():
        tensors |= {f"{name}.weight": np.zeros(shape, np.float32), f"{name}.bias": np.zeros(shape[0], np.float32)}
    save_file(tensors, tmp_path / "model.safetensors")
    config = {
        "architectures": ["PhiModel"], "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2,
        "num_hidden_layers": 1, "vocab_size": 10, "partial_rotary_factor": 0.5,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert not inspect_checkpoint(tmp_path).has_head


def test_a_layer_number_of_thousands_of_digits_is_refused(folder: Path):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_nextn_predict_layers": 1}))
    name = f"model.layers.{'9' * 5000}.weight"
    change_tensors(folder, lambda tensors: tensors.update({name: np.zeros(1, np.float32)}))
    assert "the checkpoint has tensors that its config.json does not ask for" in refusal(folder)
