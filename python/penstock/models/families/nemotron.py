"""Nemotron: layer norms whose weights lack 1, squared ReLU without a gate, half of each head rotated."""

from __future__ import annotations

from penstock.layers.spec import NormSpec
from penstock.models.families import build, llama
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec, LayerSpec

_LAYER = "model.layers.{layer}."

TOP_TENSORS = {**llama.TOP_TENSORS, "final_norm_bias": ("model.norm.bias",)}
LAYER_TENSORS = {
    **llama.LAYER_TENSORS,
    "attn_norm_bias": (_LAYER + "input_layernorm.bias",),
    "mlp_norm_bias": (_LAYER + "post_attention_layernorm.bias",),
    "up": (_LAYER + "mlp.up_proj.weight",),
    "up_bias": (_LAYER + "mlp.up_proj.bias",),
}


def spec(config: HfConfig) -> DecoderSpec:
    """NemotronConfig of transformers."""
    norm = NormSpec(config.number("norm_eps", default=1e-5), "layer", has_bias=True, plus_one=True)
    has_bias = config.flag("attention_bias")
    rope = read_rope(config, head_dim=build.head_size(config), share=0.5)
    attention = build.attention(config, rope, has_qkv_bias=has_bias, has_o_bias=has_bias)
    mlp = build.plain_mlp(config, "relu2", has_bias=config.flag("mlp_bias"))
    return build.decoder(config, [LayerSpec(attention, mlp, norm)] * config.num_layers, norm)
