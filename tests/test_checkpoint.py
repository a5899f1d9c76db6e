"""A folder is served or refused by its headers alone, with a sentence that names what is wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from penstock.checkpoint import inspect_checkpoint
from penstock.errors import ModelError

DATA = Path(__file__).parent / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(DATA / "qwen3", tmp_path / "model")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return shutil.copytree(DATA / "llama_tied", tmp_path / "model")


def edit(file: Path, **fields) -> None:
    """Sets fields of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def rewrite(folder: Path, change) -> None:
    """Passes the tensors of a single-file checkpoint through `change`."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        inspect_checkpoint(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_single_file_and_a_sharded_folder_are_read():
    single, sharded = inspect_checkpoint(DATA / "qwen3"), inspect_checkpoint(DATA / "llama_tied")
    assert (single.architecture, single.vocab_size) == ("Qwen3ForCausalLM", 1280)
    assert {name for source in single.sources for name in source.stored.names} == set(single.tensors)
    assert len({info.file for info in sharded.tensors.values()}) == 3


def test_headers_agree_with_the_safetensors_library():
    checkpoint = inspect_checkpoint(DATA / "qwen3")
    tensors = load_file(DATA / "qwen3" / "model.safetensors")
    assert {name: info.shape for name, info in checkpoint.tensors.items()} == {n: t.shape for n, t in tensors.items()}


def test_stop_ids_are_those_of_both_configs(folder: Path):
    assert inspect_checkpoint(folder).stop_ids == (1273, 1275)
    edit(folder / "config.json", eos_token_id=[7, 1273])
    assert inspect_checkpoint(folder).stop_ids == (7, 1273, 1275)
    (folder / "generation_config.json").unlink()
    assert inspect_checkpoint(folder).stop_ids == (7, 1273)


def test_sampling_defaults_come_from_the_generation_config(folder: Path):
    plain = inspect_checkpoint(folder).sampling_defaults
    assert (plain.temperature, plain.top_p, plain.source) == (1.0, 1.0, "penstock")
    edit(folder / "generation_config.json", temperature=0.6, top_p=0.95, top_k=20)
    given = inspect_checkpoint(folder).sampling_defaults
    assert (given.temperature, given.top_p, given.top_k, given.min_p) == (0.6, 0.95, 20, 0.0)
    assert given.source == "generation_config.json"


def test_a_stop_id_outside_the_vocabulary_is_none(folder: Path):
    """Such ids cannot come up, and the device could not hold all of them."""
    edit(folder / "config.json", eos_token_id=None)
    edit(folder / "generation_config.json", eos_token_id=[-1, 5, 1280, 2**40])
    assert inspect_checkpoint(folder).stop_ids == (5,)


def test_more_stop_ids_than_a_slot_holds_are_refused(folder: Path):
    """Else every request would be."""
    edit(folder / "generation_config.json", eos_token_id=[*range(20)])
    assert "eos_token_id has 21 ids, expected at most 12" in refusal(folder)


@pytest.mark.parametrize("value", ["x", True, 1.5, [1.5], [True], [[1]], {}])
def test_a_stop_id_of_another_kind_is_refused(folder: Path, value):
    edit(folder / "generation_config.json", eos_token_id=value)
    assert "eos_token_id must be a token id or a list of them" in refusal(folder)


@pytest.mark.parametrize("name", ["temperature", "top_p", "top_k", "min_p"])
@pytest.mark.parametrize("value", ["0.5", True, [], -2, float("nan"), float("inf"), 2**40])
def test_sampling_defaults_that_no_sampler_can_mean_are_refused(folder: Path, name: str, value):
    edit(folder / "generation_config.json", **{name: value})
    assert refusal(folder).startswith(f"generation_config.json: {name} must be ")


def test_a_top_p_of_zero_is_refused_and_a_top_k_of_minus_one_is_none(folder: Path):
    edit(folder / "generation_config.json", top_k=-1, temperature=0)
    assert inspect_checkpoint(folder).sampling_defaults.top_k == 0
    edit(folder / "generation_config.json", top_p=0)
    assert "top_p must be a number from 1e-06 to 1, found 0" in refusal(folder)


def test_a_missing_folder_config_or_weights(tmp_path: Path, folder: Path):
    assert refusal(tmp_path / "nowhere") == f"looked for a model folder at {tmp_path / 'nowhere'}, found nothing"
    assert "found a file" in refusal(folder / "config.json")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "looked for model.safetensors or model.safetensors.index.json" in refusal(folder)
    assert "pytorch_model.bin" in refusal(folder)
    (folder / "config.json").unlink()
    assert "looked for config.json" in refusal(folder)


def test_a_name_that_no_folder_can_have(tmp_path: Path):
    assert "found nothing" in refusal(tmp_path / ("a" * 5000))


def test_a_broken_link_is_called_one(folder: Path):
    """As a partly downloaded cache holds them."""
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(folder / "blob")
    assert "model.safetensors (a broken link)" in refusal(folder)


def test_the_single_file_goes_before_a_left_over_index(folder: Path):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "gone.safetensors"}}))
    assert inspect_checkpoint(folder).architecture == "Qwen3ForCausalLM"


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff", "[" * 200_000])
def test_a_config_that_is_no_json_object(folder: Path, text: str):
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    assert "config.json" in refusal(folder)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config (gptq)"),
        ({"dtype": "float8_e4m3fn"}, "dtype 'float8_e4m3fn'"),
        ({"dtype": None, "torch_dtype": "int8"}, "dtype 'int8'"),
        ({"architectures": ["BertForMaskedLM"]}, "architecture BertForMaskedLM"),
        ({"eos_token_id": "</s>"}, "eos_token_id"),
    ],
)
def test_configs_that_ask_for_what_is_not_there(folder: Path, fields: dict, message: str):
    edit(folder / "config.json", **fields)
    assert message in refusal(folder)


@pytest.mark.parametrize("size", [0, 5, 100, 700_000])
def test_a_truncated_file(folder: Path, size: int):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    assert f"{file} is truncated" in refusal(folder)


DEEP = (200_000).to_bytes(8, "little") + b"[" * 200_000


@pytest.mark.parametrize("data", [b"\xff" * 64, b"\x08" + b"\0" * 7 + b"not json", b"\x02" + b"\0" * 7 + b"[]", DEEP])
def test_a_file_of_another_format(folder: Path, data: bytes):
    (folder / "model.safetensors").write_bytes(data)
    assert "is not a safetensors file" in refusal(folder)


@pytest.mark.parametrize(
    "entry",
    [
        {"data_offsets": [-8, 248]},
        {"data_offsets": [256, 0]},
        {"data_offsets": [256, 512]},
        {"data_offsets": [0.0, 256.0]},
        {"data_offsets": None},
        {"shape": [-64]},
        {"shape": ["64"]},
        {"shape": [64.0]},
        {"shape": [10**30]},
        {"dtype": []},
    ],
)
def test_an_entry_that_lies_about_its_bytes(folder: Path, entry: dict):
    """model.norm.weight is F32 [64]; offsets count from its own, so [256, 512] are its neighbour's bytes."""
    file = folder / "model.safetensors"
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    norm = header["model.norm.weight"]
    start = norm["data_offsets"][0]
    assert norm == {"dtype": "F32", "shape": [64], "data_offsets": [start, start + 256]}
    norm |= entry
    if entry.get("data_offsets"):
        norm["data_offsets"] = [start + offset for offset in entry["data_offsets"]]
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    assert f"{file} is " in refusal(folder)


def test_bytes_after_the_end(folder: Path):
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"more")
    assert "is damaged" in refusal(folder)


def test_a_missing_shard_is_named(sharded: Path):
    (sharded / "model-00002-of-00003.safetensors").unlink()
    assert "the shard model-00002-of-00003.safetensors" in refusal(sharded)


def test_a_truncated_shard_is_named(sharded: Path):
    file = sharded / "model-00003-of-00003.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    assert f"{file} is truncated" in refusal(sharded)


def test_an_index_that_names_what_a_shard_lacks(sharded: Path):
    file = sharded / "model.safetensors.index.json"
    weight_map = json.loads(file.read_text())["weight_map"]
    edit(file, weight_map={**weight_map, "extra.weight": "model-00001-of-00003.safetensors"})
    assert "tensor extra.weight" in refusal(sharded)
    edit(file, weight_map={**weight_map, "extra.weight": "../model.safetensors"})
    assert "in the same folder" in refusal(sharded)
    edit(file, weight_map=None)
    assert "no weight_map" in refusal(sharded)


def test_a_missing_tensor_is_named(folder: Path):
    rewrite(folder, lambda tensors: tensors.pop("model.layers.1.self_attn.q_norm.weight"))
    assert "tensor model.layers.1.self_attn.q_norm.weight" in refusal(folder)


def test_a_wrong_shape_is_named_with_both_shapes(folder: Path):
    edit(folder / "config.json", intermediate_size=65)
    assert "model.layers.0.mlp.gate_proj.weight" in refusal(folder)
    assert "asks for [65, 64], found [64, 64]" in refusal(folder)


def test_a_tensor_of_integers_is_refused(folder: Path):
    rewrite(folder, lambda tensors: tensors.update({"model.norm.weight": np.ones(64, np.int8)}))
    assert "model.norm.weight" in refusal(folder)
    assert "dtype I8" in refusal(folder)


def test_other_tensors_do_no_harm(folder: Path):
    rewrite(folder, lambda tensors: tensors.update({"rotary_emb.inv_freq": np.ones(3, np.int64)}))
    assert inspect_checkpoint(folder).architecture == "Qwen3ForCausalLM"
