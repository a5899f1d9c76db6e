"""GLM 4.5 and 4.6: rotary positions on half of each head, and DeepSeek-V3's way of choosing experts."""

from __future__ import annotations

from penstock.layers.leaf import TensorNames
from penstock.layers.moe_spec import MoeSpec, RouterSpec
from penstock.layers.spec import MlpSpec
from penstock.models.families import build, llama, qwen3
from penstock.models.hf_config import HfConfig
from penstock.models.hf_moe import dense_mlp, experts_of_each, layers_from, shared_mlp, with_dense_layers
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec

_MLP = "model.layers.{layer}.mlp."

MOE_TENSORS: TensorNames = {
    "router": (_MLP + "gate.weight",),
    "router_correction": (_MLP + "gate.e_score_correction_bias",),
    **experts_of_each(_MLP),
    **shared_mlp(_MLP + "shared_experts."),
}
LAYER_TENSORS: TensorNames = {**qwen3.LAYER_TENSORS, **MOE_TENSORS}


def experts(
    config: HfConfig,
    *,
    num_experts: int = 128,
    size: int = 1408,
    num_groups: int = 1,
    num_chosen_groups: int = 1,
    scale: float = 1.0,
) -> MoeSpec:
    """Of Glm4MoeConfig and DeepseekV3Config. The arguments: where the config names none."""
    router = RouterSpec(
        config.integer("n_routed_experts", default=num_experts),
        config.integer("num_experts_per_tok", default=8),
        "sigmoid",
        is_renormalised=config.flag("norm_topk_prob", default=True),
        scale=config.number("routed_scaling_factor", default=scale),
        has_correction=True,
        num_groups=config.integer("n_group", default=num_groups),
        num_chosen_groups=config.integer("topk_group", default=num_chosen_groups),
        group_score_size=2,
    )
    size = config.integer("moe_intermediate_size", default=size)
    shared = MlpSpec(size * config.integer("n_shared_experts", default=1), config.activation())
    return MoeSpec(size, router, config.activation(), shared=shared)


def spec(config: HfConfig) -> DecoderSpec:
    """Glm4MoeConfig of transformers."""
    norm = build.rms_norm(config, eps=1e-5)
    attention = build.attention(
        config,
        read_rope(config, head_dim=build.head_size(config), share=0.5),
        num_kv_heads=8,
        has_qkv_bias=config.flag("attention_bias"),
        qk_norm=norm if config.flag("use_qk_norm") else None,
    )
    decoder = llama.decoder(config, attention, experts(config), windows=config.windows(None))
    first = config.integer("first_k_dense_replace", default=1, at_least=0)
    return with_dense_layers(decoder, layers_from(config, first), dense_mlp(config))
