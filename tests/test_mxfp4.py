"""MXFP4 against its bit layout (OCP Microscaling Formats v1.0, 5.2 and 5.3), and gpt-oss checkpoints stored in it."""

import json
import math
import shutil
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from penstock.checkpoint import inspect_checkpoint
from penstock.errors import ModelError
from penstock.mxfp4 import mxfp4_shapes, unpack_mxfp4
from penstock.weights import load_weights

NUM_EXPERTS, WIDTH, SIZE, NUM_HEADS, HEAD = 3, 64, 32, 4, 16


def element(code: int) -> float:
    """E2M1: a sign, two bits of exponent with a bias of 1, one bit of mantissa; exponent 0 is subnormal."""
    sign, exponent, mantissa = code >> 3, code >> 1 & 3, code & 1
    size = mantissa / 2 if exponent == 0 else 2.0 ** (exponent - 1) * (1 + mantissa / 2)
    return math.copysign(size, -1.0 if sign else 1.0)


def scale(byte: int) -> float:
    """E8M0: an exponent with a bias of 127; all ones is not a number."""
    return math.nan if byte == 255 else 2.0 ** (byte - 127)


def unpack_one_by_one(blocks: np.ndarray, scales: np.ndarray) -> np.ndarray:
    rows = []
    for row, row_scales in zip(blocks.tolist(), scales.tolist(), strict=True):
        codes = [[code for byte in block for code in (byte & 0xF, byte >> 4)] for block in row]
        numbers = [[scale(power) * element(code) for code in block] for block, power in zip(codes, row_scales)]  # noqa: B905
        rows.append([number for block in numbers for number in block])
    return np.array(rows)


def test_every_code_at_every_kind_of_scale():
    powers = [0, 1, 2, 100, 126, 127, 128, 129, 200, 250, 254, 255]
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (len(powers), 2, 16), np.uint8)
    blocks[:, 0, :] = np.arange(16) | np.arange(16)[::-1] << 4
    scales = np.array([[power, 127] for power in powers], np.uint8)
    with np.errstate(over="ignore"):
        want = unpack_one_by_one(blocks, scales).astype(np.float32)
    got = unpack_mxfp4(blocks, scales, dtype=np.float32)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got[:-1]), np.signbit(want[:-1]))
    assert (blocks.shape[1:], scales.shape[1:]) == tuple(shape[1:] for shape in mxfp4_shapes(9, 64))
    half = ml_dtypes.bfloat16
    rounded = unpack_mxfp4(blocks, scales, dtype=half)
    np.testing.assert_array_equal(rounded.astype(np.float32), want.astype(half).astype(np.float32))


def random_tensors(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What a layer of gpt-oss has beside its experts' matrices, and the rest of the model."""

    def numbers(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    layer, attention = "model.layers.0.", "model.layers.0.self_attn."
    tensors = {"model.embed_tokens.weight": numbers(11, WIDTH), "lm_head.weight": numbers(11, WIDTH)}
    norms = ("model.norm", layer + "input_layernorm", layer + "post_attention_layernorm")
    tensors |= {norm + ".weight": numbers(WIDTH) for norm in norms}
    for name, (rows, columns) in {
        attention + "q_proj": (NUM_HEADS * HEAD, WIDTH),
        attention + "k_proj": (HEAD, WIDTH),
        attention + "v_proj": (HEAD, WIDTH),
        attention + "o_proj": (WIDTH, NUM_HEADS * HEAD),
        layer + "mlp.router": (NUM_EXPERTS, WIDTH),
    }.items():
        tensors |= {name + ".weight": numbers(rows, columns), name + ".bias": numbers(rows)}
    tensors[attention + "sinks"] = numbers(NUM_HEADS)
    tensors[layer + "mlp.experts.gate_up_proj_bias"] = numbers(NUM_EXPERTS, 2 * SIZE)
    tensors[layer + "mlp.experts.down_proj_bias"] = numbers(NUM_EXPERTS, WIDTH)
    return tensors


def write(folder: Path, tensors: dict[str, np.ndarray], **fields) -> Path:
    folder.mkdir()
    config = {
        "architectures": ["GptOssForCausalLM"], "vocab_size": 11, "hidden_size": WIDTH, "intermediate_size": SIZE,
        "num_hidden_layers": 1, "num_attention_heads": NUM_HEADS, "num_key_value_heads": 1, "head_dim": HEAD,
        "num_local_experts": NUM_EXPERTS, "num_experts_per_tok": 2, **fields,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One gpt-oss layer with packed experts, as published, and the same with plain ones, [expert, in, out]."""
    rng = np.random.default_rng(1)
    packed = random_tensors(rng)
    plain = dict(packed)
    for name, rows, columns in (("gate_up_proj", 2 * SIZE, WIDTH), ("down_proj", WIDTH, SIZE)):
        prefix = "model.layers.0.mlp.experts." + name
        blocks = rng.integers(0, 256, (NUM_EXPERTS, rows, columns // 32, 16), np.uint8)
        scales = rng.integers(115, 130, (NUM_EXPERTS, rows, columns // 32), np.uint8)
        packed |= {prefix + "_blocks": blocks, prefix + "_scales": scales}
        matrices = [unpack_one_by_one(*of_expert).T for of_expert in zip(blocks, scales, strict=True)]
        plain[prefix] = np.ascontiguousarray(np.stack(matrices).astype(np.float32))
    root = tmp_path_factory.mktemp("mxfp4")
    kept = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    quantization = {"quant_method": "mxfp4", "modules_to_not_convert": kept}
    return write(root / "packed", packed, quantization_config=quantization), write(root / "plain", plain)


def test_a_packed_checkpoint_becomes_the_weights_that_it_stands_for(folders: tuple[Path, Path]):
    packed, plain = (
        load_weights(inspect_checkpoint(folder), dtype=np.float32, device=jax.devices()[0]) for folder in folders
    )
    assert jax.tree.structure(packed) == jax.tree.structure(plain)
    jax.tree.map(np.testing.assert_array_equal, packed, plain)
    gate_up = load_file(folders[1] / "model.safetensors")["model.layers.0.mlp.experts.gate_up_proj"]
    np.testing.assert_array_equal(packed["layers"][0]["experts_gate_up"][:, :, 0], gate_up[:, :, ::2])
    np.testing.assert_array_equal(packed["layers"][0]["experts_gate_up"][:, :, 1], gate_up[:, :, 1::2])


def test_modules_that_were_not_converted_are_read_as_they_are(folders: tuple[Path, Path], tmp_path: Path):
    """`modules_to_not_convert` may name a layer's experts: they are stored plain then, as attention always is."""
    quantization = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.0.mlp.experts"]}
    tensors = load_file(folders[1] / "model.safetensors")
    folder = write(tmp_path / "kept", tensors, quantization_config=quantization)
    stored = {source.leaf.name: source.stored for source in inspect_checkpoint(folder).sources}
    assert stored["experts_down"].encoding == "plain"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantization_config": {"quant_method": "awq"}}, r"quantization_config \(awq\)"),
        ({"quantization_config": "mxfp4"}, r"quantization_config \(unnamed\)"),
        ({"architectures": ["LlamaForCausalLM"]}, r"quantization_config \(mxfp4\)"),
        ({"hidden_size": 80}, "mxfp4 packs 32 inputs of a matrix at once, found 80"),
        ({"intermediate_size": 64}, r"gate_up_proj_blocks .* asks for \[3, 128, 2, 16\], found \[3, 64, 2, 16\]"),
        ({"num_local_experts": 4}, r"config.json asks for \[4, 64\]"),
    ],
)
def test_what_does_not_fit_is_refused(folders: tuple[Path, Path], tmp_path: Path, change: dict, message: str):
    folder = shutil.copytree(folders[0], tmp_path / "model")
    config = json.loads((folder / "config.json").read_text()) | change
    if "hidden_size" in change:  # everything else follows
        tensors = {name: np.zeros_like(tensor) for name, tensor in load_file(folder / "model.safetensors").items()}
        wide = {name: np.repeat(t, 80, 1)[:, :80] for name, t in tensors.items() if t.ndim == 2 and t.shape[1] == WIDTH}
        norms = {name: np.zeros(80, np.float32) for name in tensors if "norm" in name}
        o = {name: np.zeros((80, WIDTH), np.float32) for name in tensors if "o_proj.weight" in name}
        o |= {name: np.zeros(80, np.float32) for name in tensors if "o_proj.bias" in name}
        save_file(tensors | wide | norms | o, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=message):
        inspect_checkpoint(folder)


def test_bytes_are_no_weights_where_numbers_are_expected(folders: tuple[Path, Path], tmp_path: Path):
    """uint8 tensors became readable with MXFP4: elsewhere they stay refused."""
    folder = shutil.copytree(folders[0], tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["lm_head.weight"].astype(np.uint8)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"lm_head\.weight .* dtype U8 is not supported, expected F32, BF16 or F16"):
        inspect_checkpoint(folder)
