"""ggml's blocks as floats, and how a file's tensors are read: judged by the `gguf` package's own dequantizers."""

from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType

from penstock._core import BLOCK_TYPES, blocks_format, dequantize, packed_bytes
from penstock.errors import ModelError
from penstock.gguf_file import PLAIN_DTYPES, is_gguf, read_gguf, read_tensor
from penstock.layers.kernels import unpacked
from penstock.layers.packed_matrix import PackedMatrix
from penstock.layers.packing import pack_blocks

#: How many numbers and bytes each type's block has.
SIZES = {name: gguf.GGML_QUANT_SIZES[GGMLQuantizationType[name]] for name in BLOCK_TYPES}


def random_blocks(name: str, num_rows: int, num_blocks: int) -> np.ndarray:
    """Any bits, but for scales, which are numbers: uint8 [rows, bytes]."""
    dice = np.random.default_rng(list(name.encode()))
    block_bytes = SIZES[name][1]
    blocks = dice.integers(0, 256, (num_rows, num_blocks, block_bytes), np.uint8)
    for at in half_places(name):
        halves = (dice.standard_normal((num_rows, num_blocks)) * 0.1).astype(np.float16)
        blocks[..., at : at + 2] = halves[..., None].view(np.uint8)
    if name == "MXFP4":
        blocks[..., 0] = dice.integers(90, 200, (num_rows, num_blocks))
    return blocks.reshape(num_rows, -1)


def half_places(name: str) -> list[int]:
    """Where float16 numbers lie in a block."""
    places = {"Q4_1": [0, 2], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q2_K": [80, 82], "Q3_K": [108],
              "Q6_K": [208], "MXFP4": []}  # fmt: skip
    return places.get(name, [0])


@pytest.mark.parametrize("name", BLOCK_TYPES)
def test_blocks_are_the_floats_that_ggml_has_for_them(name: str):
    blocks = random_blocks(name, 3, 5)
    wanted = gguf.quants.dequantize(blocks, GGMLQuantizationType[name])
    got = np.frombuffer(dequantize(name, blocks.ravel()), np.float32).reshape(wanted.shape)
    np.testing.assert_array_equal(got.view(np.uint32), wanted.view(np.uint32))


@pytest.mark.parametrize("value", [0.0, -0.0, 6e-8, -6.1e-5, 65504.0, np.inf, -np.inf, np.nan])
def test_every_kind_of_scale_is_read(value: float):
    block = np.zeros((1, 34), np.uint8)
    block[0, :2] = np.float16([value]).view(np.uint8)
    block[0, 2:] = 1
    got = np.frombuffer(dequantize("Q8_0", block.ravel()), np.float32)
    np.testing.assert_array_equal(got, np.full(32, np.float16(value), np.float32))


def test_every_power_of_two_is_read():
    blocks = np.full((254, 17), 0x52, np.uint8)
    blocks[:, 0] = np.arange(254)
    wanted = gguf.quants.dequantize(blocks, GGMLQuantizationType.MXFP4)
    np.testing.assert_array_equal(np.frombuffer(dequantize("MXFP4", blocks.ravel()), np.float32), wanted.ravel())


def test_what_has_no_blocks_or_no_whole_ones_is_refused():
    with pytest.raises(ValueError, match="F32 has no blocks"):
        dequantize("F32", bytes(4))
    with pytest.raises(ValueError, match="no whole blocks"):
        dequantize("Q8_0", bytes(35))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tensor of every type, as [4, 256] or [2, 4, 256]."""
    path = tmp_path_factory.mktemp("gguf") / "all.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    numbers = np.random.default_rng(0).standard_normal((2, 4, 256)).astype(np.float32)
    for name in (*PLAIN_DTYPES, *BLOCK_TYPES):
        kind = GGMLQuantizationType[name]
        if name in BLOCK_TYPES:
            data = random_blocks(name, 8, 256 // SIZES[name][0]).reshape(2, 4, -1)
        else:
            data = gguf.quants.quantize(numbers, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("name", [*PLAIN_DTYPES, *BLOCK_TYPES])
def test_a_tensor_or_a_part_of_it_is_read_from_its_file(name: str, file: Path):
    stored = next(tensor for tensor in gguf.GGUFReader(file).tensors if tensor.name == name)
    wanted = gguf.quants.dequantize(stored.data, stored.tensor_type).reshape(2, 4, 256)
    tensor = read_gguf(file).tensors[name]
    assert tensor.shape == (2, 4, 256)
    np.testing.assert_array_equal(read_tensor(tensor).astype(np.float32), wanted)
    part = (slice(1, 2), slice(1, 3), slice(30, 99))
    np.testing.assert_array_equal(read_tensor(tensor, part).astype(np.float32), wanted[part])
    np.testing.assert_array_equal(read_tensor(tensor, part[:1]).astype(np.float32), wanted[part[:1]])


def test_a_file_that_was_cut_after_it_was_checked_is_refused(file: Path, tmp_path: Path):
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(file.read_bytes())
    model = read_gguf(copy)
    last = max(model.tensors.values(), key=lambda tensor: tensor.start)
    with copy.open("r+b") as stream:
        stream.truncate(last.start)
    with pytest.raises(ModelError, match="cannot be read any more"):
        read_tensor(last)


def test_a_file_is_known_by_its_name_or_its_first_bytes(file: Path, tmp_path: Path):
    renamed = tmp_path / "model.bin"
    renamed.write_bytes(file.read_bytes()[:100])
    empty = tmp_path / "empty.gguf"
    empty.write_bytes(b"")
    assert is_gguf(file)
    assert is_gguf(renamed)
    assert is_gguf(empty)
    assert not is_gguf(tmp_path)
    assert not is_gguf(tmp_path / "none.gguf")
    with pytest.raises(ModelError, match=r"empty.gguf is truncated"):
        read_gguf(empty)


@pytest.mark.parametrize(
    "names", [*((name,) for name in BLOCK_TYPES), ("Q4_K", "Q6_K"), ("Q4_1", "Q4_0"), ("Q5_0", "Q8_0")]
)
def test_packed_blocks_are_their_own_numbers(names: tuple[str, ...]):
    """In any order of their rows, and with a panel that is not full."""
    weight_format = blocks_format(list(names))
    assert weight_format is not None
    tensors = [(name, random_blocks(name, 13, 512 // SIZES[name][0])) for name in names]
    wanted = np.concatenate([gguf.quants.dequantize(rows, GGMLQuantizationType[name]) for name, rows in tensors])
    order = np.random.default_rng(1).permutation(len(wanted))[: 13 * len(names) - 2]
    out = np.full(packed_bytes(weight_format, 512, len(order)), 0xAA, np.uint8)
    pack_blocks(tensors, order, out, weight_format, num_in=512)
    matrix = PackedMatrix(out, weight_format, 512, (len(order),))
    np.testing.assert_array_equal(np.asarray(unpacked(matrix)), wanted[order].T)


def test_blocks_that_a_format_does_not_hold_are_not_packed():
    rows = random_blocks("Q8_0", 4, 2)
    out = np.zeros(packed_bytes("q4_32", 64, 4), np.uint8)
    with pytest.raises(ValueError, match="a matrix of Q8_0"):
        pack_blocks([("Q8_0", rows)], np.arange(4), out, "q4_32", num_in=64)
    out = np.zeros(packed_bytes("q8_32", 64, 4), np.uint8)
    with pytest.raises(ValueError, match="is not packed as q8_32"):
        pack_blocks([("Q8_0", rows)], np.array([0, 1, 2, 4]), out, "q8_32", num_in=64)
    with pytest.raises(ValueError, match="is not packed as q8_32"):
        pack_blocks([("Q8_0", rows[:, :-1])], np.arange(4), out, "q8_32", num_in=64)
