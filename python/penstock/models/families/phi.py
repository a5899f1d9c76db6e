"""Phi 1, 1.5 and 2: attention and MLP in parallel after one layer norm, part of each head rotated, all biases."""

from __future__ import annotations

from penstock.models.families import build
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec, LayerSpec

TOP_TENSORS = {
    "embed": ("model.embed_tokens.weight",),
    "final_norm": ("model.final_layernorm.weight",),
    "final_norm_bias": ("model.final_layernorm.bias",),
    "lm_head": ("lm_head.weight",),
    "lm_head_bias": ("lm_head.bias",),
}

_LAYER = "model.layers.{layer}."
_ATTENTION = _LAYER + "self_attn."

LAYER_TENSORS = {
    "attn_norm": (_LAYER + "input_layernorm.weight",),
    "attn_norm_bias": (_LAYER + "input_layernorm.bias",),
    "qkv": tuple(_ATTENTION + f"{part}_proj.weight" for part in "qkv"),
    "qkv_bias": tuple(_ATTENTION + f"{part}_proj.bias" for part in "qkv"),
    "o": (_ATTENTION + "dense.weight",),
    "o_bias": (_ATTENTION + "dense.bias",),
    "up": (_LAYER + "mlp.fc1.weight",),
    "up_bias": (_LAYER + "mlp.fc1.bias",),
    "down": (_LAYER + "mlp.fc2.weight",),
    "down_bias": (_LAYER + "mlp.fc2.bias",),
    "q_norm": (_ATTENTION + "q_layernorm.weight",),
    "q_norm_bias": (_ATTENTION + "q_layernorm.bias",),
    "k_norm": (_ATTENTION + "k_layernorm.weight",),
    "k_norm_bias": (_ATTENTION + "k_layernorm.bias",),
}


def spec(config: HfConfig) -> DecoderSpec:
    """PhiConfig of transformers."""
    norm = build.layer_norm(config)
    rope = read_rope(config, head_dim=build.head_size(config), share=0.5)
    qk_norm = norm if config.flag("qk_layernorm") else None
    attention = build.attention(config, rope, has_qkv_bias=True, has_o_bias=True, qk_norm=qk_norm)
    mlp = build.plain_mlp(config, "gelu_new", has_bias=True)
    layer = LayerSpec(attention, mlp, norm, is_parallel=True, has_one_norm=True)
    return build.decoder(config, [layer] * config.num_layers, norm, has_head_bias=True)
