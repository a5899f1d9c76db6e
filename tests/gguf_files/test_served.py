"""`penstock serve model.gguf`: what is refused with exit code 2, and what a file is called."""

import os
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from made_gguf import write_gguf

from penstock.checkpoint import inspect_checkpoint, model_name
from penstock.config import load_settings
from penstock.errors import ModelError
from penstock.preflight import inspect_model


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf("llama_tied", tmp_path_factory.mktemp("served") / "tiny-llama.Q8_0.gguf")


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        inspect_checkpoint(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edited(file: Path, into: Path, *, without: str = "", tensors: dict | None = None, **keys) -> Path:
    """A copy with other keys (`__` is a dot), without those that begin so, and with further tensors."""
    reader = gguf.GGUFReader(file)
    new = {key.replace("__", "."): value for key, value in keys.items()}
    writer = gguf.GGUFWriter(into, new.pop("general.architecture", "llama"))
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture" or field.name in new:
            continue
        if without and field.name.startswith(without):
            continue
        writer.add_key_value(field.name, field.contents(), field.types[0], field.types[-1])
    for key, value in new.items():
        writer.add_uint32(key, value) if isinstance(value, int) else writer.add_string(key, value)
    for tensor in reader.tensors:
        if not (without and tensor.name.startswith(without)):
            writer.add_tensor(tensor.name, tensor.data.copy(), raw_dtype=tensor.tensor_type)
    for name, data in (tensors or {}).items():
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return into


def test_a_file_is_called_by_its_stem(file: Path, tmp_path: Path):
    assert model_name(file) == "tiny-llama.Q8_0"
    (tmp_path / "model-1.5").mkdir()
    assert model_name(tmp_path / "model-1.5") == "model-1.5"
    assert inspect_model(load_settings({"model": file}, {})).name == "tiny-llama.Q8_0"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"general__architecture": "mamba"}, "general.architecture 'mamba' is not supported, expected one of llama"),
        ({"without": "llama.block_count"}, "key llama.block_count is not there"),
        ({"llama__block_count": 0}, "key llama.block_count must be a positive integer, found 0"),
        ({"llama__attention__head_count": 7}, "attention heads over 4 key-value heads"),
        ({"llama__rope__scaling__type": "magic", "llama__rope__scaling__factor": 2}, "llama.rope.scaling.type 'magic'"),
        ({"llama__embedding_length": 128}, "tensor token_embd.weight"),
        ({"llama__context_length": "long"}, "key llama.context_length must be a positive integer, found 'long'"),
        ({"without": "token_embd"}, "looked for a tensor token_embd.weight"),
        ({"without": "blk.1.attn_output"}, "looked for tensor blk.1.attn_output.weight"),
        ({"without": "tokenizer.ggml.tokens"}, "key tokenizer.ggml.tokens is not there"),
        ({"tensors": {"blk.0.attn_sub_norm.weight": np.ones(4, np.float32)}}, "blk.0.attn_sub_norm.weight"),
        ({"split__count": 2}, "one of 2 files of a split model"),
    ],
    ids=str,
)  # fmt: skip
def test_what_no_model_of_ours_is_is_refused_by_name(changes: dict, reason: str, file: Path, tmp_path: Path):
    message = refusal(edited(file, tmp_path / "refused.gguf", **changes))
    assert reason in message
    assert "refused.gguf" in message or "tensors that its config" in message


def test_the_launcher_refuses_with_exit_code_2(file: Path, tmp_path: Path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(file.read_bytes()[:-100])
    command = [sys.executable, "-m", "penstock", "serve", str(cut)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "cut.gguf is truncated: tensor" in done.stderr


@pytest.mark.skipif("PENSTOCK_TEST_GGUF" not in os.environ, reason="PENSTOCK_TEST_GGUF names no file of Gemma 3 270M")
def test_a_real_model_writes_sense(tmp_path: Path):
    """docs/gguf.md says where it comes from."""
    import hashlib
    import json
    from urllib.request import Request, urlopen

    from processes import Launch, free_port

    path = Path(os.environ["PENSTOCK_TEST_GGUF"])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest == "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
    port = free_port()
    flags = ["--max-num-seqs", "2", "--max-model-len", "256", "--compile-cache", str(tmp_path)]
    command = [sys.executable, "-m", "penstock", "serve", str(path), "--port", str(port), *flags]
    with Launch(command, port) as server:
        server.wait_for("/ready", timeout_s=170)
        body = {"model": path.stem, "prompt": "Water boils at", "max_tokens": 12, "temperature": 0}
        request = Request(
            f"http://127.0.0.1:{port}/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urlopen(request, timeout=60) as response:
            answer = json.load(response)
    assert answer["choices"][0]["text"].startswith(" 100 degrees Celsius.")
