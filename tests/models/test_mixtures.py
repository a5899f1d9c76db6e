"""Families with mixtures of experts or latent attention: what their configs mean, and how experts are stored."""

import json
import shutil
import tracemalloc
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from penstock.checkpoint import inspect_checkpoint
from penstock.errors import ModelError
from penstock.layers.latent_spec import LatentAttentionSpec
from penstock.layers.moe_spec import ClampedGate, MoeSpec, RouterSpec
from penstock.layers.rope_spec import RopeSpec
from penstock.layers.spec import MlpSpec, NormSpec
from penstock.models.registry import find_family
from penstock.models.spec import DecoderSpec
from penstock.weights import load_weights

MADE = Path(__file__).parents[1] / "data" / "golden"
BASE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
}


def spec_of(architecture: str, **fields) -> DecoderSpec:
    config = {"architectures": [architecture], **BASE, **fields}
    family = find_family(config)
    return family.spec(family.reader(config))


def test_defaults_are_those_of_transformers():
    wanted = {
        "MixtralForCausalLM": MoeSpec(96, RouterSpec(8, 2, is_renormalised=True)),
        "Qwen3MoeForCausalLM": MoeSpec(768, RouterSpec(128, 8)),
        "Qwen2MoeForCausalLM": MoeSpec(1408, RouterSpec(60, 4), shared=MlpSpec(5632), has_shared_gate=True),
        "GptOssForCausalLM": MoeSpec(
            96, RouterSpec(128, 4, is_renormalised=True, has_bias=True), ClampedGate(1.702, 7.0), has_bias=True
        ),
    }
    for architecture, mixture in wanted.items():
        assert spec_of(architecture).layers[-1].feed_forward == mixture, architecture
    v3 = spec_of("DeepseekV3ForCausalLM")
    assert [type(layer.feed_forward) for layer in v3.layers] == [MlpSpec] * 3 + [MoeSpec]
    router = RouterSpec(
        256, 8, "sigmoid", is_renormalised=True, scale=2.5, has_correction=True,
        num_groups=8, num_chosen_groups=4, group_score_size=2,
    )  # fmt: skip
    assert v3.layers[3].feed_forward == MoeSpec(2048, router, shared=MlpSpec(2048))
    latent = LatentAttentionSpec(
        4, 128, 64, 128, 512, RopeSpec(1e4, is_interleaved=True), NormSpec(1e-6), 192**-0.5, query_rank=1536
    )
    assert v3.layers[0].attention == latent
    assert (latent.cache.numbers_per_token, latent.scores.window) == (576, None)


@pytest.mark.parametrize(
    ("fields", "sparse"),
    [
        ({}, [True] * 4),
        ({"decoder_sparse_step": 2}, [False, True, False, True]),
        ({"mlp_only_layers": [0, 3]}, [False, True, True, False]),
        ({"mlp_only_layers": None, "decoder_sparse_step": 5}, [False] * 4),
    ],
)
def test_which_layers_have_experts(fields: dict, sparse: list[bool]):
    layers = spec_of("Qwen3MoeForCausalLM", **fields).layers
    assert [isinstance(layer.feed_forward, MoeSpec) for layer in layers] == sparse


def test_a_stretched_context_changes_the_scale_of_scores_where_the_config_says_so():
    """0.1 m ln(factor) + 1, squared: DeepSeek's own addition to YaRN."""
    yarn = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1}
    plain = spec_of("DeepseekV3ForCausalLM", rope_scaling=yarn).layers[0].attention.score_scale
    told = spec_of("DeepseekV3ForCausalLM", rope_scaling={**yarn, "mscale": 1.0, "mscale_all_dim": 1.0})
    assert plain == pytest.approx(192**-0.5)
    assert told.layers[0].attention.score_scale == pytest.approx(192**-0.5 * (0.1 * np.log(40) + 1) ** 2)
    assert told.layers[0].attention.rope.attention_factor == 1


@pytest.mark.parametrize(
    ("architecture", "fields", "message"),
    [
        ("MixtralForCausalLM", {"num_experts_per_tok": 9}, "9 experts for each token out of 8"),
        ("Qwen3MoeForCausalLM", {"mlp_only_layers": 3}, "mlp_only_layers must be a list"),
        ("DeepseekV3ForCausalLM", {"n_group": 7}, "4 of 7 groups of 256 experts"),
        ("DeepseekV3ForCausalLM", {"topk_group": 1, "num_experts_per_tok": 33}, "33 experts for each token out of 32"),
        ("DeepseekV3ForCausalLM", {"scoring_func": "softmax"}, "scoring_func 'softmax' is not supported"),
        ("DeepseekV3ForCausalLM", {"topk_method": "greedy"}, "topk_method 'greedy' is not supported"),
        ("DeepseekV3ForCausalLM", {"moe_layer_freq": 2}, "moe_layer_freq 2 is not supported, expected 1"),
        ("DeepseekV3ForCausalLM", {"qk_rope_head_dim": 7}, "qk_rope_head_dim must be even, found 7"),
        ("DeepseekV2ForCausalLM", {"topk_method": "noaux_tc", "num_experts_per_tok": 2}, "topk_method 'noaux_tc'"),
        ("DeepseekV2ForCausalLM", {"norm_topk_prob": True}, "norm_topk_prob True is not supported"),
        ("DeepseekV2ForCausalLM", {}, "num_experts_per_tok must be a positive integer, found None"),
        ("GptOssForCausalLM", {"swiglu_limit": -1}, "swiglu_limit must be a positive number"),
    ],
)
def test_what_is_not_built_is_refused(architecture: str, fields: dict, message: str):
    with pytest.raises(ModelError, match=message):
        spec_of(architecture, **fields)


def test_a_billion_heads_are_told_without_a_list_of_them():
    """`num_attention_heads: 1000000000` of a latent model took 8 GB before it was refused."""
    tracemalloc.start()
    spec = spec_of("DeepseekV3ForCausalLM", num_attention_heads=10**7, num_hidden_layers=1)
    assert spec.layers[0].leaves(spec.hidden_size)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_experts_in_one_tensor_are_the_same_as_each_in_its_own(tmp_path: Path):
    """transformers 5 holds all experts of a layer in one tensor, gate above up, and saves it so when asked to."""
    folder = shutil.copytree(MADE / "deepseek_v2_lite", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    prefix = "model.layers.1.mlp.experts."
    parts = {
        name: [tensors.pop(f"{prefix}{expert}.{name}.weight") for expert in range(6)]
        for name in ("gate_proj", "up_proj", "down_proj")
    }
    gate, up, down = (np.stack(part) for part in parts.values())
    tensors |= {prefix + "gate_up_proj": np.concatenate([gate, up], axis=1), prefix + "down_proj": down}
    save_file(tensors, folder / "model.safetensors")
    each, together = (
        load_weights(inspect_checkpoint(path), dtype=np.float32, device=jax.devices()[0])
        for path in (MADE / "deepseek_v2_lite", folder)
    )
    jax.tree.map(np.testing.assert_array_equal, each, together)
    of_each = each["layers"][1]
    np.testing.assert_array_equal(of_each["experts_gate_up"][4][:, 1], up[4].T.astype(np.float32))
    np.testing.assert_array_equal(of_each["experts_down"][5], down[5].T.astype(np.float32))


def test_a_missing_expert_is_named(tmp_path: Path):
    folder = shutil.copytree(MADE / "qwen3_moe_mixed", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.2.mlp.experts.5.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"looked for tensor model\.layers\.2\.mlp\.experts\.5\.up_proj\.weight"):
        inspect_checkpoint(folder)


def test_the_routers_numbers_stay_float32_in_a_half_precision_model():
    """A correction bias decides between scores that differ in their third digit: bfloat16 has no more."""
    weights = load_weights(inspect_checkpoint(MADE / "glm4_moe"), dtype="bfloat16", device=jax.devices()[0])
    stored = load_file(MADE / "glm4_moe" / "model.safetensors")["model.layers.1.mlp.gate.e_score_correction_bias"]
    (correction,) = (array for (name, _), array in weights["stacks"].items() if name == "router_correction")
    assert (correction.dtype, weights["layers"][1]["router"].dtype) == (np.float32, np.float32)
    np.testing.assert_array_equal(correction[0], stored.astype(np.float32))
    assert weights["layers"][1]["experts_down"].dtype == jax.numpy.bfloat16


@pytest.mark.parametrize("name", ["deepseek_v2", "glm4_moe", "qwen2_moe"])
def test_layers_for_speculative_decoding_are_let_be(name: str, tmp_path: Path):
    folder = shutil.copytree(MADE / name, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_nextn_predict_layers": 1}))
    tensors = load_file(folder / "model.safetensors")
    layer = config["num_hidden_layers"]
    tensors[f"model.layers.{layer}.mlp.experts.0.up_proj.weight"] = np.zeros((2, 2), np.float32)
    save_file(tensors, folder / "model.safetensors")
    assert inspect_checkpoint(folder).spec.num_layers == layer
