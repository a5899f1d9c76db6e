"""DeepSeek V2 and V3 (and R1): latent attention; experts in groups beside an MLP of all tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from penstock.errors import ModelError
from penstock.layers.latent_spec import LatentAttentionSpec
from penstock.layers.leaf import HeadPart, Stored, TensorNames
from penstock.layers.moe_spec import MoeSpec, RouterSpec
from penstock.layers.spec import MlpSpec, NormSpec
from penstock.models.families import glm4_moe, llama
from penstock.models.hf_config import HfConfig, shown
from penstock.models.hf_moe import dense_mlp, layers_from, with_dense_layers
from penstock.models.hf_rope import read_rope, rope_table, yarn_mscale
from penstock.models.spec import DecoderSpec, FeedForward

_ATTENTION = "model.layers.{layer}.self_attn."


def layer_tensors(config: HfConfig) -> TensorNames:
    """Keys' and values' matrices lie in one tensor, those of a head one after the other."""
    attention = latent_attention(config)
    of_head = attention.plain_size + attention.value_size
    kv_up = (_ATTENTION + "kv_b_proj.weight",)
    query = "q_proj" if attention.query_rank is None else "q_b_proj"
    return {
        **llama.LAYER_TENSORS,
        **glm4_moe.MOE_TENSORS,
        "kv_down": (_ATTENTION + "kv_a_proj_with_mqa.weight",),
        "kv_down_bias": (_ATTENTION + "kv_a_proj_with_mqa.bias",),
        "kv_norm": (_ATTENTION + "kv_a_layernorm.weight",),
        "k_up": Stored(kv_up, head_part=HeadPart(0, of_head)),
        "v_up": Stored(kv_up, head_part=HeadPart(attention.plain_size, of_head)),
        "q": (_ATTENTION + query + ".weight",),
        "q_down": (_ATTENTION + "q_a_proj.weight",),
        "q_down_bias": (_ATTENTION + "q_a_proj.bias",),
        "q_norm": (_ATTENTION + "q_a_layernorm.weight",),
    }


def latent_attention(config: HfConfig) -> LatentAttentionSpec:
    """Of DeepseekV2Config and DeepseekV3Config. The norms inside have an epsilon of their own, as in transformers."""
    plain = config.integer("qk_nope_head_dim", default=128)
    rotated = config.integer("qk_rope_head_dim", default=64)
    return LatentAttentionSpec(
        num_heads=config.integer("num_attention_heads"),
        plain_size=plain,
        rotated_size=rotated,
        value_size=config.integer("v_head_dim", default=128),
        rank=config.integer("kv_lora_rank", default=512),
        rope=replace(read_rope(config), is_interleaved=config.flag("rope_interleave", default=True)),
        norm=NormSpec(1e-6),
        score_scale=(plain + rotated) ** -0.5 * _stretch(config),
        query_rank=None if config.is_null("q_lora_rank") else config.integer("q_lora_rank", default=1536),
        has_bias=config.flag("attention_bias"),
    )


def _stretch(config: HfConfig) -> float:
    """What a stretched context adds to the scale of scores, where `mscale_all_dim` asks for it."""
    table = rope_table(config)
    if config.get("mscale_all_dim", None, table) is None or not table["mscale_all_dim"]:
        return 1.0
    factor, of_all = (config.number(name, within=table) for name in ("factor", "mscale_all_dim"))
    return yarn_mscale(factor, of_all) ** 2


def _decoder(config: HfConfig, experts: FeedForward, *, first: int, dense: MlpSpec) -> DecoderSpec:
    _expect(config, "moe_layer_freq", 1)
    decoder = llama.decoder(config, latent_attention(config), experts, windows=config.windows(None))
    first = config.integer("first_k_dense_replace", default=first, at_least=0)
    return with_dense_layers(decoder, layers_from(config, first), dense)


def _expect(config: HfConfig, name: str, wanted: Any) -> None:
    """Refuses a field that says anything else."""
    found = config.get(name, wanted)
    if found != wanted:
        raise ModelError(f"config.json: {name} {shown(found)} is not supported, expected {wanted!r}")


def spec(config: HfConfig) -> DecoderSpec:
    """DeepseekV3Config of transformers."""
    _expect(config, "scoring_func", "sigmoid")
    _expect(config, "topk_method", "noaux_tc")
    experts = glm4_moe.experts(config, num_experts=256, size=2048, num_groups=8, num_chosen_groups=4, scale=2.5)
    return _decoder(config, experts, first=3, dense=dense_mlp(config))


def v2_spec(config: HfConfig) -> DecoderSpec:
    """DeepseekV2Config of transformers. Its `norm_topk_prob` is read by nobody there, so it must be off."""
    _expect(config, "scoring_func", "softmax")
    _expect(config, "norm_topk_prob", False)
    dense = replace(dense_mlp(config), has_bias=config.flag("mlp_bias"))
    return _decoder(config, _v2_experts(config), first=0, dense=dense)


def _v2_experts(config: HfConfig) -> MoeSpec:
    method = config.get("topk_method", "greedy")
    if method not in ("greedy", "group_limited_greedy"):
        raise ModelError(
            f"config.json: topk_method {shown(method)} is not supported, expected greedy or group_limited_greedy"
        )
    has_groups = method == "group_limited_greedy"
    router = RouterSpec(
        config.integer("n_routed_experts", default=64),
        config.integer("num_experts_per_tok"),
        scale=config.number("routed_scaling_factor", default=1.0),
        num_groups=config.integer("n_group") if has_groups else 1,
        num_chosen_groups=config.integer("topk_group") if has_groups else 1,
    )
    size = config.integer("moe_intermediate_size", default=1407)
    num_shared, has_bias = config.integer("n_shared_experts", default=2), config.flag("mlp_bias")
    shared = MlpSpec(size * num_shared, config.activation(), has_bias)
    return MoeSpec(size, router, config.activation(), shared=shared)
