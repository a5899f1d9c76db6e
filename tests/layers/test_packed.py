"""Packed matrices: what a layer makes of them is what it makes of the same numbers in arrays."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penstock._core import choose_kernel_isa, kernel_isa, packed_bytes
from penstock.layers import kernels, packing
from penstock.layers.grouped_products import ExpertRows, by_block, through_experts
from penstock.layers.linear import linear, real_rows
from penstock.layers.mlp import ACTIVATIONS, mlp
from penstock.layers.packed_matrix import PackedMatrix, packed_shape
from penstock.layers.spec import MlpSpec
from penstock.layers.vocabulary import embed

FORMATS = ("f32", "bf16")
#: Of a product's scale: XLA sums in another order.
TOLERANCE = 2e-6


def numbers(*sizes: int, seed: int = 0) -> np.ndarray:
    """Numbers that bfloat16 holds."""
    made = np.random.default_rng((seed, *sizes)).standard_normal(sizes, np.float32)
    return made.astype(jnp.bfloat16).astype(np.float32)


def packed(array: np.ndarray, weight_format: str, *, num_experts: int | None = None) -> PackedMatrix:
    """Of an array [in, *out], or [E, in, *out]."""
    experts = array[None] if num_experts is None else array
    num_in, out = experts.shape[1], experts.shape[2:]
    panels = np.empty((len(experts), packed_bytes(weight_format, num_in, int(np.prod(out)))), np.uint8)
    for expert, place in zip(experts, panels, strict=True):
        packing.pack(np.ascontiguousarray(expert.reshape(num_in, -1)), place, weight_format, is_out_first=False)
    return PackedMatrix(jnp.asarray(panels if num_experts is not None else panels[0]), weight_format, num_in, out)


def check_near(made: jax.Array, wanted: jax.Array) -> None:
    scale = float(np.abs(np.asarray(wanted)).max())
    np.testing.assert_allclose(np.asarray(made), np.asarray(wanted), rtol=0, atol=8 * TOLERANCE * scale)


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize("sizes", [(1, 8, (5,)), (7, 33, (3, 2, 10)), (40, 64, (2, 48))])
def test_linear_is_that_of_an_array(weight_format: str, sizes: tuple[int, int, tuple[int, ...]]):
    num_rows, num_in, out = sizes
    x, weight, bias = numbers(num_rows, num_in), numbers(num_in, *out), numbers(*out)
    made = jax.jit(linear)(x, packed(weight, weight_format), bias)
    assert made.shape == (num_rows, *out)
    check_near(made, linear(x, weight, bias))


def test_padding_rows_are_zero_and_change_nothing():
    x, weight = numbers(6, 20), packed(numbers(20, 17), "f32")
    rows = real_rows(jnp.array([False, True, False, True, False, False]))
    assert rows.tolist() == [0, 4]
    made, whole = linear(x, weight, rows=rows), linear(x, weight)
    assert not np.asarray(made[4:]).any()
    assert np.array_equal(made[:4], whole[:4])
    assert not np.asarray(linear(x, weight, rows=real_rows(jnp.zeros(6, bool)))).any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("is_gated", "size"), [(True, 32), (True, 20), (False, 20)])
def test_an_mlp_is_that_of_arrays(activation: str, is_gated: bool, size: int):
    spec = MlpSpec(size, activation=activation, is_gated=is_gated, has_bias=True)
    leaves = {leaf.name: numbers(*leaf.shape, seed=number) for number, leaf in enumerate(spec.leaves(24))}
    own = {name: packed(leaf, "bf16") if not name.endswith("bias") else leaf for name, leaf in leaves.items()}
    x = numbers(5, 24)
    check_near(jax.jit(partial(mlp, spec=spec))(x, own), mlp(x, leaves, spec=spec))


@pytest.mark.parametrize("size", [16, 12])
def test_experts_are_those_of_arrays(size: int):
    num_experts, hidden = 3, 20
    leaves = {
        "gate_up": numbers(num_experts, hidden, 2, size),
        "gate_up_bias": numbers(num_experts, 2, size),
        "down": numbers(num_experts, size, hidden),
    }
    own = {
        name: leaf if name.endswith("bias") else packed(leaf, "bf16", num_experts=num_experts)
        for name, leaf in leaves.items()
    }
    rows = ExpertRows(jnp.array([4, 1, 2, 0, 3, 0]), jnp.array([0, 3, 3, 5]))
    gate = lambda made: jax.nn.silu(made[:, 0]) * made[:, 1]  # noqa: E731
    x = jnp.asarray(numbers(6, hidden))
    made = jax.jit(partial(through_experts, gate=gate, activation="silu"))(x, own, rows)
    check_near(made[:5], by_block(x, leaves, rows, gate=gate)[:5])
    assert not np.asarray(made[5:]).any(), "padding is of no expert"


@pytest.mark.parametrize("weight_format", FORMATS)
def test_an_embedding_gives_its_rows_exactly(weight_format: str):
    table, tokens = numbers(37, 21), np.array([0, 36, 16, 15, 36], np.int32)
    made = embed(packed(np.ascontiguousarray(table.T), weight_format), tokens, mesh_axis=None)
    assert np.array_equal(made, table[tokens])


@pytest.mark.parametrize("weight_format", FORMATS)
def test_unpacking_gives_back_what_was_packed(weight_format: str):
    weight = numbers(9, 3, 7)
    assert np.array_equal(kernels.unpacked(packed(weight, weight_format)), weight)


def test_bfloat16_activations_come_back_as_such():
    x = jnp.asarray(numbers(3, 16), jnp.bfloat16)
    made = linear(x, packed(numbers(16, 16), "bf16"))
    assert made.dtype == jnp.bfloat16


def test_a_misshapen_call_is_refused_and_the_next_one_runs():
    x, weight = numbers(2, 16), packed(numbers(16, 16), "f32")
    cut = PackedMatrix(weight.panels[64:], "f32", 16, (16,))
    with pytest.raises(jax.errors.JaxRuntimeError, match="INVALID_ARGUMENT: panels has 960 bytes, not the 1024"):
        linear(x, cut).block_until_ready()
    with pytest.raises(jax.errors.JaxRuntimeError, match='there is no weight format "q3_1"'):
        linear(x, PackedMatrix(weight.panels, "q3_1", 16, (16,))).block_until_ready()
    with pytest.raises(jax.errors.JaxRuntimeError, match="rows must go up from 0 at least to 2 at most"):
        linear(x, weight, rows=jnp.array([0, 3])).block_until_ready()
    check_near(linear(x, weight), x @ np.asarray(kernels.unpacked(weight)))


def test_what_cannot_be_packed_is_refused():
    out = np.empty(packed_bytes("f32", 4, 4), np.uint8)
    with pytest.raises(ValueError, match="is not packed as f32"):
        packing.pack(numbers(4, 5), out, "f32")
    with pytest.raises(ValueError, match="does not lie row after row"):
        packing.pack(numbers(4, 8)[:, ::2], out, "f32")
    with pytest.raises(ValueError, match="no weight format"):
        packed_bytes("f17", 4, 4)


def test_a_shape_has_the_bytes_of_what_is_loaded():
    weight = packed(numbers(2, 5, 20), "bf16", num_experts=2)
    assert packed_shape("bf16", 5, (20,), dtype="float32", num_experts=2).panels.shape == weight.panels.shape


def test_an_instruction_set_that_is_not_there_is_refused():
    assert kernel_isa("portable") == "portable"
    with pytest.raises(ValueError, match=f"this machine has portable.*{kernel_isa()}"):
        kernel_isa("sve")
    chosen = choose_kernel_isa("auto")
    other = "portable" if chosen != "portable" else "avx2"
    with pytest.raises(ValueError, match=r"already|has portable"):
        choose_kernel_isa(other)
