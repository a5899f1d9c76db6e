"""`penstock serve FOLDER` with everything that can be wrong with a folder: exit code 2 and one sentence on stderr."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from processes import free_port

from penstock import cli, serve

DATA = Path(__file__).parent / "data"
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"

Damage = Callable[[Path], object]


@pytest.fixture(params=["qwen3", "llama_tied"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A whole model: tokenizer and weights, in one file or in shards."""
    folder = tmp_path / "model"
    shutil.copytree(DATA / request.param, folder, ignore=shutil.ignore_patterns("golden.json", "config.hub.json"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(DATA / "tokenizer" / name, folder)
    return folder


def single(folder: Path) -> bool:
    return (folder / WEIGHTS).exists()


def weights_of(folder: Path) -> Path:
    return folder / WEIGHTS if single(folder) else folder / "model-00002-of-00003.safetensors"


def fields(file: str, **values: Any) -> Damage:
    """Sets fields of a JSON file; `...` removes one."""

    def damage(folder: Path) -> None:
        old = json.loads((folder / file).read_text()) if (folder / file).exists() else {}
        new = {name: value for name, value in {**old, **values}.items() if value is not ...}
        (folder / file).write_text(json.dumps(new))

    return damage


def rope(**values: Any) -> Damage:
    return fields(CONFIG, rope_parameters={"rope_theta": 10000.0, **values})


def content(file: str, data: bytes) -> Damage:
    return lambda folder: (folder / file).write_bytes(data)


def without(file: str) -> Damage:
    return lambda folder: (folder / file).unlink()


def cut(num_bytes: int) -> Damage:
    return lambda folder: weights_of(folder).write_bytes(weights_of(folder).read_bytes()[:num_bytes])


def header(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Passes the header of a weights file through `change`."""

    def damage(folder: Path) -> None:
        data = weights_of(folder).read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        entries = json.loads(data[8:end])
        change(entries)
        text = json.dumps(entries).encode()
        weights_of(folder).write_bytes(len(text).to_bytes(8, "little") + text + data[end:])

    return damage


def more_bytes(folder: Path) -> None:
    with weights_of(folder).open("ab") as file:
        file.write(b"more")


def header_length(num_bytes: int) -> Damage:
    data = num_bytes.to_bytes(8, "little") + bytes(90)
    return lambda folder: weights_of(folder).write_bytes(data)


def same_bytes(entries: dict[str, Any]) -> None:
    """Two tensors of one size get the same bytes."""
    names = [name for name in entries if name.endswith("mlp.gate_proj.weight")]
    twin = names[0].replace("gate", "up")
    entries[twin if twin in entries else names[-1]]["data_offsets"] = entries[names[0]]["data_offsets"]


def with_another_prefix(entries: dict[str, Any]) -> None:
    """As a model is stored that has this one as a part."""
    for name in list(entries):
        entries[name.replace("model.", "encoder.")] = entries.pop(name)


def every_dtype(dtype: str) -> Damage:
    return header(lambda entries: [entry.update(dtype=dtype) for entry in entries.values() if "dtype" in entry])


#: What is wrong → how to bring it about, and what the sentence must say.
DAMAGED: dict[str, tuple[Damage, str]] = {
    "no config": (without(CONFIG), "looked for config.json in"),
    "an empty config": (content(CONFIG, b""), "config.json is not valid JSON"),
    "half a config": (content(CONFIG, b'{"a": '), "config.json is not valid JSON"),
    "a config of bytes": (content(CONFIG, b"\xff\xfe\x00"), "config.json is not valid JSON"),
    "a config without end": (content(CONFIG, b"[" * 200_000), "config.json is not valid JSON"),
    "a list for a config": (content(CONFIG, b"[1]"), "must hold a JSON object, found a list"),
    "a config of nothing": (content(CONFIG, b"{}"), "architecture none is not supported"),
    "another architecture": (fields(CONFIG, architectures=["BertForMaskedLM"]), "architecture BertForMaskedLM"),
    "a name for a list": (fields(CONFIG, architectures="Qwen3ForCausalLM"), "architectures must be a list"),
    "quantized": (fields(CONFIG, quantization_config={"quant_method": "awq"}), "quantization_config (awq)"),
    "an integer dtype": (fields(CONFIG, dtype="int8"), "dtype 'int8' is not supported"),
    "no hidden size": (fields(CONFIG, hidden_size=...), "hidden_size must be a positive integer, found None"),
    "no layers": (fields(CONFIG, num_hidden_layers=0), "num_hidden_layers must be a positive integer"),
    "negative layers": (fields(CONFIG, num_hidden_layers=-2), "found -2"),
    "countless layers": (fields(CONFIG, num_hidden_layers=10**30), "num_hidden_layers must be a positive integer"),
    "a size in words": (fields(CONFIG, vocab_size="1k"), "vocab_size must be a positive integer, found '1k'"),
    "half a size": (fields(CONFIG, intermediate_size=0.5), "intermediate_size must be a positive integer, found 0.5"),
    "no positions": (fields(CONFIG, max_position_embeddings=0), "max_position_embeddings must be a positive integer"),
    "kv heads that do not divide": (fields(CONFIG, num_key_value_heads=3), "over 3 key-value heads"),
    "an odd head": (fields(CONFIG, head_dim=15), "expected an even head size"),
    "more layers than stored": (fields(CONFIG, num_hidden_layers=9), "looked for tensor model.layers."),
    "another width": (fields(CONFIG, hidden_size=128), "asks for"),
    "untied": (fields(CONFIG, tie_word_embeddings=False), "looked for tensor lm_head.weight"),
    "biased": (fields(CONFIG, attention_bias=True), "looked for tensor model.layers.0.self_attn.q_proj.bias"),
    "an unknown activation": (fields(CONFIG, hidden_act="mish"), "hidden_act 'mish' is not supported"),
    "dynamic rope": (rope(rope_type="dynamic", factor=2.0), "rope type 'dynamic' is not supported"),
    "half of llama3": (rope(rope_type="llama3", factor=2.0), "low_freq_factor must be a positive number"),
    "an endless factor": (rope(rope_type="linear", factor=float("inf")), "factor must be a positive number"),
    "a rope per layer type": (rope(full_attention={"rope_theta": 1.0}), "one flat object"),
    "a stop id in words": (fields(CONFIG, eos_token_id="</s>"), "eos_token_id must be a token id"),
    "a cold temperature": (fields("generation_config.json", temperature=-1), "temperature must be a number from 0"),
    "a broken generation config": (content("generation_config.json", b"{"), "generation_config.json is not valid JSON"),
    "an empty weights file": (cut(0), "is truncated"),
    "a header cut": (cut(300), "is truncated"),
    "data cut": (cut(-1), "is truncated"),
    "a header longer than its file": (header_length(10**6), "is truncated: its header takes 1000008 bytes"),
    "a header of any length": (header_length(2**63), "ask for a header of"),
    "bytes left over": (more_bytes, "is damaged"),
    "a header that is none": (lambda folder: weights_of(folder).write_bytes(b"PK\3\4" + bytes(90)), "safetensors"),
    "a model with another prefix": (header(with_another_prefix), "looked for tensor model."),
    "shared bytes": (header(same_bytes), "is damaged"),
    "integers": (every_dtype("I8"), "dtype I8 is not supported"),
    "doubles": (every_dtype("F64"), "dtype F64 is not supported"),
    "no tokenizer": (without("tokenizer.json"), "tokenizer.json"),
    "a broken tokenizer": (content("tokenizer.json", b'{"version": "1.0"'), "tokenizer.json"),
    "a tokenizer of nothing": (content("tokenizer.json", b"{}"), "tokenizer.json"),
    "a broken tokenizer config": (content("tokenizer_config.json", b"["), "tokenizer_config.json"),
    "a tokenizer config without end": (content("tokenizer_config.json", b"[" * 200_000), "tokenizer_config.json"),
    "a broken template": (content("chat_template.jinja", b"{% if %}"), "chat template"),
    "a template that is no text": (content("chat_template.jinja", b"\xff"), "chat_template.jinja"),
    "a number for a template": (fields("tokenizer_config.json", chat_template=3), "chat_template"),
}  # fmt: skip

SHARDED: dict[str, tuple[Damage, str]] = {
    "a lost shard": (without("model-00003-of-00003.safetensors"), "shard model-00003-of-00003.safetensors"),
    "no index": (without(INDEX), "looked for model.safetensors or model.safetensors.index.json"),
    "a broken index": (content(INDEX, b"{"), "index.json is not valid JSON"),
    "an index without a map": (fields(INDEX, weight_map=...), "has no weight_map"),
    "a map of nothing": (fields(INDEX, weight_map={}), "found 0 others"),
    "a tensor that no shard has": (
        fields(INDEX, weight_map={"ghost": "model-00001-of-00003.safetensors"}), "looked for tensor ghost"
    ),
    "a shard elsewhere": (fields(INDEX, weight_map={"ghost": "/etc/passwd"}), "a file in the same folder"),
}  # fmt: skip


def refuse(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What `penstock serve` says before it refuses; the process must not become a server."""

    def started(*_: object) -> NoReturn:
        raise AssertionError("the folder was served")

    monkeypatch.setattr(serve, "replace_process", started)
    monkeypatch.setattr(cli, "start_logging", lambda *_: None)
    # A port that was claimed stays claimed: this process lives on.
    assert cli.main(["serve", str(folder), "--port", str(free_port())]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("penstock serve: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err.replace(str(folder), "FOLDER")


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_folder(damage: str, folder: Path, capsys, monkeypatch):
    change, sentence = DAMAGED[damage]
    change(folder)
    assert sentence in refuse(folder, capsys, monkeypatch)


@pytest.mark.parametrize("folder", ["llama_tied"], indirect=True)
@pytest.mark.parametrize("damage", SHARDED)
def test_damaged_shards(damage: str, folder: Path, capsys, monkeypatch):
    change, sentence = SHARDED[damage]
    change(folder)
    assert sentence in refuse(folder, capsys, monkeypatch)


def test_what_is_no_folder(tmp_path: Path, capsys, monkeypatch):
    assert "found nothing" in refuse(tmp_path / "nowhere", capsys, monkeypatch)
    (tmp_path / "file").write_text("a model")
    assert "hf download FOLDER --local-dir Qwen3-0.6B" in refuse(Path("Qwen/Qwen3-0.6B"), capsys, monkeypatch)
    assert "hf download" not in refuse(tmp_path / "a" / "b", capsys, monkeypatch)
    assert "found a file" in refuse(tmp_path / "file", capsys, monkeypatch)
    (tmp_path / "empty").mkdir()
    assert "found it empty" in refuse(tmp_path / "empty", capsys, monkeypatch)


def test_a_cache_that_holds_no_page_is_refused_before_the_start(folder: Path, capsys, monkeypatch):
    monkeypatch.setenv("PENSTOCK_KV_CACHE_MEMORY", "1K")
    sentence = "--kv-cache-memory 1024 should be at least "
    assert sentence in refuse(folder, capsys, monkeypatch)
    monkeypatch.setenv("PENSTOCK_DTYPE", "float32")
    told = refuse(folder, capsys, monkeypatch)
    assert sentence in told
    num_bytes = int(told.partition(sentence)[2].split()[0])
    monkeypatch.setenv("PENSTOCK_KV_CACHE_DTYPE", "bfloat16")  # the cache's own: half of that is enough
    assert f"{sentence}{num_bytes // 2} " in refuse(folder, capsys, monkeypatch)
    monkeypatch.setenv("PENSTOCK_KV_CACHE_MEMORY", "1M")
    with pytest.raises(AssertionError, match="the folder was served"):
        refuse(folder, capsys, monkeypatch)


def test_devices_that_cannot_divide_the_model_are_refused_before_the_start(folder: Path, capsys, monkeypatch):
    monkeypatch.setenv("PENSTOCK_TENSOR_PARALLEL_SIZE", "3")
    sentence = "--tensor-parallel-size 3 should divide the model's num_attention_heads, "
    assert sentence in refuse(folder, capsys, monkeypatch)
    monkeypatch.setenv("PENSTOCK_TENSOR_PARALLEL_SIZE", "2")
    with pytest.raises(AssertionError, match="the folder was served"):
        refuse(folder, capsys, monkeypatch)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "generation_config.json"])
def test_files_that_may_be_missing(name: str, folder: Path, capsys, monkeypatch):
    (folder / name).unlink()
    with pytest.raises(AssertionError, match="the folder was served"):
        refuse(folder, capsys, monkeypatch)
