"""A mixture of experts against a loop over tokens in numpy, and what it may cost."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penstock.engine.platform import PLATFORMS
from penstock.errors import ModelError
from penstock.layers.grouped_products import ExpertRows, block_size, by_block, ragged
from penstock.layers.moe import mixture, route
from penstock.layers.moe_spec import ClampedGate, MoeSpec, RouterSpec
from penstock.layers.spec import MlpSpec

D, F = 20, 12
OPTIONS = dict(PLATFORMS["cpu"].compiler_options)

SPECS = {
    "mixtral": MoeSpec(F, RouterSpec(6, 2, is_renormalised=True)),
    "qwen2_moe": MoeSpec(F, RouterSpec(6, 3), shared=MlpSpec(9), has_shared_gate=True),
    "deepseek_v2": MoeSpec(
        F, RouterSpec(8, 3, scale=1.5, num_groups=4, num_chosen_groups=2), shared=MlpSpec(2 * F), activation="gelu_tanh"
    ),
    "deepseek_v3": MoeSpec(
        F,
        RouterSpec(
            12, 4, "sigmoid", is_renormalised=True, scale=2.5, has_correction=True,
            num_groups=4, num_chosen_groups=2, group_score_size=2,
        ),
        shared=MlpSpec(F),
    ),
    "gpt_oss": MoeSpec(
        F, RouterSpec(5, 2, is_renormalised=True, has_bias=True), ClampedGate(1.702, 1.5), has_bias=True
    ),
    "one expert": MoeSpec(F, RouterSpec(1, 1)),
}  # fmt: skip


def random_leaves(spec: MoeSpec) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(len(spec.leaves(D)))
    return {leaf.name: rng.standard_normal(leaf.shape).astype(np.float32) for leaf in spec.leaves(D)}


def rows(number: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal((number, D)).astype(np.float32)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def choose(token: np.ndarray, leaves: dict[str, np.ndarray], spec: RouterSpec) -> dict[int, float]:
    """A token's experts and their weights, by the formulas of the papers."""
    logits = token @ leaves["router"] + (leaves["router_bias"] if spec.has_bias else 0)
    scores = sigmoid(logits) if spec.scoring == "sigmoid" else np.exp(logits) / np.exp(logits).sum()
    wanted = scores + (leaves["router_correction"] if spec.has_correction else 0)
    groups = np.array_split(np.arange(spec.num_experts), spec.num_groups)
    groups.sort(key=lambda group: -np.sort(wanted[group])[::-1][: spec.group_score_size].sum())
    allowed = np.concatenate(groups[: spec.num_chosen_groups])
    chosen = sorted(allowed, key=lambda expert: -wanted[expert])[: spec.num_chosen]
    total = scores[chosen].sum() if spec.is_renormalised else 1
    return {int(expert): spec.scale * scores[expert] / total for expert in chosen}


def feed(token: np.ndarray, leaves: dict[str, np.ndarray], spec: MoeSpec) -> np.ndarray:
    """One token through its experts, one after another."""
    out = np.zeros(D)
    for expert, weight in choose(token, leaves, spec.router).items():
        gate, up = (token @ leaves["experts_gate_up"][expert][:, half] for half in (0, 1))
        if spec.has_bias:
            gate, up = gate + leaves["experts_gate_up_bias"][expert][0], up + leaves["experts_gate_up_bias"][expert][1]
        if isinstance(spec.activation, ClampedGate):
            limit = spec.activation.limit
            gate, up = np.minimum(gate, limit), np.clip(up, -limit, limit)
            inner = (up + 1) * gate * sigmoid(spec.activation.gain * gate)
        else:
            inner = (gelu_tanh(gate) if spec.activation == "gelu_tanh" else gate * sigmoid(gate)) * up
        bias = leaves["experts_down_bias"][expert] if spec.has_bias else 0
        out += weight * (inner @ leaves["experts_down"][expert] + bias)
    if spec.shared is not None:
        gate, up = (token @ leaves["shared_gate_up"][:, half] for half in (0, 1))
        share = sigmoid(token @ leaves["shared_gate"]) if spec.has_shared_gate else 1
        out += share * ((gate * sigmoid(gate) * up) @ leaves["shared_down"])
    return out


def compiled(spec: MoeSpec, leaves: dict[str, np.ndarray], number: int):
    run = jax.jit(partial(mixture, spec=spec))
    shapes = jax.ShapeDtypeStruct((number, D), jnp.float32), leaves, jax.ShapeDtypeStruct((number,), bool)
    return run.lower(*shapes).compile(compiler_options=OPTIONS)


@pytest.mark.parametrize("name", SPECS)
def test_every_token_goes_through_its_own_experts(name: str):
    spec = SPECS[name]
    leaves, x, is_real = random_leaves(spec), rows(30), np.arange(30) % 5 != 3
    x[3] = np.nan
    got = np.asarray(compiled(spec, leaves, 30)(x, leaves, is_real))
    wide = {leaf: array.astype(np.float64) for leaf, array in leaves.items()}
    want = np.stack([feed(token.astype(np.float64), wide, spec) for token in x[is_real]])
    np.testing.assert_allclose(got[is_real], want, rtol=2e-5, atol=2e-5 * np.abs(want).max())


@pytest.mark.parametrize("name", ["gpt_oss"])
def test_a_rows_numbers_are_the_same_bit_by_bit_whoever_stands_beside_it(name: str):
    """As one of 70 rows, in blocks of 32, among six and alone, in blocks of 8. Without the shared MLP, whose products
    XLA adds up in an order of their size."""
    spec = replace(SPECS[name], shared=None)
    leaves, x = random_leaves(spec), rows(70)
    x[3] = np.nan
    assert {block_size(70 * spec.router.num_chosen, 4), block_size(6, 4)} == {8, 32}
    many = np.asarray(compiled(spec, leaves, 70)(x, leaves, np.arange(70) != 12))
    few = np.asarray(compiled(spec, leaves, 6)(x[[5, 3, 69, 12, 7, 11]], leaves, np.array([1, 1, 1, 0, 1, 1], bool)))
    np.testing.assert_array_equal(few[[0, 2, 4, 5]], many[[5, 69, 7, 11]])
    assert np.isnan(few[1]).all()
    alone = np.asarray(compiled(spec, leaves, 1)(x[69, None], leaves, np.ones(1, bool)))
    np.testing.assert_array_equal(alone[0], many[69])


@pytest.mark.parametrize("name", ["mixtral", "gpt_oss"])
def test_both_ways_of_grouped_products_agree(name: str):
    spec = SPECS[name]
    experts = {name.removeprefix("experts_"): leaf for name, leaf in random_leaves(spec).items() if "experts" in name}
    experts.pop("down_bias", None)
    num_experts = spec.router.num_experts
    starts = np.sort(np.random.default_rng(0).integers(0, 60, num_experts + 1)).astype(np.int32)
    starts[0] = 0
    order = np.random.default_rng(1).integers(0, 30, 64).astype(np.int32)
    gate = lambda gate_up: gate_up[:, 0] * gate_up[:, 1]  # noqa: E731
    mine = ExpertRows(jnp.asarray(order), jnp.asarray(starts))
    blocks, whole = (jax.jit(partial(way, gate=gate))(rows(30), experts, mine) for way in (by_block, ragged))
    np.testing.assert_allclose(blocks[: starts[-1]], whole[: starts[-1]], rtol=2e-5, atol=2e-4)


def test_work_follows_the_chosen_pairs_and_not_the_experts():
    """XLA counts a loop's body once: a block reads one expert's matrices, however many experts there are."""

    def body_cost(num_experts: int) -> tuple[float, float]:
        spec = MoeSpec(256, RouterSpec(num_experts, 2))
        leaves = {leaf.name: jax.ShapeDtypeStruct(leaf.shape, jnp.float32) for leaf in spec.leaves(128)}
        shapes = jax.ShapeDtypeStruct((4, 128), jnp.float32), leaves, jax.ShapeDtypeStruct((4,), bool)
        program = jax.jit(partial(mixture, spec=spec)).lower(*shapes).compile(compiler_options=OPTIONS)
        cost = program.cost_analysis()
        return cost["flops"], program.memory_analysis().temp_size_in_bytes

    (few_flops, few_bytes), (many_flops, many_bytes) = body_cost(4), body_cost(64)
    of_block = 2 * block_size(8, 64) * 128 * 3 * 256
    assert of_block <= few_flops <= 1.2 * of_block
    assert many_flops <= few_flops + 60 * 2 * 8 * 128 + 60 * 200  # the router, and finding the rows of each expert
    assert many_bytes <= few_bytes + 60 * 1000  # no copy of the experts


def test_a_choice_that_cannot_be_made_is_refused():
    for wrong in (
        {"num_experts": 4, "num_chosen": 5},
        {"num_experts": 9, "num_chosen": 2, "num_groups": 2},
        {"num_experts": 8, "num_chosen": 5, "num_groups": 4, "num_chosen_groups": 2},
        {"num_experts": 8, "num_chosen": 2, "num_groups": 2, "num_chosen_groups": 3},
        {"num_experts": 4, "num_chosen": 1, "num_groups": 4, "num_chosen_groups": 2, "group_score_size": 2},
    ):
        with pytest.raises(ModelError, match=r"config\.json"):
            RouterSpec(**wrong)


def test_the_router_scores_in_float32_whatever_the_activations_are():
    spec = SPECS["mixtral"]
    leaves, x = random_leaves(spec), jnp.asarray(rows(5), jnp.bfloat16)
    assert {leaf.name for leaf in spec.leaves(D) if leaf.dtype == "float32"} == {"router"}
    choice = route(x, leaves=leaves, spec=spec.router)
    wide = route(x.astype(jnp.float32), leaves=leaves, spec=spec.router)
    np.testing.assert_array_equal(choice.experts, wide.experts)
    assert choice.weights.dtype == jnp.float32
