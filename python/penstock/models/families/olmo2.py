"""OLMo 2: Llama with its norms after attention and MLP, and an RMS norm over all heads of q and of k together."""

from __future__ import annotations

from penstock.layers.rope_spec import RopeSpec
from penstock.models.families import build, llama
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec, LayerSpec

_LAYER = "model.layers.{layer}."

LAYER_TENSORS = {
    **llama.LAYER_TENSORS,
    "q_norm": (_LAYER + "self_attn.q_norm.weight",),
    "k_norm": (_LAYER + "self_attn.k_norm.weight",),
    "attn_post_norm": (_LAYER + "post_attention_layernorm.weight",),
    "mlp_post_norm": (_LAYER + "post_feedforward_layernorm.weight",),
}


def layer(config: HfConfig, rope: RopeSpec) -> LayerSpec:
    """Of Olmo2Config of transformers."""
    norm = build.rms_norm(config, eps=1e-5)
    has_bias = config.flag("attention_bias")
    attention = build.attention(
        config, rope, has_qkv_bias=has_bias, has_o_bias=has_bias, qk_norm=norm, qk_norm_over="all"
    )
    return LayerSpec(attention, llama.feed_forward(config), norm, norms="after")


def spec(config: HfConfig) -> DecoderSpec:
    """Olmo2Config of transformers."""
    each = layer(config, read_rope(config))
    return build.decoder(config, [each] * config.num_layers, each.norm)
